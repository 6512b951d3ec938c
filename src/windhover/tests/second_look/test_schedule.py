"""New and unsure people are looked at first, and nobody is forgotten."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windhover.second_look.evidence import LookRates
from windhover.second_look.schedule import LookPolicy, LookScheduler
from windhover.types import Tracks

SIZE = (1280, 720)
MS = 1_000_000


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
        choice = scheduler.choose(boxes, SIZE, scale=3.0, stamp_ns=stamp)
        scheduler.looked(boxes[choice.rows], np.isin(choice.rows, carries))
        scheduler.observe(tracks(boxes), 0, stamp)
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
    first = scheduler.choose(boxes, SIZE, scale=3.0)
    assert (first.rows.tolist(), first.dropped) == ([0, 1], 3)
    scheduler.looked(boxes[first.rows], np.zeros(2, bool))
    scheduler.observe(tracks(boxes), 0, 0)
    assert scheduler.choose(boxes, SIZE, scale=3.0, stamp_ns=33 * MS).rows.tolist() == [2, 3]


def test_the_unsure_are_looked_at_more_often_than_the_sure():
    policy = LookPolicy(budget_ms=0.0, every=1000, max_chips=1)
    rates = LookRates(prior=0.5, half_life_s=1e6)
    scheduler = LookScheduler(policy, rates)
    boxes = people(2)
    rng = np.random.default_rng(0)
    counts = np.zeros(2)
    for frame in range(200):
        choice = scheduler.choose(boxes, SIZE, scale=3.0, stamp_ns=frame)
        # The first person is found every time, the second now and then.
        found = np.array([row == 0 or rng.random() < 0.4 for row in choice.rows])
        scheduler.looked(boxes[choice.rows], found)
        scheduler.observe(tracks(boxes), 0, frame)
        counts[choice.rows] += 1
    assert counts[1] > counts[0] > 10


def test_a_budget_of_time_limits_the_looks():
    policy = LookPolicy(budget_ms=6.0, max_chips=8)
    scheduler = LookScheduler(policy, LookRates())
    assert len(scheduler.choose(people(20), SIZE, scale=3.0, chip_ms=2.0).rows) == 3
    assert len(scheduler.choose(people(20), SIZE, scale=3.0, chip_ms=7.0).rows) == 0
    assert len(scheduler.choose(people(20), SIZE, scale=3.0, chip_ms=0.0).rows) == 8


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
    choice = scheduler.choose(np.array([box], np.float32), SIZE, scale=3.0)
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
    scheduler.forget(np.array([2], np.int64))
    assert 2 not in scheduler.probabilities(now)
