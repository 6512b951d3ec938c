"""Raw thermal counts become 8 bits with the contrast where the scene is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windhover.errors import EncodingError
from windhover.imaging.agc import percentile_agc


def test_percentiles_become_black_and_white():
    ramp = np.arange(20_000, 30_000, dtype=np.uint16).reshape(100, 100)
    mapped = percentile_agc(ramp, 1, 99)
    assert mapped.dtype == np.uint8
    flat = mapped.ravel()
    assert flat[0] == 0
    assert flat[-1] == 255
    assert (np.diff(flat.astype(int)) >= 0).all()
    # 1 % and 99 % of the ramp are the ends of the range, the middle is its middle.
    assert flat[101] == 0
    assert 0 < flat[150] <= 2
    assert flat[9901] == 255
    assert abs(int(flat[5000]) - 127) <= 1


def test_a_few_extreme_pixels_do_not_take_the_contrast():
    scene = np.random.default_rng(0).integers(7_000, 7_400, (512, 640)).astype(np.uint16)
    calm = percentile_agc(scene)
    scene[:5, :5] = 65_535
    scene[-5:, -5:] = 0
    extreme = percentile_agc(scene)
    assert np.abs(calm[6:-6].astype(int) - extreme[6:-6]).max() <= 3
    assert extreme[0, 0] == 255
    assert extreme[-1, -1] == 0


@pytest.mark.parametrize("count", [0, 1, 7_000, 65_535])
def test_a_constant_image_is_mid_grey(count):
    mapped = percentile_agc(np.full((60, 80), count, np.uint16))
    assert np.ptp(mapped) == 0
    assert abs(int(mapped[0, 0]) - 127) <= 8


def test_sensor_noise_on_a_flat_scene_is_not_amplified():
    noise = np.random.default_rng(0).normal(7_000, 2, (120, 160)).round().astype(np.uint16)
    assert percentile_agc(noise).std() < 25


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_order_of_counts_is_kept(height, width, seed):
    image = np.random.default_rng(seed).integers(0, 65_536, (height, width)).astype(np.uint16)
    mapped = percentile_agc(image)
    assert mapped.shape == image.shape
    order = np.argsort(image.ravel())
    assert (np.diff(mapped.ravel()[order].astype(int)) >= 0).all()


def test_bad_input_is_named():
    with pytest.raises(EncodingError, match="uint8"):
        percentile_agc(np.zeros((4, 4), np.uint8))
    with pytest.raises(EncodingError, match="non-empty"):
        percentile_agc(np.zeros((0, 4), np.uint16))
    with pytest.raises(EncodingError, match="low < high"):
        percentile_agc(np.zeros((4, 4), np.uint16), 50, 50)
