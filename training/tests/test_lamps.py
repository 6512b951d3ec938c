"""Lamps drawn into thermal crops: hot, small, and never over what is to be found."""

import numpy as np
import pytest

from windhover_training.data.augment.lamps import draw_lamps, light_lamps

GROUND = 90


def crop():
    return np.full((256, 256), GROUND, np.float32)


def light(pixels, kept, seed):
    lamps = draw_lamps(256, kept, 2.0, np.random.default_rng(seed))
    if lamps is not None:
        light_lamps(pixels, lamps)


def boxes(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


@pytest.mark.parametrize("seed", range(20))
def test_something_hot_and_no_larger_than_a_group_of_people_appears(seed):
    pixels = crop()
    light(pixels, boxes(), seed)
    hot = pixels > GROUND + 20
    assert 0 < hot.sum() < 0.1 * pixels.size


@pytest.mark.parametrize("seed", range(20))
def test_what_is_to_be_found_is_not_covered_by_a_lamp(seed):
    pixels = crop()
    kept = boxes([20, 20, 60, 80], [120, 100, 200, 180])
    light(pixels, kept, seed)
    for x1, y1, x2, y2 in kept.astype(int):
        assert (pixels[y1:y2, x1:x2] < GROUND + 60).all()  # a pole may cross it


def test_a_crop_with_no_room_stays_as_it_is():
    pixels = crop()
    light(pixels, boxes([0, 0, 256, 256]), 1)
    assert (pixels == GROUND).all()


def test_the_same_seed_draws_the_same_lamps():
    first, second = crop(), crop()
    light(first, boxes(), 7)
    light(second, boxes(), 7)
    assert (first == second).all()
