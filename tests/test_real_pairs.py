"""Real pairs of both cameras, marked by hand: the truth is usable, and a camera can be blanked."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("windhover_training", reason="held-out scenes are the training workspace's")

from bench.blanked_cameras import BLANK, blanked, read_pairs
from windhover.errors import DataError
from windhover_evaluation.detection.truth_file import load_truth

TRUTH = Path(__file__).parents[1] / "bench/truth/real_pairs.json"


def test_the_marked_people_are_inside_their_pictures() -> None:
    truth = load_truth(TRUTH, ["person", "weapon", "motorcycle", "vehicle"])
    assert [image.file_name for image in truth.images] == [
        "1_rgb.jpg",
        "1298_rgb.jpg",
        "dark_rgb.jpg",
        "medium_rgb.jpg",
    ]
    assert (truth.label_ids == 0).all()
    assert (truth.boxes >= 0).all()
    assert (truth.boxes[:, [0, 2]] <= 640).all()
    assert (truth.boxes[:, [1, 3]] <= 512).all()
    sides = truth.boxes[:, 2:] - truth.boxes[:, :2]
    assert sides.min() > 5


@pytest.mark.parametrize(("left", "shown"), [("both", 4), ("RGB alone", 3), ("thermal alone", 1)])
def test_a_blanked_camera_is_black_and_the_other_untouched(left: str, shown: int) -> None:
    pixels = np.full((4, 6, 4), 9, np.uint8)
    assert left in BLANK
    left_over = blanked(pixels, left)
    assert (left_over == 9).all(axis=(0, 1)).sum() == shown
    assert left_over.sum() == 9 * 24 * shown
    assert pixels.min() == 9


def test_pictures_that_are_no_pair_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="NAME_rgb"):
        read_pairs(tmp_path)
    cv2.imwrite(str(tmp_path / "a_rgb.jpg"), np.zeros((16, 16, 3), np.uint8))
    with pytest.raises(DataError, match="a_thermal"):
        read_pairs(tmp_path)
    cv2.imwrite(str(tmp_path / "a_thermal.jpg"), np.zeros((16, 24), np.uint8))
    with pytest.raises(DataError, match="same size"):
        read_pairs(tmp_path)
    cv2.imwrite(str(tmp_path / "a_thermal.jpg"), np.zeros((16, 16), np.uint8))
    assert read_pairs(tmp_path)["a_rgb.jpg"].shape == (16, 16, 4)
