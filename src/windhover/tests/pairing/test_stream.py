"""Pairs as a worker gets them from both cameras' frames."""

import numpy as np
import pytest

from windhover.pairing.intake import Intake
from windhover.pairing.matching import Pairer, PairingPolicy
from windhover.pairing.stream import PairStream
from windhover.types import Frame

MS = 1_000_000
IMAGE = np.zeros((1, 1), np.uint8)


def frame(stamp_ms):
    return Frame(IMAGE, "mono8", stamp_ms * MS, "x", 0)


def made(lossless=True, **policy):
    intake = Intake(lossless)
    wait_ns = None if lossless else 50 * MS
    return intake, PairStream(intake, Pairer(PairingPolicy(wait_ns=wait_ns, **policy)))


def drained(stream):
    matches = []
    for _ in range(100):
        matches += stream.next(0.0)
        if stream.ended:
            return matches
    raise AssertionError("the stream did not end")


def test_a_recording_is_paired_to_its_end():
    intake, stream = made()
    intake.thermal.put(frame(2))
    intake.rgb.put(frame(0))
    intake.rgb.put(frame(100))
    matches = stream.next(0.0) + stream.next(0.0)
    assert [match.offset_ns for match in matches] == [2 * MS]
    intake.rgb.close()
    intake.thermal.close()
    assert [match.thermal for match in drained(stream)] == [None]
    values = stream.values()
    assert (values["pairs"], values["rgb_alone"]) == ("1", "1")
    assert values["thermal_offset_mean_ms"] == "2.00"


def test_the_stream_ends_with_rgb_and_frees_a_thermal_camera_that_waits():
    intake, stream = made()
    intake.rgb.close()
    assert stream.next(0.0) == []
    assert stream.ended
    assert not intake.thermal.put(frame(1))


def test_thermal_may_come_out_alone_after_rgb_has_ended():
    intake, stream = made(lossless=False, thermal_alone=True)
    intake.rgb.close()
    intake.thermal.put(frame(1))
    assert [match.rgb for match in stream.next(0.0)] == [None]
    assert not stream.ended
    intake.thermal.close()
    stream.next(0.0)
    assert stream.ended


def test_a_frame_without_a_partner_comes_out_when_its_wait_is_over():
    intake, stream = made(lossless=False, stale_ns=10**12)
    intake.thermal.put(frame(0))
    intake.rgb.put(frame(100))
    matches = []
    for _ in range(3):
        # Well above the 50 ms that it may wait: the time-out is cut to what is due.
        matches += stream.next(60.0)
    assert [match.thermal for match in matches] == [None]


def test_a_camera_without_a_frame_is_stale():
    intake, stream = made(lossless=False)
    intake.rgb.put(frame(0))
    stream.next(0.0)
    assert stream.stale(0) == {"thermal": True, "rgb": False}


@pytest.mark.parametrize("key", ["pairing_error_mean_ms", "thermal_offset_mean_ms"])
def test_without_pairs_no_error_is_reported(key):
    assert key not in made()[1].values()
