"""Pairs and assignment against the plain way to compute them."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from windhover.tracking.bytetrack.association import assign, overlapping, widen

CORNER = st.floats(0, 100, width=32)


@st.composite
def boxes(draw, most=12):
    count = draw(st.integers(0, most))
    corner = draw(hnp.arrays(np.float64, (count, 2), elements=CORNER))
    side = draw(hnp.arrays(np.float64, (count, 2), elements=st.floats(0.5, 60, width=32)))
    return np.concatenate((corner, corner + side), axis=1)


def iou(one, other):
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    area = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return width * height / (sum(area) - width * height)


@given(boxes(), boxes())
def test_all_overlapping_pairs_are_found(tracks, detections):
    pairs = overlapping(tracks, detections)
    found = dict(
        zip(
            zip(pairs.tracks.tolist(), pairs.detections.tolist(), strict=True),
            pairs.overlap,
            strict=True,
        )
    )
    assert len(found) == len(pairs.overlap)
    for i, j in itertools.product(range(len(tracks)), range(len(detections))):
        assert found.get((i, j), 0.0) == pytest.approx(iou(tracks[i], detections[j]))


def best_sum(gain):
    """Greatest sum over all one-to-one matchings, by trying them all."""
    if not gain.size:
        return 0.0
    if gain.shape[0] > gain.shape[1]:
        gain = gain.T
    rows, cols = gain.shape
    positive = np.maximum(gain, 0.0)
    return max(
        sum(positive[i, j] for i, j in enumerate(chosen))
        for chosen in itertools.permutations(range(cols), rows)
    )


@given(
    st.integers(1, 5).flatmap(
        lambda n: hnp.arrays(np.float64, (n, 5), elements=st.floats(-1, 1, width=32))
    )
)
def test_assignment_is_one_to_one_and_the_best(gain):
    rows, cols = np.nonzero(np.ones_like(gain))
    tracks, detections = assign(rows, cols, gain.ravel())
    assert len(set(tracks.tolist())) == len(tracks)
    assert len(set(detections.tolist())) == len(detections)
    assert (gain[tracks, detections] > 0).all()
    assert gain[tracks, detections].sum() == pytest.approx(best_sum(gain))


def test_a_greedy_choice_would_be_worse():
    # The best single pair (0, 0) leaves track 1 with nothing.
    tracks, detections = assign(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0.6, 0.5, 0.5]))
    assert sorted(zip(tracks.tolist(), detections.tolist(), strict=True)) == [(0, 1), (1, 0)]


def test_nothing_to_match():
    empty = np.empty((0, 4))
    some = np.array([[0.0, 0.0, 5.0, 5.0]])
    for tracks, detections in ((empty, some), (some, empty), (empty, empty)):
        assert len(overlapping(tracks, detections).overlap) == 0
    none = np.empty(0, np.intp)
    assert len(assign(none, none, np.empty(0))[0]) == 0


def test_only_small_sides_are_widened():
    wide = widen(np.array([[10.0, 10.0, 14.0, 40.0], [0.0, 0.0, 16.0, 20.0]]), 16.0)
    np.testing.assert_allclose(wide, [[4.0, 10.0, 20.0, 40.0], [0.0, 0.0, 16.0, 20.0]])
