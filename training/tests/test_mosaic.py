"""Frames of small whole pictures, to score on."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from windhover_training.cli import main

SIZE = (90, 120)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three pictures, each with a bright object in a dark frame, as a converted set."""
    root = tmp_path / "published"
    (root / "images").mkdir(parents=True)
    (root / "labels").mkdir()
    for number in range(3):
        pixels = np.zeros((*SIZE, 3), np.uint8)
        pixels[20:70, 30:60] = 255
        cv2.imwrite(str(root / "images" / f"place{number}.png"), pixels)
        (root / "labels" / f"place{number}.txt").write_text("0 0.375 0.5 0.25 0.5556\n")
    out = tmp_path / "set"
    assert main(["data", "convert", "soap", str(root), "--out", str(out)]) == 0
    return out


def run(root: Path, out: Path, *more: str) -> int:
    splits = sorted(path.stem for path in (root / "truth").glob("*.json"))
    given = ["--splits", ",".join(splits), "--frames", "2", "--least", "40", "--largest", "60"]
    return main(["data", "mosaic", str(root), "--out", str(out), *given, *more])


def test_every_box_lies_on_its_object_and_small_or_cut_ones_are_not_judged(
    pictures: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mosaic"
    assert run(pictures, out) == 0
    truth = json.loads((out / "truth/val.json").read_text())
    assert [image["height"] for image in truth["images"]] == [736, 736]
    judged = [row for row in truth["annotations"] if not row["iscrowd"]]
    assert len(judged) > 100
    files = {image["id"]: image["file_name"] for image in truth["images"]}
    frames = {k: cv2.imread(str(out / "images/val" / name)) for k, name in files.items()}
    for row in judged:
        x, y, w, h = (round(v) for v in row["bbox"])
        assert h >= 9
        inside = frames[row["image_id"]][y + 2 : y + h - 2, x + 2 : x + w - 2]
        assert inside.mean() > 200, row
    # Nothing bright is without a box, judged or not.
    for row in truth["annotations"]:
        x, y, w, h = row["bbox"]
        x1, y1 = max(0, int(x) - 1), max(0, int(y) - 1)
        frames[row["image_id"]][y1 : int(y + h) + 3, x1 : int(x + w) + 3] = 0
    assert all(frame.max() < 60 for frame in frames.values())


def test_the_seed_decides_and_an_earlier_set_is_kept(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mosaic"
    assert run(pictures, out) == 0
    before = (out / "truth/val.json").read_text()
    capsys.readouterr()
    assert run(pictures, out, "--seed", "1") == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert (out / "truth/val.json").read_text() == before
    assert run(pictures, out, "--seed", "0", "--force") == 0
    assert (out / "truth/val.json").read_text() == before
    assert run(pictures, out, "--seed", "1", "--force") == 0
    assert (out / "truth/val.json").read_text() != before
