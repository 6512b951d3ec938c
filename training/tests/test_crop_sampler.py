"""Crops: boxes must move with the pixels."""

from __future__ import annotations

import numpy as np
import pytest

from windhover_training.config import Augmentation
from windhover_training.data.augment.apply import change_thermal, fade_object
from windhover_training.data.augment.crops import CropSampler, warp_and_clip_boxes
from windhover_training.data.augment.params import Fade, ThermalParams
from windhover_training.data.augment.samples import Sample

PLAIN = Augmentation(
    stretch=0, invert=0, gain=(1, 1), level=0, gradient=0, blur=0, noise=0, wide_probability=0
)


def sample() -> Sample:
    pixels = np.full((200, 300), 40, np.uint8)
    boxes = np.array([[30, 40, 50, 80], [200, 120, 260, 150]], np.float32)
    for x1, y1, x2, y2 in boxes.astype(int):
        pixels[y1:y2, x1:x2] = 230
    return Sample(pixels, boxes, np.array([0, 1]), "f")


@pytest.mark.parametrize(("seed", "scale"), [(s, r) for s in range(6) for r in (0.7, 1.0, 2.2)])
def test_boxes_lie_on_their_objects_after_every_warp(seed: int, scale: float) -> None:
    a = PLAIN.model_copy(update={"scale_near": (scale, scale)})
    sampler = CropSampler([sample()], 160, [1.0, 1.0], a, np.random.default_rng(seed))
    for _ in range(20):
        crop, boxes, classes = sampler.draw()
        bright = crop > 135
        covered = np.zeros_like(bright)
        for x1, y1, x2, y2 in boxes:
            inside = bright[round(y1) : round(y2), round(x1) : round(x2)]
            assert inside.mean() > 0.9
            covered[int(y1) : int(np.ceil(y2)), int(x1) : int(np.ceil(x2))] = True
        assert len(boxes) == len(classes)
        if len(boxes) == 2:
            assert not (bright & ~covered).any()


def test_boxes_mostly_outside_the_crop_are_dropped_and_others_clipped() -> None:
    identity = np.array([[1.0, 0, 0], [0, 1, 0]])
    boxes = np.array([[-30, 10, 10, 30], [-10, 10, 30, 30], [90, 90, 92, 99]], np.float32)
    kept, classes = warp_and_clip_boxes(boxes, np.array([0, 1, 2]), identity, 100)
    np.testing.assert_array_equal(kept, [[0, 10, 30, 30]])
    np.testing.assert_array_equal(classes, [1])


def test_the_same_seed_draws_the_same_crop() -> None:
    draws = [
        CropSampler([sample()], 96, [1.0, 1.0], Augmentation(), np.random.default_rng(5)).draw()
        for _ in range(2)
    ]
    for a, b in zip(*draws, strict=True):
        np.testing.assert_array_equal(a, b)


def test_inversion_turns_warm_into_cold() -> None:
    out = change_thermal(np.array([[0, 200]], np.float32), ThermalParams(invert=True))
    np.testing.assert_array_equal(out, [[255, 55]])


def test_fading_changes_the_object_and_leaves_the_ground() -> None:
    box = np.array([20, 30, 36, 60], np.float32)
    seen = []
    for ends in np.linspace(-1.0, 0.9, 30):
        crop = np.full((80, 80), 100, np.float32)
        crop[30:60, 20:36] = 200
        fade_object(crop, Fade(box, float(ends), float(ends)))
        seen.append(int(crop[45, 28]))
        outside = crop.copy()
        outside[28:62, 18:38] = 100
        assert (outside == 100).all()
    assert min(seen) < 80
    assert max(seen) > 120


def test_an_object_at_the_rim_can_be_faded() -> None:
    crop = np.full((40, 40), 90, np.float32)
    fade_object(crop, Fade(np.array([0, 0, 3, 40], np.float32), 0.5, -0.5))
    fade_object(crop, Fade(np.array([37, 37, 40, 40], np.float32), -1.0, 0.9))
    np.testing.assert_array_equal(crop, 90)


def test_all_vehicles_of_a_crop_are_turned_from_warm_to_cold() -> None:
    """Parked cars are warm by day and cold by night; people of the same crop stay as they are."""
    augmentation = PLAIN.model_copy(update={"turned": {1: 1.0}, "scale_near": (1, 1)})
    sampler = CropSampler([sample()], 300, [1.0, 1.0], augmentation, np.random.default_rng(0))
    seen = 0
    for _ in range(20):
        crop, boxes, classes = sampler.draw()
        x, y = ((boxes[:, :2] + boxes[:, 2:]) / 2).astype(int).T
        assert (crop[y[classes == 0], x[classes == 0]] == 230).all()
        assert (crop[y[classes == 1], x[classes == 1]] < 40).all()
        seen += np.count_nonzero(classes == 1)
    assert seen > 5
