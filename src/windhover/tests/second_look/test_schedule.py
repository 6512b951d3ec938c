"""New and unsure people are looked at first, and nobody is forgotten."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windhover.second_look.evidence import LookRates
from windhover.second_look.schedule import FrameView, LookPolicy, LookScheduler
from windhover.types import Tracks

SIZE = (1280, 720)
MS = 1_000_000
PEOPLE = np.array([0], np.int32)


def view(stamp_ns=0, batch_ms=0.0, batch=1):
    return FrameView(SIZE, 3.0, stamp_ns, batch, batch_ms)


def people(count):
    x = 30.0 + 40.0 * np.arange(count, dtype=np.float32)
    return np.column_stack((x, np.full(count, 300.0), x + 12, np.full(count, 330.0))).astype(
        np.float32
    )


def tracks(boxes):
    count = len(boxes)
    return Tracks(
        boxes, np.ones(count, np.float32), np.zeros(count, np.int32),
        np.arange(1, count + 1, dtype=np.int64),
    )  # fmt: skip


def fly(scheduler, boxes, frames, carries=()):
    """Which people were looked at in each frame, and what was dropped."""
    log = []
    for frame in range(frames):
        stamp = frame * 33 * MS
        choice = scheduler.choose(boxes, view(stamp))
        scheduler.looked(boxes[choice.rows], np.isin(choice.rows, carries))
        scheduler.observe(tracks(boxes), PEOPLE, stamp)
        log.append(choice)
    return log


@given(st.integers(0, 25), st.integers(1, 8), st.integers(1, 12))
def test_nobody_waits_longer_than_they_must(count, most, every):
    policy = LookPolicy(budget_ms=0.0, every=every, max_chips=most)
    log = fly(LookScheduler(policy, LookRates()), people(count), 60)
    assert all(len(choice.rows) <= most for choice in log)
    longest = max(every, -(-count // most)) + 1
    for person in range(count):
        looks = [i for i, choice in enumerate(log) if person in choice.rows]
        assert np.diff([-1, *looks]).max() <= longest


def test_new_people_come_first_and_what_is_left_out_is_counted():
    scheduler = LookScheduler(LookPolicy(budget_ms=0.0, max_chips=2), LookRates())
    boxes = people(5)
    first = scheduler.choose(boxes, view())
    assert (first.rows.tolist(), first.dropped) == ([0, 1], 3)
    scheduler.looked(boxes[first.rows], np.zeros(2, bool))
    scheduler.observe(tracks(boxes), PEOPLE, 0)
    assert scheduler.choose(boxes, view(33 * MS)).rows.tolist() == [2, 3]


def test_the_unsure_are_looked_at_more_often_than_the_sure():
    policy = LookPolicy(budget_ms=0.0, every=1000, max_chips=1)
    rates = LookRates(prior=0.5, half_life_s=1e6)
    scheduler = LookScheduler(policy, rates)
    boxes = people(2)
    counts, finds = np.zeros(2), 0
    for frame in range(200):
        choice = scheduler.choose(boxes, view(frame))
        # Nothing is ever found on the first person; on the second one time in eight.
        found = (choice.rows == 1) & (counts[1] % 8 == 7)
        finds += int(found.sum())
        scheduler.looked(boxes[choice.rows], found)
        scheduler.observe(tracks(boxes), PEOPLE, frame)
        counts[choice.rows] += 1
    assert finds > 5
    assert counts[1] > counts[0] > 10


def test_who_carries_something_is_looked_at_in_every_frame_that_has_room():
    scheduler = LookScheduler(LookPolicy(budget_ms=0.0, max_chips=4), LookRates())
    log = fly(scheduler, people(12), 40, carries=(2, 7))
    # In the first three frames everybody is new.
    assert all({2, 7} <= set(choice.rows.tolist()) for choice in log[3:])
    # The others are looked at in turn all the same.
    assert {row for choice in log[-10:] for row in choice.rows.tolist()} == set(range(12))


@pytest.mark.parametrize(
    ("batch_ms", "batch", "looks"),
    [(0.0, 1, 8), (2.0, 1, 3), (7.0, 1, 0), (2.0, 2, 6), (6.0, 8, 8), (6.1, 8, 0)],
)
def test_a_budget_of_time_limits_the_looks(batch_ms, batch, looks):
    scheduler = LookScheduler(LookPolicy(budget_ms=6.0, max_chips=8), LookRates())
    choice = scheduler.choose(people(20), view(0, batch_ms, batch))
    assert (len(choice.rows), choice.dropped) == (looks, 20 - looks)


def test_a_batch_that_takes_longer_than_the_budget_is_still_run_now_and_then():
    scheduler = LookScheduler(LookPolicy(budget_ms=6.0, every=5), LookRates())
    boxes, looks = people(3), []
    for frame in range(20):
        choice = scheduler.choose(boxes, view(frame, 9.0, 4))
        scheduler.looked(boxes[choice.rows], np.zeros(len(choice.rows), bool))
        looks.append(len(choice.rows))
    assert looks == [*[0] * 4, 3] * 4


@pytest.mark.parametrize(
    ("box", "usable"),
    [
        ((100, 100, 104, 105.4), True),
        ((100, 100, 104, 105.2), False),
        ((0.0, 100, 12, 130), False),
        ((1270, 100, 1280, 130), False),
    ],
)
def test_small_and_cut_people_are_not_looked_at(box, usable):
    scheduler = LookScheduler(LookPolicy(min_side_px=16.0), LookRates())
    choice = scheduler.choose(np.array([box], np.float32), view())
    assert (len(choice.rows) == 1) == usable


def test_evidence_belongs_to_the_track_and_ends_with_it():
    scheduler = LookScheduler(LookPolicy(budget_ms=0.0), LookRates())
    boxes = people(3)
    fly(scheduler, boxes, 5, carries=(1,))
    now = 5 * 33 * MS
    known = scheduler.probabilities(now)
    assert set(known) == {1, 2, 3}
    assert known[2] > 0.9
    assert max(known[1], known[3]) < 0.05
    # Lost for eight seconds it is known, after eleven it has ended.
    for seconds, ids in ((8, {1, 2, 3}), (11, {1, 3})):
        scheduler.observe(tracks(boxes)[[0, 2]], PEOPLE, now + seconds * 1000 * MS)
        assert set(scheduler.probabilities(now)) == ids


def test_a_clock_that_was_set_back_ends_what_lies_in_its_future():
    scheduler = LookScheduler(LookPolicy(budget_ms=0.0), LookRates())
    fly(scheduler, people(3), 5)
    scheduler.observe(tracks(people(3))[[0]], PEOPLE, -3600 * 1000 * MS)
    assert len(scheduler._people) == 1
