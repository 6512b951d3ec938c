"""Splitting by flight: no flight is ever on both sides."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windhover.errors import DataError
from windhover_training.data.convert import split
from windhover_training.data.convert.summary import Summary
from windhover_training.data.readers import hit_uav
from windhover_training.data.readers.records import LabelledFrame, RawFrame

REPOSITORY = Path(__file__).parents[2]
PUBLISHED = (
    Path(os.environ.get("WINDHOVER_DATA", REPOSITORY.parent / "shared" / "data"))
    / "hit_uav"
    / "normal_json"
)


def record(day: bool, altitude: int, number: int) -> RawFrame:
    return RawFrame(
        f"{int(not day)}_{altitude}_30_0_{number:05d}",
        "",
        altitude=float(altitude),
        time_of_day="day" if day else "night",
        extra={"frame": number},
    )


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([60, 70, 130]), st.integers(0, 2000)),
        min_size=1,
        unique_by=lambda row: row[2],
    ),
    st.randoms(use_true_random=False),
)
def test_neighbouring_frames_of_one_flight_stay_together(rows, random) -> None:
    raws = sorted((record(*row) for row in rows), key=lambda r: r.extra["frame"])
    frames = list(hit_uav.with_flights(raws))
    assert [f.name for f in frames] == [r.name for r in raws]
    flights = list(dict.fromkeys(f.flight for f in frames))
    held_out = {"test": [n for n in flights if random.random() < 0.4]}
    parts = split.assign(flights, held_out)
    side = {name: part for part, names in parts.items() for name in names}
    assert sorted(side) == sorted(flights)
    for a, b in itertools.pairwise(frames):
        gap = b.extra["frame"] - a.extra["frame"]
        alike = (a.time_of_day, a.altitude) == (b.time_of_day, b.altitude)
        assert (a.flight == b.flight) == (alike and gap <= hit_uav.MAX_GAP)


def test_a_flight_is_refused_in_two_splits_or_by_a_wrong_name() -> None:
    frames = list(hit_uav.with_flights([record(True, 60, 1), record(True, 60, 900)]))
    flights = [frame.flight for frame in frames]
    assert flights == ["day-60m-00001", "day-60m-00900"]
    with pytest.raises(DataError, match=r"val.*test|test.*val"):
        split.assign(flights, {"val": ["day-60m-00001"], "test": ["day-60m-00001"]})
    with pytest.raises(DataError, match="day-60m-00002"):
        split.assign(flights, {"test": ["day-60m-00002"]})


def a_frame(flight: str, number: int, time: str | None, classes: list[int]) -> LabelledFrame:
    return LabelledFrame(
        name=f"{flight}-{number}",
        flight=flight,
        source="made up",
        images={"rgb": Path(f"{flight}-{number}.jpg")},
        width=100,
        height=100,
        boxes=np.tile([1.0, 2, 10, 10], (len(classes), 1)),
        class_ids=np.array(classes, np.int64),
        tracks=np.full(len(classes), -1),
        time_of_day=time,
    )


SHARES = {"train": 0.6, "val": 0.2, "test": 0.2}


@given(
    st.lists(
        st.tuples(
            st.integers(1, 12),
            st.sampled_from(["day", "night", None]),
            st.lists(st.sampled_from([-1, 0, 1]), max_size=4),
        ),
        min_size=1,
        max_size=14,
    )
)
def test_a_balanced_split_keeps_flights_whole_and_fills_every_split(flights) -> None:
    frames = [
        a_frame(f"f{i}", n, time, classes)
        for i, (count, time, classes) in enumerate(flights)
        for n in range(count)
    ]
    splits, _ = split.choose(frames, 2, Summary(), shares=SHARES)
    assert sorted(f.name for part in splits.values() for f in part) == sorted(
        f.name for f in frames
    )
    sides = [{f.flight for f in part} for part in splits.values()]
    assert not any(a & b for a, b in itertools.combinations(sides, 2))
    if len(flights) >= len(SHARES):
        assert all(sides)
    again, _ = split.choose(frames[::-1], 2, Summary(), shares=SHARES)
    assert {k: {f.name for f in v} for k, v in again.items()} == {
        k: {f.name for f in v} for k, v in splits.items()
    }


def test_light_and_rare_classes_are_shared_and_not_only_frames() -> None:
    frames = [
        a_frame(f"{time}{i}", n, time, [0] + [1] * (i == 0))
        for time in ("day", "night")
        for i in range(10)
        for n in range(10)
    ]
    frames += [a_frame("rare", n, "night", [1]) for n in range(10)]
    splits, how = split.choose(frames, 2, Summary(), shares={"train": 0.5, "test": 0.5})
    assert "balanced" in how
    for part in splits.values():
        times = [f.time_of_day for f in part]
        assert abs(times.count("day") - 50) <= 10
        assert sum(int((f.class_ids == 1).sum()) for f in part) >= 10


def test_a_publishers_split_is_kept_only_if_it_keeps_flights_whole() -> None:
    def marked(flight: str, part: str) -> LabelledFrame:
        frame = a_frame(flight, len(part), "day", [0])
        return replace(frame, extra={"published_split": part})

    whole = [marked("a", "train"), marked("b", "test")]
    splits, how = split.choose(whole, 1, Summary())
    assert "as published" in how
    assert [f.flight for f in splits["test"]] == ["b"]
    torn = [*whole, marked("b", "train")]
    splits, how = split.choose(torn, 1, Summary())
    assert "balanced" in how


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason=f"HIT-UAV is not at {PUBLISHED}")
def test_the_released_split_holds_out_what_is_reported() -> None:
    frames = list(hit_uav.read(PUBLISHED, Summary()))
    held_out = split.load_held_out(REPOSITORY / "training/configs/hit_uav_split.yaml")
    parts = split.assign(dict.fromkeys(f.flight for f in frames), held_out)
    counts = {p: sum(f.flight in names for f in frames) for p, names in parts.items()}
    assert counts == {"train": 729, "val": 55, "test": 296}
    seen = {
        (frame.time_of_day, box.category)
        for frame in frames
        if frame.flight in parts["test"] and frame.altitude <= 70
        for box in frame.boxes
    }
    wanted = {("day", "Person"), ("night", "Person"), ("night", "Car"), ("night", "Bicycle")}
    assert wanted <= seen
