"""Frames of a closed shutter are expected from fresh ones, and telemetry from the picture."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windhover.errors import EncodingError
from windhover.imaging.thermal import (
    Ffc,
    FreezeDetector,
    Radiometry,
    Telemetry,
    ThermalState,
    lepton_ffc,
)
from windhover_sim import SceneConfig, SceneSource

MS = 1_000_000
FRESH, REPEATED, FFC, FROZEN, STALLED = ThermalState


def noise(seed):
    return np.random.default_rng(seed).normal(7_000, 3, (64, 80)).round().astype(np.uint16)


def watch(frames, period_ms, **options):
    """The states of frames that come with a fixed period."""
    detector = FreezeDetector(**options)
    return detector, [detector.update(frame, n * period_ms * MS) for n, frame in enumerate(frames)]


class TestTelemetry:
    @pytest.mark.parametrize(
        ("size", "sensor", "place"),
        [
            ((80, 63), (80, 60), "bottom"),
            ((160, 122), (160, 120), "bottom"),
            ((320, 258), (320, 256), "top"),
            ((640, 514), (640, 512), "top"),
            ((640, 513), (640, 512), "top"),
        ],
    )
    def test_rows_of_known_sensors_are_found(self, size, sensor, place):
        image = np.arange(size[0] * size[1], dtype=np.uint16).reshape(size[1], size[0])
        picture, rows = Telemetry().split(image)
        assert picture.shape == (sensor[1], sensor[0])
        assert rows is not None
        first = size[1] - sensor[1] if place == "top" else 0
        np.testing.assert_array_equal(picture, image[first : first + sensor[1]])
        assert len(rows) == size[1] - sensor[1]
        assert np.shares_memory(picture, image)

    @pytest.mark.parametrize("size", [(640, 512), (160, 120), (1280, 720), (640, 480), (80, 70)])
    def test_pictures_without_telemetry_are_not_cut(self, size):
        image = np.zeros((size[1], size[0]), np.uint16)
        picture, rows = Telemetry().split(image)
        assert rows is None
        assert picture.shape == image.shape

    def test_rows_and_place_can_be_set(self):
        image = np.arange(50 * 40, dtype=np.uint16).reshape(50, 40)
        np.testing.assert_array_equal(Telemetry(3, "top").split(image)[0], image[3:])
        np.testing.assert_array_equal(Telemetry(3, "bottom").split(image)[0], image[:-3])
        assert Telemetry(0).split(np.zeros((514, 640), np.uint16))[1] is None

    def test_more_rows_than_there_are_is_named(self):
        with pytest.raises(EncodingError, match="40x4 has no 4 telemetry rows"):
            Telemetry(4).split(np.zeros((4, 40), np.uint16))

    @pytest.mark.parametrize("state", list(Ffc))
    def test_a_leptons_ffc_state_is_read(self, state):
        rows = np.zeros((2, 160), np.uint16)
        rows[0, 3] = 0x1008 | state.value << 4  # AGC on, FFC desired, and the state between
        rows[0, 4] = 0x0010  # the high half: overtemperature, in the same bits
        assert lepton_ffc(rows) is state

    def test_other_cores_have_no_ffc_state(self):
        assert lepton_ffc(None) is None
        assert lepton_ffc(np.zeros((2, 640), np.uint16)) is None
        assert lepton_ffc(np.zeros((2, 160), np.uint8)) is None


class TestFreeze:
    def test_noise_makes_every_frame_of_a_still_scene_fresh(self):
        _, states = watch([noise(n) for n in range(30)], 33)
        assert set(states) == {FRESH}

    def test_a_rendered_flight_is_fresh(self):
        source = SceneSource(SceneConfig(seed=1), "thermal", "mono16")
        frames = [frame.image for frame in islice(source, 4)]
        assert set(watch(frames, 33)[1]) == {FRESH}

    def test_a_shutter_that_closes_for_half_a_second(self):
        frames = [noise(n) for n in range(10)]
        frames += [frames[-1].copy()] * 15 + [noise(n) for n in range(50, 55)]
        detector, states = watch(frames, 33)
        # 250 ms are eight frames; nothing of the freeze counts as fresh before that.
        assert states == [FRESH] * 10 + [REPEATED] * 7 + [FROZEN] * 8 + [FRESH] * 5
        assert (detector.freezes, detector.repeated) == (1, 15)
        assert detector.longest_s == pytest.approx(15 * 0.033)

    def test_a_core_that_sends_each_picture_three_times_is_not_frozen(self):
        _, states = watch([noise(n // 3) for n in range(27)], 37)
        assert states == [FRESH, REPEATED, REPEATED] * 9

    def test_one_pixel_of_difference_is_enough(self):
        frame = noise(0)
        other = frame.copy()
        other[5, 7] += 1
        assert watch([frame, other], 33)[1] == [FRESH, FRESH]

    def test_a_size_that_changes_is_fresh(self):
        assert watch([noise(0), noise(0)[:-2]], 33)[1] == [FRESH, FRESH]

    def test_telemetry_shows_a_correction_at_its_first_frame(self):
        detector = FreezeDetector()
        expected = [Ffc.COMPLETE, Ffc.IMMINENT, Ffc.IN_PROGRESS, Ffc.IN_PROGRESS, Ffc.COMPLETE]
        states = [detector.update(noise(n), n * 111 * MS, ffc) for n, ffc in enumerate(expected)]
        assert states == [FRESH, FRESH, FFC, FFC, FRESH]
        assert detector.freezes == 1
        assert detector.last_s == pytest.approx(0.222)

    def test_silence_is_a_stall(self):
        detector = FreezeDetector(after_s=0.25)
        assert detector.state_at(10**9) is FRESH
        detector.update(noise(0), 10**9)
        assert detector.state_at(10**9 + 200 * MS) is FRESH
        assert detector.state_at(10**9 + 300 * MS) is STALLED
        detector.update(noise(1), 10**9 + 400 * MS)
        assert detector.state_at(10**9 + 400 * MS) is FRESH

    @given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(5, 300))
    def test_a_frame_is_fresh_exactly_if_it_differs_from_the_one_before(self, pictures, period_ms):
        frames = [noise(picture) for picture in pictures]
        detector, states = watch(frames, period_ms)
        for n, state in enumerate(states):
            assert (state is FRESH) == (n == 0 or pictures[n] != pictures[n - 1])
        assert detector.repeated == sum(state is not FRESH for state in states)


def test_counts_become_temperatures():
    tlinear = Radiometry(0.01)
    np.testing.assert_allclose(tlinear.celsius(np.array([27_315, 31_015])), [0, 37], atol=1e-9)
    assert Radiometry(0.04, 100.0).celsius(np.array([5_000]))[0] == pytest.approx(26.85)
