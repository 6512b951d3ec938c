"""Pictures are made part by part: no part is left out, and the sum is the same."""

import cv2
import numpy as np
import pytest

from windhover_sim import SceneConfig
from windhover_sim.bands import lit_tiles, row_bands
from windhover_sim.climate import Climate
from windhover_sim.sensor import RgbSensor


@pytest.mark.parametrize("height", [1, 31, 32, 33, 719])
def test_bands_cover_every_row_once(height):
    rows = np.arange(height)
    assert np.concatenate([rows[band] for band in row_bands(height)]).tolist() == rows.tolist()


def test_tiles_cover_all_that_is_lit_once():
    mask = np.zeros((300, 500), np.uint8)
    mask[[0, 127, 128, 299, 200], [0, 128, 499, 250, 251]] = 7
    count = np.zeros_like(mask)
    for tile in lit_tiles(mask):
        count[tile] += 1
    assert count[mask > 0].tolist() == [1] * 5
    assert count.max() == 1
    assert count.mean() < 0.6
    assert not list(lit_tiles(np.zeros((5, 5))))


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_an_exposure_is_blur_light_and_noise_of_each_channel(noise):
    config = SceneConfig(rgb_size=(130, 71), noise=noise, time_of_day="day")
    climate = Climate.at(13.0, np.random.default_rng(2))
    sensor = RgbSensor(config, climate, np.random.default_rng(3))
    colour = np.random.default_rng(4).uniform(-20, 300, (71, 130, 3)).astype(np.float32)
    image = cv2.GaussianBlur(colour, (0, 0), 0.6) * sensor._tint
    rng = np.random.default_rng([sensor._seed, 5])
    for channel in range(3):
        y, x = rng.integers(0, 64, 2)
        image[..., channel] += sensor._grain * sensor._bank[y : y + 71, x : x + 130]
    expected = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(sensor.expose(colour, np.zeros(2), 5), expected)
