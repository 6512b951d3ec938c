"""``windhover evaluate fidelity``: what it prints and what it refuses."""

import json

import cv2
import numpy as np
import pytest

from windhover_bringup.cli import main
from windhover_sim.blob_bundle import build_blob_bundle


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A model, and a folder of two images with their truth, as options."""
    model = build_blob_bundle(
        tmp_path_factory.mktemp("m") / "blobs", height=64, width=96, quantised=True
    ).root
    folder = tmp_path_factory.mktemp("images")
    picture = np.zeros((64, 96), np.uint8)
    picture[16:48, 24:56] = 220
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / name), picture)
    truth = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(("a.png", "b.png"))],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [24, 16, 32, 32]} for i in (0, 1)
        ],
        "categories": [{"id": 1, "name": "person"}],
    }
    (folder / "truth.json").write_text(json.dumps(truth))
    return {
        "--model": str(model),
        "--images": str(folder),
        "--truth": str(folder / "truth.json"),
        "--backends": "cpu",
    }


def run(options, out, **changes):
    chosen = options | {f"--{name}": value for name, value in changes.items()} | {"--out": str(out)}
    return main(["evaluate", "fidelity", *[word for pair in chosen.items() for word in pair]])


def test_a_table_of_what_is_lost(given, tmp_path, capfd):
    assert run(given, tmp_path, frames="1") == 0
    printed = capfd.readouterr().out
    assert "1 images, scores in percent" in printed
    assert "int8.onnx, CPU" in printed
    assert "100.0 (+0.0)" in (tmp_path / "fidelity.md").read_text()


def test_black_hot_pictures_are_turned_where_it_is_said(given, tmp_path, capfd):
    folder = tmp_path / "black"
    folder.mkdir()
    picture = np.full((64, 96), 255, np.uint8)
    picture[16:48, 24:56] = 35
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(folder / name), picture)
    assert run(given, tmp_path / "as-is", images=str(folder)) == 0
    assert "100.0" not in (tmp_path / "as-is/fidelity.md").read_text()
    assert run(given, tmp_path / "turned", images=str(folder), palette="black-hot") == 0
    assert "100.0 (+0.0)" in (tmp_path / "turned/fidelity.md").read_text()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"backends": "gpu"}, "use some of cpu, qnn, dlc"),
        ({"frames": "0"}, "use 1 or more"),
        ({"images": "/nowhere"}, "no such folder of images: /nowhere"),
        ({"truth": "/nowhere"}, "/nowhere: can't be read"),
        ({"model": "/nowhere"}, "/nowhere"),
        ({"backends": "dlc"}, "dlc"),
        ({"palette": "plaid"}, "palette must be"),
    ],
)
def test_what_is_refused(given, tmp_path, capfd, changes, complaint):
    assert run(given, tmp_path, **changes) == 2
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert complaint in lines[0]
