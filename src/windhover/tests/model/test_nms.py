"""Vectorised NMS is the sequential greedy one, for any boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import windhover.model.nms as nms_module
from windhover.model.nms import nms


def greedy(
    boxes: np.ndarray, scores: np.ndarray, class_ids: np.ndarray, iou: float, limit: int
) -> list[int]:
    """The definition, box by box in plain Python."""
    usable = [i for i in range(len(scores)) if np.isfinite([*boxes[i], scores[i]]).all()]
    kept: list[int] = []
    for i in sorted(usable, key=lambda row: (-float(scores[row]), row)):
        if all(class_ids[i] != class_ids[j] or overlap(boxes[i], boxes[j]) <= iou for j in kept):
            kept.append(i)
    return kept[:limit]


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    ax1, ay1, ax2, ay2 = map(float, a)
    bx1, by1, bx2, by2 = map(float, b)
    width = max(0.0, min(ax2, bx2) - max(ax1, bx1))
    height = max(0.0, min(ay2, by2) - max(ay1, by1))
    areas = max(0.0, ax2 - ax1) * max(0.0, ay2 - ay1) + max(0.0, bx2 - bx1) * max(0.0, by2 - by1)
    union = areas - width * height
    return width * height / union if union > 0 else 0.0


def run(boxes: list[list[float]], scores: list[float], classes: list[int], iou: float) -> list[int]:
    picked = nms(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(classes, np.int32),
        iou,
        300,
    )
    return list(map(int, picked))


# Corners on a coarse grid, so that boxes often coincide, touch and nest; the
# threshold is no ratio of such areas, so rounding decides nothing.
corner = st.integers(-6, 10)
row = st.tuples(corner, corner, st.integers(-1, 9), st.integers(-1, 9), st.integers(0, 2))
score = st.sampled_from([0.3, 0.5, 0.5, 0.7, 0.9])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(row, score), max_size=60),
    st.sampled_from([0.0, 0.2501, 0.4507, 0.6003, 0.9001, 1.0]),
    st.integers(1, 40),
)
def test_equal_to_the_definition(
    rows: list[tuple[tuple[int, int, int, int, int], float]], iou: float, limit: int
) -> None:
    boxes = np.array([(x, y, x + w, y + h) for (x, y, w, h, _), _ in rows], np.float32)
    boxes = boxes.reshape(-1, 4)
    scores = np.array([s for _, s in rows], np.float32)
    classes = np.array([r[4] for r, _ in rows], np.int32)
    assert nms(boxes, scores, classes, iou, limit).tolist() == greedy(
        boxes, scores, classes, iou, limit
    )


@pytest.mark.parametrize("seed", range(6))
def test_equal_to_the_definition_on_crowds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.uniform(0, 640, (30, 2))
    which = rng.integers(0, 30, 700)
    centre = centres[which] + rng.normal(0, 3, (700, 2))
    size = rng.uniform(15, 60, (30, 2))[which] * rng.uniform(0.9, 1.1, (700, 2))
    boxes = np.concatenate((centre - size / 2, centre + size / 2), axis=1).astype(np.float32)
    scores = rng.uniform(0.2, 1, 700).astype(np.float32)
    classes = rng.integers(0, 3, 700).astype(np.int32)
    expected = greedy(boxes, scores, classes, 0.6, 300)
    assert 60 < len(expected) < 300
    assert nms(boxes, scores, classes, 0.6, 300).tolist() == expected


@pytest.mark.parametrize("limit", [5, 300])
def test_blocks_give_what_one_sweep_gives(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    rng = np.random.default_rng(3)
    low = rng.uniform(0, 60, (200, 2))
    boxes = np.concatenate((low, low + rng.uniform(5, 25, (200, 2))), axis=1).astype(np.float32)
    scores = rng.uniform(size=200).astype(np.float32)
    classes = rng.integers(0, 2, 200).astype(np.int32)
    expected = greedy(boxes, scores, classes, 0.3, limit)
    monkeypatch.setattr(nms_module, "_BLOCK", 7)
    assert nms(boxes, scores, classes, 0.3, limit).tolist() == expected


def test_a_chain_of_suppressions_frees_every_other_box() -> None:
    # Each overlaps only its neighbours (IoU 0.5), so 0 removes 1, which frees 2.
    boxes = [[3.0 * i, 0, 3.0 * i + 9, 10] for i in range(9)]
    assert run(boxes, [0.9 - 0.05 * i for i in range(9)], [0] * 9, 0.4) == [0, 2, 4, 6, 8]


def test_classes_never_suppress_each_other() -> None:
    box = [10.0, 10, 20, 20]
    assert run([box, box, box], [0.5, 0.9, 0.7], [0, 1, 0], 0.5) == [1, 2]


def test_of_equal_scores_the_earlier_stays() -> None:
    boxes = [[0.0, 0, 10, 10], [1.0, 0, 11, 10], [50.0, 0, 60, 10]]
    assert run(boxes, [0.5, 0.5, 0.5], [0, 0, 0], 0.5) == [0, 2]


def test_overlap_must_exceed_the_threshold() -> None:
    # 5 x 10 shared of 150: IoU is 1/3; and exactly 1/2 at a threshold of 1/2.
    assert run([[0, 0, 10, 10], [5, 0, 15, 10]], [0.9, 0.8], [0, 0], 0.33) == [0]
    assert run([[0, 0, 10, 10], [5, 0, 15, 10]], [0.9, 0.8], [0, 0], 0.34) == [0, 1]
    assert run([[0, 0, 20, 10], [0, 0, 10, 10]], [0.9, 0.8], [0, 0], 0.5) == [0, 1]


def test_nan_and_infinity_are_dropped_and_harm_nothing() -> None:
    nan, inf = float("nan"), float("inf")
    good = [0.0, 0, 10, 10]
    boxes = [[nan, 0, 10, 10], good, [0, 0, inf, inf], [-inf, -inf, inf, inf], good, good]
    assert run(boxes, [0.9, 0.5, 0.95, 0.99, nan, inf], [0] * 6, 0.5) == [1]


def test_huge_boxes_do_not_overflow() -> None:
    boxes = [[-3e38, -3e38, 3e38, 3e38], [0.0, 0, 10, 10], [0.0, 0, 10, 10.5]]
    with np.errstate(all="raise"):
        assert run(boxes, [0.9, 0.8, 0.7], [0, 0, 0], 0.5) == [0, 1]


def test_boxes_without_area() -> None:
    boxes = [[5.0, 5, 5, 5], [5.0, 5, 5, 5], [9.0, 9, 2, 2], [0.0, 0, 10, 10]]
    assert run(boxes, [0.9, 0.8, 0.7, 0.6], [0, 0, 0, 0], 0.0) == [0, 1, 2, 3]


def test_many_classes_far_apart_in_x() -> None:
    # Class 999's stretch of the sweep starts far out; precision must hold there.
    box = [[1000.0 + i, 0, 1010.0 + i, 10] for i in (0, 1, 30)]
    assert run(box * 2, [0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [999] * 3 + [0] * 3, 0.5) == [0, 2, 3, 5]


def test_classes_stay_apart_where_rounding_eats_the_gap_between_them() -> None:
    box = [0.0, 0, 1e10, 1e10]
    assert run([box, box], [0.9, 0.8], [0, 1], 0.0) == [0, 1]


def test_no_boxes_give_no_boxes() -> None:
    assert run([], [], [], 0.5) == []


def test_cap_on_candidates_takes_the_best() -> None:
    boxes = np.array([[20.0 * i, 0, 20.0 * i + 10, 10] for i in range(8)], np.float32)
    scores = np.array([0.1, 0.8, 0.2, 0.7, 0.3, 0.6, 0.4, 0.5], np.float32)
    classes = np.zeros(8, np.int32)
    assert nms(boxes, scores, classes, 0.5, 300, max_candidates=3).tolist() == [1, 3, 5]
