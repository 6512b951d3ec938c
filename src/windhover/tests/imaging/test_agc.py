"""Raw thermal counts become 8 bits with the contrast where the scene is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from windhover.errors import EncodingError
from windhover.imaging import agc
from windhover.imaging.agc import ToneConfig, ToneMapper, percentile_agc, tone_map


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


@pytest.mark.parametrize("shape", [(4, 1), (4, 1, 1), (1, 4), (4, 4), (1, 1), (30, 40)])
@pytest.mark.parametrize("floor", [-20, 0, 7_000, 65_535])
def test_counts_below_the_window_are_black_and_do_not_wrap(shape, floor):
    counts = np.random.default_rng(0).integers(0, 65_536, shape).astype(np.uint16)
    for part in (counts, counts[::2, ::-1]):
        expected = np.rint(np.clip((part.astype(float) - floor) * (255.0 / 400), 0, 255))
        mapped = agc._stretch(part, floor, 400)
        assert (mapped.shape, mapped.dtype) == (part.shape, np.uint8)
        assert np.abs(mapped - expected).max() <= 1


def test_bad_input_is_named():
    with pytest.raises(EncodingError, match="uint8"):
        percentile_agc(np.zeros((4, 4), np.uint8))
    with pytest.raises(EncodingError, match="non-empty"):
        percentile_agc(np.zeros((0, 4), np.uint16))
    with pytest.raises(EncodingError, match="low < high"):
        percentile_agc(np.zeros((4, 4), np.uint16), 50, 50)


METHODS = ("percentile", "plateau", "clahe")
FRAME_NS = 33_333_333


def background(seed=0):
    """A street at night: warm road, cold grass, noise of some counts."""
    scene = np.full((256, 320), 7_000.0)
    scene[:, 160:] += 120
    scene += np.random.default_rng(seed).normal(0, 3, scene.shape)
    return scene.round().astype(np.uint16)


def with_hot_object(seed=0, pixels=64):
    scene = background(seed)
    scene[100 : 100 + pixels, 60 : 60 + pixels] += 3_000
    return scene


def grey_of_background(mapper, frames):
    """Mean grey of the grass, far from where the object is, frame by frame."""
    return np.array(
        [mapper.apply(frame, i * FRAME_NS)[:, 220:].mean() for i, frame in enumerate(frames)]
    )


def test_the_default_is_what_bundles_without_a_tone_were_trained_with():
    for scene in (background(), with_hot_object(), np.full((9, 9), 7, np.uint16)):
        np.testing.assert_array_equal(tone_map(scene), percentile_agc(scene))


@pytest.mark.parametrize("method", METHODS)
def test_a_hot_object_that_enters_does_not_flicker_the_background(method):
    frames = [background(i) for i in range(20)] + [with_hot_object(i) for i in range(20, 80)]
    raw = grey_of_background(ToneMapper(ToneConfig(method=method)), frames)
    smooth = grey_of_background(ToneMapper(ToneConfig(method=method, smoothing_s=1.0)), frames)
    steps = np.abs(np.diff(smooth))
    # The object takes 5 % of the picture and all of the percentiles' range.
    if method != "plateau":
        assert np.abs(np.diff(raw)).max() > 25
    # No grey may move by more than 255 * (1 - exp(-period / smoothing)).
    assert steps.max() < 8.4
    assert steps.max() < max(2.0, np.abs(np.diff(raw)).max() / 4)
    # It gets to where the unsmoothed one is, in its own time.
    assert abs(smooth[-1] - raw[-1]) < 0.2 * abs(raw[-1] - raw[10]) + 3


@pytest.mark.parametrize("method", METHODS)
def test_a_blinking_heat_source_does_not_make_the_picture_blink(method):
    frames = [(with_hot_object if i % 2 else background)(i) for i in range(90)]
    raw, smooth = (
        grey_of_background(ToneMapper(ToneConfig(method=method, smoothing_s=s)), frames)
        for s in (0.0, 1.0)
    )
    assert np.abs(np.diff(smooth[30:])).max() < np.abs(np.diff(raw[30:])).max() / 10


@pytest.mark.parametrize("window", [(7_000, 400), (-16, 32), (65_519, 32), (0, 65_535)])
def test_a_curve_is_linear_in_its_window_and_flat_outside(window):
    floor, span = window
    expected = np.clip((np.arange(65_536) - floor) * (255.0 / span), 0, 255)
    np.testing.assert_allclose(agc._linear_curve(floor, span), expected, atol=1e-4)


def test_smoothing_mixes_the_curves():
    period_s, config = FRAME_NS / 1e9, ToneConfig(smoothing_s=1.0)
    mapper, curve = ToneMapper(config), None
    for k, scene in enumerate([background(1), with_hot_object(2), background(3)]):
        new = np.interp(np.arange(65_536), *_ends(scene))
        weight = 1.0 if curve is None else 1.0 - np.exp(-period_s)
        curve = new if curve is None else curve + weight * (new - curve)
        off = np.abs(mapper.apply(scene, k * FRAME_NS) - curve[scene])
        assert off.max() < 0.5 + 1e-3


def _ends(scene):
    """Counts and greys between which the default's curve is linear."""
    floor, span = agc._window(agc._sample(scene), 1.0, 99.0, 32)
    return (floor, floor + span), (0.0, 255.0)


