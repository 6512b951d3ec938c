"""Rendering and converting in several processes: the same files, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from windhover_evaluation.fan_out import open_workers
from windhover_training.cli import main
from windhover_training.data.convert.real_chips import cut_chips
from windhover_training.data.render.chips import ChipPart, render_chips
from windhover_training.data.render.rgbt_scenes import Part, render_part
from windhover_training.data.render.thermal_scenes import render_split

pytest.importorskip("distributed")


def contents(root: Path) -> dict[str, bytes]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def raw_pictures(root: Path, count: int) -> None:
    """A COCO set and a folder of weapon videos of the same small pictures."""
    rng = np.random.default_rng(3)
    videos = root / "raw" / "weapon_videos"
    for folder in (root / "images", videos / "images", videos / "labels"):
        folder.mkdir(parents=True)
    images, boxes = [], []
    for number in range(count):
        picture = rng.integers(0, 255, (48, 64, 3), np.uint8)
        name = f"video{number // 10}_{number:03d}"
        cv2.imwrite(str(root / "images" / f"{name}.png"), picture)
        cv2.imwrite(str(videos / "images" / f"{name}.png"), picture)
        (videos / "labels" / f"{name}.txt").write_text("1 0.5 0.5 0.2 0.1\n")
        images.append({"id": number, "file_name": f"{name}.png", "width": 64, "height": 48})
        box = [number % 40, 10, 12, 9]
        boxes.append({"id": number, "image_id": number, "category_id": 1, "bbox": box})
    # One that is damaged: it is counted, in its turn.
    (root / "images" / images[count // 2]["file_name"]).write_bytes(b"no picture")
    labels = [{"id": 1, "name": "person"}]
    document = {"images": images, "annotations": boxes, "categories": labels}
    (root / "set.json").write_text(json.dumps(document))


@pytest.mark.slow
def test_sets_are_the_same_whatever_the_number_of_workers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw_pictures(tmp_path, 100)
    found, said = [], []
    for count in (1, 2):
        out = tmp_path / str(count)
        with open_workers(count) as workers:
            seeds = range(3, 5)
            render_split(out / "thermal", "train", seeds, workers)
            render_part(out / "rgbt", Part("train", seeds, frames=1), workers)
            few = Part("few", range(400_000, 400_002), armed=True)
            render_chips(out / "chips", ChipPart("few", few, frames=1, most=3), workers)
            cut_chips(tmp_path / "raw", out / "cut", workers)
        given = [str(tmp_path / "set.json"), "--images", str(tmp_path / "images")]
        given += ["--workers", str(count), "--out", str(out / "set")]
        assert main(["data", "convert", "coco", *given]) == 0
        said.append(capsys.readouterr().out.replace(str(out), "OUT"))
        found.append(contents(out))
    assert said[0] == said[1]
    assert "damaged" in said[0]
    assert found[0].keys() == found[1].keys()
    assert [name for name, data in found[0].items() if found[1][name] != data] == []
    assert sum(name.endswith((".png", ".jpg")) for name in found[0]) > 200


def test_a_cluster_that_is_not_there_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw_pictures(tmp_path, 2)
    cluster = ["--cluster", "127.0.0.1:1", "--out", str(tmp_path / "out")]
    given = [str(tmp_path / "set.json"), "--images", str(tmp_path / "images")]
    for command in (
        ["convert", "coco", *given], ["cut-chips", str(tmp_path / "raw")],
        ["render-thermal"], ["render-rgbt"], ["render-chips"],
    ):  # fmt: skip
        assert main(["data", *command, *cluster]) == 2
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1
        assert "is not such as tcp://" in captured.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "raw", "set.json"]
