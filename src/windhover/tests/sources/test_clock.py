"""Stamps are true on the wall clock of the moment, whatever the clocks do meanwhile."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from windhover.sources.clock import STEP_NS, ClockMap, Reading, SequenceCounter, read_clocks

MS = 1_000_000
WALL = 1_700_000_000 * 10**9
PERIOD = 33 * MS

delays = st.lists(st.integers(0, 30 * MS), min_size=2, max_size=80)
steps = st.dictionaries(st.integers(1, 79), st.sampled_from([-5, 5]), max_size=3)
drifts = st.integers(-500, 500)


class World:
    """Host clocks: one steady, one that is slewed by ``ppm`` and stepped at frames."""

    def __init__(self, ppm=0, steps=None):
        self.ppm = ppm
        self.steps = {frame: seconds * 10**9 for frame, seconds in (steps or {}).items()}

    def wall(self, monotonic_ns, frame):
        """The wall clock when the steps up to ``frame`` have been made."""
        stepped = sum(ns for at, ns in self.steps.items() if at <= frame)
        return WALL + monotonic_ns + monotonic_ns * self.ppm // 1_000_000 + stepped


def play(world, delays, monotonic, device_of=lambda taken: taken):
    """Frames every 33 ms, each ``delay`` late: their stamps and their true times."""
    clock = ClockMap(monotonic)
    stamps, truth = [], []
    for frame, delay in enumerate(delays):
        taken = 10**9 + frame * PERIOD
        arrived = taken + delay
        received = Reading(arrived, world.wall(arrived, frame))
        stamps.append(clock.stamp(device_of(taken), received))
        truth.append(world.wall(taken, frame))
    return clock, stamps, truth


@given(delays, drifts, steps)
def test_a_monotonic_driver_is_mapped_exactly(delays, ppm, steps):
    world = World(ppm, steps)
    clock, stamps, truth = play(world, delays, True)
    for frame, (stamp, true) in enumerate(zip(stamps, truth, strict=True)):
        # The slew during a frame's own delay: 30 ms at 500 ppm.
        assert abs(stamp.stamp_ns - true) <= 15_001
        assert bool(stamp.step_ns) == (frame in steps)
        if frame in steps:
            assert abs(stamp.step_ns - steps[frame] * 10**9) < 1 * MS
    assert clock.steps == sum(frame < len(delays) for frame in steps)
    assert clock.untrusted == 0


@given(delays, drifts, st.integers(-100, 100), st.integers(-(10**15), 10**15), steps)
def test_error_of_an_unknown_device_clock_is_at_most_its_minimum_delay(
    delays, ppm, device_ppm, device_zero, steps
):
    def device_of(taken):
        return device_zero + taken + taken * device_ppm // 1_000_000

    _, stamps, truth = play(World(ppm, steps), delays, False, device_of)
    # 5 s of window at 600 ppm of drift of one clock against the other.
    drift = 3 * MS
    for frame, (stamp, true) in enumerate(zip(stamps, truth, strict=True)):
        least = min(delays[: frame + 1])
        assert -drift <= stamp.stamp_ns - true <= least + drift


@given(delays, drifts, steps, st.booleans())
def test_stamps_increase_or_the_step_is_reported(delays, ppm, steps, monotonic):
    _, stamps, _ = play(World(ppm, steps), delays, monotonic)
    for before, after in pairwise(stamps):
        if not after.step_ns:
            assert after.stamp_ns > before.stamp_ns


@given(delays, st.integers(-STEP_NS // MS, STEP_NS // MS))
def test_a_small_step_is_followed_and_never_swaps_frames(delays, step_ms):
    world = World()
    world.steps = {len(delays) // 2: step_ms * MS}
    _, stamps, truth = play(world, delays, True)
    assert all(after.stamp_ns > before.stamp_ns for before, after in pairwise(stamps))
    assert abs(stamps[-1].stamp_ns - truth[-1]) <= 1


def test_ten_minutes_of_slew_are_followed():
    world, clock = World(ppm=500), ClockMap(True)
    offset_once = world.wall(0, 0)
    for second in range(0, 600, 5):
        taken = second * 10**9
        arrived = taken + 20 * MS
        stamp = clock.stamp(taken, Reading(arrived, world.wall(arrived, 0)))
        assert abs(stamp.stamp_ns - world.wall(taken, 0)) <= 10_001
    assert abs(offset_once + taken - world.wall(taken, 0)) > 290 * MS
    assert clock.steps == 0


def test_a_frame_in_flight_while_the_clock_steps_is_on_the_new_clock():
    clock = ClockMap(True)
    clock.stamp(0, Reading(5 * MS, WALL + 5 * MS))
    back = clock.stamp(PERIOD, Reading(PERIOD + 5 * MS, WALL + PERIOD + 5 * MS - 5 * 10**9))
    assert back.step_ns == -5 * 10**9
    assert back.stamp_ns == WALL + PERIOD - 5 * 10**9


def test_a_late_frame_alone_does_not_move_the_offset():
    clock = ClockMap(False)
    for frame in range(30):
        taken = frame * PERIOD
        delay = 900 * MS if frame == 20 else 4 * MS
        stamp = clock.stamp(7 + taken, Reading(taken + delay, WALL + taken + delay))
        assert stamp.stamp_ns == WALL + taken + 4 * MS
        assert not stamp.restarted


def test_a_device_clock_that_restarts_at_0_is_followed_at_once():
    clock = ClockMap(False)
    for frame in range(10):
        arrived = frame * PERIOD
        clock.stamp(50 * 10**9 + arrived, Reading(arrived, WALL + arrived))
    arrived = 10 * PERIOD
    again = clock.stamp(0, Reading(arrived, WALL + arrived))
    assert again.restarted
    assert again.stamp_ns == WALL + arrived
    assert clock.restarts == 1


def test_impossible_stamps_are_counted_and_replaced():
    for device_ns in (10**9 + 1, 10**9 - 3 * 10**9, 0):
        clock = ClockMap(True)
        stamp = clock.stamp(device_ns, Reading(10**9, WALL))
        assert (stamp.trusted, stamp.stamp_ns) == (device_ns == 0, WALL - 10**9 * (device_ns == 0))
    stamp = ClockMap(True).stamp(None, Reading(10**9, WALL))
    assert (stamp.trusted, stamp.stamp_ns) == (False, WALL)


def test_swapped_frames_keep_their_own_times():
    clock = ClockMap(True)
    order = [0, 1, 3, 2, 4]
    got = []
    for count, frame in enumerate(order):
        arrived = (count + 1) * PERIOD
        got.append(clock.stamp(frame * PERIOD, Reading(arrived, WALL + arrived)).stamp_ns)
    assert got == [WALL + frame * PERIOD for frame in order]


def test_both_clocks_are_read_in_the_shortest_of_several_tries():
    monotonic = iter([0, 100, 200, 202, 300, 350])
    wall = iter([1000, 2000, 3000])
    assert read_clocks(lambda: next(monotonic), lambda: next(wall)) == Reading(201, 2000)


@given(st.sets(st.integers(0, 199), min_size=1), st.integers(0, 2**32 - 1))
def test_lost_frames_are_counted_also_where_numbers_wrap(kept, start):
    counter = SequenceCounter()
    kept = sorted(kept)
    assert all(counter.count((start + number) % 2**32) for number in kept)
    assert counter.lost == kept[-1] - kept[0] + 1 - len(kept)
    assert counter.late == 0


@given(st.integers(0, 2**32 - 1))
def test_thirty_percent_lost_and_neighbours_swapped(seed):
    kept = np.random.default_rng(seed).random(300) > 0.3
    numbers = np.flatnonzero(kept).tolist()
    for at in range(1, len(numbers) - 2, 7):
        numbers[at], numbers[at + 1] = numbers[at + 1], numbers[at]
    counter = SequenceCounter()
    taken = [number for number in numbers if counter.count(number)]
    assert taken == sorted(taken)
    assert counter.late == len(numbers) - len(taken)
    # Whoever came late was not lost after all.
    assert counter.lost == max(numbers) - numbers[0] + 1 - len(numbers)


def test_a_stream_that_restarts_counts_no_losses():
    counter = SequenceCounter()
    assert all(counter.count(number) for number in (900, 901, 0, 1, 2))
    assert (counter.lost, counter.late) == (0, 0)


def test_without_numbers_stamps_define_the_order():
    counter = SequenceCounter()
    stamps = (0, PERIOD, 3 * PERIOD, 2 * PERIOD, 4 * PERIOD)
    assert [counter.count(None, ns) for ns in stamps] == [True, True, True, False, True]
    assert counter.late == 1
    assert all(counter.count(None) for _ in range(3))
