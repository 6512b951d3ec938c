"""Splitting by flight: no flight is ever on both sides."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from windhover_training.data import hit_uav, split

REPOSITORY = Path(__file__).parents[2]
PUBLISHED = (
    Path(os.environ.get("WINDHOVER_DATA", REPOSITORY.parent / "shared" / "data"))
    / "hit_uav"
    / "normal_json"
)


def record(day: bool, altitude: int, frame: int) -> hit_uav.Record:
    name = f"{int(not day)}_{altitude}_30_0_{frame:05d}.jpg"
    return hit_uav.Record(Path(name), day, altitude, 30, frame, 512, 640, ())


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([60, 70, 130]), st.integers(0, 2000)),
        min_size=1,
        unique_by=lambda row: row[2],
    ),
    st.randoms(use_true_random=False),
)
def test_neighbouring_frames_of_one_flight_stay_together(rows, random) -> None:
    records = sorted((record(*row) for row in rows), key=lambda r: r.frame)
    flights = split.flights_of(records)
    assert sorted(r.frame for f in flights.values() for r in f) == [r.frame for r in records]
    held_out = {"test": [n for n in flights if random.random() < 0.4]}
    side = {
        r.frame: part
        for part, members in split.assign(flights, held_out).items()
        for name in members
        for r in flights[name]
    }
    for a, b in itertools.pairwise(records):
        alike = (a.day, a.altitude) == (b.day, b.altitude) and b.frame - a.frame <= split.MAX_GAP
        if alike:
            assert side[a.frame] == side[b.frame]


def test_a_flight_is_refused_in_two_splits_or_by_a_wrong_name() -> None:
    flights = split.flights_of([record(True, 60, 1), record(True, 60, 900)])
    assert list(flights) == ["day-60m-00001", "day-60m-00900"]
    with pytest.raises(ValueError, match=r"val.*test|test.*val"):
        split.assign(flights, {"val": ["day-60m-00001"], "test": ["day-60m-00001"]})
    with pytest.raises(ValueError, match="day-60m-00002"):
        split.assign(flights, {"test": ["day-60m-00002"]})


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason=f"HIT-UAV is not at {PUBLISHED}")
def test_the_released_split_holds_out_what_is_reported() -> None:
    flights = split.flights_of(hit_uav.load(PUBLISHED, hit_uav.Summary()))
    held_out = yaml.safe_load((REPOSITORY / "training/configs/hit_uav_split.yaml").read_text())
    parts = split.assign(flights, held_out)
    stems = {p: {r.stem for n in names for r in flights[n]} for p, names in parts.items()}
    assert sum(len(s) for s in stems.values()) == len(set.union(*stems.values())) == 1080
    seen = {
        (r.day, b.class_id)
        for name in parts["test"]
        for r in flights[name]
        if r.altitude <= 70
        for b in r.boxes
    }
    assert {(True, 0), (False, 0), (False, 1), (False, 2)} <= seen
