"""Pairing by natural order, and what a missing file does to it."""

from __future__ import annotations

import random
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from windhover_training.data.convert.summary import Summary
from windhover_training.data.readers.pairing import natural_order, pair_images

numbers = st.lists(st.integers(0, 5000), unique=True, min_size=1, max_size=40)


def paths(folder: str, stems) -> list[Path]:
    return natural_order(Path(folder, f"{stem}.jpg") for stem in stems)


@given(numbers, st.integers(0, 99))
def test_order_is_that_of_numbers_whatever_their_width(values, seed) -> None:
    shuffled = random.Random(seed).sample(values, len(values))
    assert [int(p.stem) for p in paths("v", shuffled)] == sorted(values)


@given(numbers, st.booleans())
def test_the_nth_belongs_to_the_nth(values, padded) -> None:
    visible = paths("v", values)
    thermal = paths("t", [f"{v:07d}" if padded else f"ir_{v}" for v in values])
    summary = Summary()
    pairs = pair_images(visible, thermal, "s", summary)
    assert [int(a.stem) for a, _ in pairs] == sorted(values)
    assert all(int(a.stem) == int(b.stem.removeprefix("ir_")) for a, b in pairs)
    assert not summary.counts


@given(st.data())
def test_a_missing_file_never_shifts_the_pairs_behind_it(data) -> None:
    values = data.draw(st.lists(st.integers(0, 500), unique=True, min_size=8, max_size=30))
    lost = st.lists(st.sampled_from(values), unique=True, max_size=2)
    no_visible, no_thermal = data.draw(lost), data.draw(lost)
    visible = paths("v", [f"{v:07d}" for v in values if v not in no_visible])
    thermal = paths("t", [f"{v:07d}" for v in values if v not in no_thermal])
    summary = Summary()
    pairs = pair_images(visible, thermal, "s", summary)
    assert all(a.stem == b.stem for a, b in pairs)
    whole = set(values) - set(no_visible) - set(no_thermal)
    assert {int(a.stem) for a, _ in pairs} == whole
    assert summary.count("dropped") == len(set(no_visible) ^ set(no_thermal))


def test_what_can_not_be_paired_is_said() -> None:
    summary = Summary()
    assert pair_images(paths("v", "abc"), paths("t", "de"), "s", summary) == []
    assert summary.rows()[0][3] == ["s (3 visible, 2 thermal)"]
