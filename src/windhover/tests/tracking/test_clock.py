"""Stamps that step back, jump or repeat still give sensible elapsed time."""

import pytest

from windhover.tracking.clock import FrameClock

MS = 1_000_000


def elapsed(stamps_ms, jump_s=3.0):
    clock = FrameClock(jump_s)
    answers = [clock.advance(stamp * MS) for stamp in stamps_ms]
    return [None if a is None else a / MS for a in answers]


def test_steady_and_dropped_frames():
    assert elapsed([1000, 1033, 1066, 1166]) == [0, 33, 33, 100]


def test_a_stamp_that_repeats_is_no_time():
    assert elapsed([1000, 1033, 1033, 1066]) == [0, 33, 0, 33]


def test_a_late_frame_is_not_counted_twice():
    assert elapsed([1000, 1033, 1010, 1066]) == [0, 33, 0, 33]


def test_after_a_step_back_time_goes_on():
    # A clock that is set back half a second and runs on: only the step is lost.
    assert elapsed([1000, 500, 533, 566, 600]) == [0, 0, 33, 33, 34]


@pytest.mark.parametrize("step", [3001, -3001])
def test_a_jump_gives_none_and_the_new_stamp_counts(step):
    assert elapsed([10_000, 10_000 + step, 10_033 + step]) == [0, None, 33]


@pytest.mark.parametrize("step", [3000, -3000])
def test_the_limit_itself_is_no_jump(step):
    assert elapsed([10_000, 10_000 + step])[1] == max(0, step)


def test_reset_takes_any_stamp():
    clock = FrameClock(1.0)
    clock.advance(10**18)
    clock.reset()
    assert clock.advance(0) == 0
