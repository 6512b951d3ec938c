"""Rendered training data: boxes, classes and the separation of splits."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from windhover.command_line import INTERRUPTED
from windhover_training.cli import main
from windhover_training.data.augment.samples import load_samples
from windhover_training.data.render import thermal_scenes as scenes
from windhover_training.data.render.thermal_scenes import FRAMES, draw_config, render_split


def test_a_split_holds_grey_images_and_boxes_of_the_models_classes(tmp_path: Path) -> None:
    count = render_split(tmp_path, "train", range(3, 5))
    assert count == 2 * FRAMES
    truth = json.loads((tmp_path / "truth/train.json").read_text())
    assert {a["category_id"] for a in truth["annotations"]} <= {0, 1, 2}
    for image in truth["images"]:
        pixels = cv2.imread(
            str(tmp_path / "images/train" / image["file_name"]), cv2.IMREAD_UNCHANGED
        )
        assert pixels.shape == (image["height"], image["width"])
        assert pixels.dtype == np.uint8
        assert pixels.std() > 5
    samples = load_samples(tmp_path, ["train"])
    assert len(samples) == count
    assert {s.flight for s in samples} == {"scene-3", "scene-4"}
    kept = sum(len(s.boxes) for s in samples)
    assert kept == sum(not a["iscrowd"] for a in truth["annotations"]) > 0


def test_a_set_is_written_whole_or_not_at_all_and_never_over_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "scenes"
    command = ["data", "render-thermal", "--out", str(out), "--train", "1", "--test", "1"]
    assert main(command) == 0
    assert {path.stem for path in (out / "truth").iterdir()} == {"train", "test"}
    made = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    capsys.readouterr()
    assert main(command) == 2
    assert "exists already; give --force" in capsys.readouterr().err

    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(scenes, "render_split", interrupted)
    assert main([*command, "--force"]) == INTERRUPTED
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == made
    assert [path.name for path in tmp_path.iterdir()] == ["scenes"]
    monkeypatch.undo()
    assert main([*command, "--force"]) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} != made


def test_a_scene_depends_on_its_seed_alone() -> None:
    assert draw_config(7) == draw_config(7)
    assert len({draw_config(seed).altitude_m for seed in range(50)}) == 50
