"""Published boxes: what comes out always lies in its image and has an area."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windhover_training.data.readers.boxes import MIN_SIDE, clean_box

anything = st.one_of(
    st.floats(), st.integers(-(10**6), 10**6), st.none(), st.text(max_size=3), st.booleans()
)
rows = st.one_of(st.lists(anything, max_size=6), anything)


@given(rows, st.integers(1, 4000), st.integers(1, 4000))
def test_whatever_is_given_a_box_lies_in_its_image_or_is_none(bbox, width, height) -> None:
    box, said = clean_box(bbox, width, height)
    if box is None:
        assert said
        return
    x, y, w, h = box
    assert all(map(math.isfinite, box))
    assert min(w, h) >= MIN_SIDE
    tolerance = 1e-6 * max(width, height)
    assert x >= 0 <= y
    assert x + w <= width + tolerance
    assert y + h <= height + tolerance


inside = st.tuples(
    st.floats(0, 300), st.floats(0, 200), st.floats(2, 300), st.floats(2, 200)
).filter(lambda b: b[0] + b[2] <= 640 and b[1] + b[3] <= 512)


@given(inside)
def test_a_good_box_is_left_as_it_is(bbox) -> None:
    assert clean_box(list(bbox), 640, 512) == (bbox, "")


@given(st.tuples(*[st.floats(-700, 700)] * 2, *[st.floats(-10, 1500)] * 2))
def test_cleaning_twice_changes_nothing_more(bbox) -> None:
    once, _ = clean_box(bbox, 640, 512)
    if once is not None and min(once[2:]) > MIN_SIDE + 1e-6:
        again, said = clean_box(once, 640, 512)
        assert again == pytest.approx(once)
        assert said in ("", "clipped to its image")  # by rounding of x + w


@pytest.mark.parametrize(
    ("bbox", "reason"),
    [
        ([1, 2, 3], "not four numbers"),
        ("1,2,3,4", "not four numbers"),
        ([1, 2, "x", 4], "not four numbers"),
        ([1, 2, float("nan"), 4], "not finite"),
        ([1, 2, float("inf"), 4], "not finite"),
        ([1, 2, 0, 4], "no area"),
        ([1, 2, 5, -4], "no area"),
        ([700, 2, 5, 5], "outside its image"),
        ([-50, 2, 50, 5], "outside its image"),
        ([639, 2, 50, 50], "under 2 px in its image"),
    ],
)
def test_each_flaw_has_its_own_reason(bbox, reason) -> None:
    assert clean_box(bbox, 640, 512) == (None, reason)