def test_both_ways_to_look_a_grey_up_are_equal(monkeypatch):
    config, scene = ToneConfig(method="plateau"), with_hot_object()
    first = tone_map(scene, config)
    monkeypatch.setattr(agc, "_LUT_TAKES_16_BIT", False)
    np.testing.assert_array_equal(tone_map(scene, config), first)


@pytest.mark.parametrize("method", METHODS)
def test_another_scene_a_pause_or_a_step_back_restarts_smoothing(method):
    config = ToneConfig(method=method, smoothing_s=10.0)
    hotter = with_hot_object() + np.uint16(5_000)
    for stamp_ns, after in (
        (FRAME_NS, hotter),  # nothing of it lies in the range before
        (2 * 10**9, with_hot_object()),
        (-FRAME_NS, with_hot_object()),
        (None, with_hot_object()),
    ):
        mapper = ToneMapper(config)
        mapper.apply(background(), 0)
        np.testing.assert_array_equal(mapper.apply(after, stamp_ns), tone_map(after, config))


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_shape_and_shows_what_is_hot(method):
    scene = with_hot_object()
    for shaped in (scene, scene[..., None]):
        mapped = tone_map(shaped, ToneConfig(method=method))
        assert (mapped.shape, mapped.dtype) == (shaped.shape, np.uint8)
        hot, cold = mapped[110:150, 70:110].mean(), mapped[200:, :150].mean()
        assert hot > cold + 60


def test_plateau_gives_the_background_more_grey_than_percentiles_do():
    """With something hot in view: what equalisation with a plateau is for."""
    scene = with_hot_object()

    def contrast(method):
        mapped = tone_map(scene, ToneConfig(method=method)).astype(float)
        return mapped[200:, 200:].mean() - mapped[200:, :120].mean()

    assert contrast("plateau") > 4 * contrast("percentile")


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.integers(1, 65_535))
def test_plateau_keeps_the_order_of_counts(height, width, seed, most):
    image = np.random.default_rng(seed).integers(0, most + 1, (height, width)).astype(np.uint16)
    mapped = tone_map(image, ToneConfig(method="plateau"))
    order = np.argsort(image.ravel())
    assert (np.diff(mapped.ravel()[order].astype(int)) >= 0).all()


@pytest.mark.parametrize("method", ["plateau", "clahe"])
def test_other_methods_do_not_amplify_noise_on_a_flat_scene_without_bound(method):
    noise = np.random.default_rng(0).normal(7_000, 2, (120, 160)).round().astype(np.uint16)
    assert tone_map(noise, ToneConfig(method=method)).std() < 45
    flat = tone_map(np.full((60, 80), 7_000, np.uint16), ToneConfig(method=method))
    assert np.ptp(flat) == 0


@given(
    st.lists(st.integers(0, 65_535), min_size=1, max_size=60), st.floats(0, 50), st.floats(50, 100)
)
def test_percentiles_are_numpys(counts, low, high):
    sampled = np.array(counts, np.uint16)
    expected = np.percentile(sampled, (low, high))
    np.testing.assert_allclose(agc._percentiles(sampled, low, high), expected, atol=1e-6)


def test_a_bad_tone_is_named():
    with pytest.raises(ValidationError, match=r"low 50\.0 must be below high 50\.0"):
        ToneConfig(low=50.0, high=50.0)
    with pytest.raises(ValidationError, match="method"):
        ToneConfig(method="magic")
    with pytest.raises(EncodingError, match="uint16"):
        tone_map(np.zeros((4, 4), np.uint8))
