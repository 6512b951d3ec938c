"""Class-aware greedy non-maximum suppression without a loop over boxes.

Greedy NMS keeps the best-scored box, drops every box of its class that
overlaps it by more than a threshold, and goes on with the best of the rest
(Felzenszwalb et al., "Object Detection with Discriminatively Trained
Part-Based Models", TPAMI 2010, section 5.2). That is sequential by definition;
here the same result is reached by arrays:

1. Pairs of boxes that overlap at all are found by a sweep along x, classes
   laid side by side, so that a pair of different classes is never looked at.
2. Among those pairs "i suppresses j" is known: i is better scored and the IoU
   is over the threshold.
3. A box is kept exactly when no *kept* box suppresses it. Starting from "all
   are kept" and applying that rule again settles box after box from the best
   score down, so it ends at the greedy result after as many rounds as the
   longest chain of suppressions, which is short on real detections.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from windhover.types import BoxArray

MAX_CANDIDATES = 4096
"""Boxes that NMS looks at in a frame, best-scored first.

It bounds the time of a frame where noise passes the threshold everywhere; a
frame of 100 objects gives some 500 to 1500 candidates.
"""

_BLOCK = 1024
"""Boxes that are swept at once: at most half a million pairs in memory."""

_Index = NDArray[np.intp]


def nms(
    boxes: BoxArray,
    scores: NDArray[np.float32],
    class_ids: NDArray[np.int32],
    iou: float,
    max_detections: int,
    *,
    max_candidates: int = MAX_CANDIDATES,
) -> _Index:
    """Choose the boxes that stand for one object each.

    Args:
        boxes: ``(N, 4)``, ``x1, y1, x2, y2``, any one unit and frame.
        scores: ``(N,)``.
        class_ids: ``(N,)``, not negative; boxes of different classes never
            suppress each other.
        iou: overlap (intersection over union) above which two boxes are one
            object, 0..1.
        max_detections: most boxes to return.
        max_candidates: most boxes to look at, best-scored first.

    Returns:
        Rows of the boxes that stay, best score first; of equal scores the
        earlier row comes first. A row with a NaN or infinity is never chosen
        and suppresses nothing.
    """
    usable = np.isfinite(scores) & np.isfinite(boxes).all(axis=1)
    rows = np.flatnonzero(usable)
    order = rows[np.argsort(-scores[rows], kind="stable")][:max_candidates]
    kept = np.empty(0, np.intp)
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        if len(kept):
            block = block[~_suppressed_by(boxes, class_ids, kept, block, iou)]
        block = block[_greedy(boxes[block], class_ids[block], iou)]
        kept = np.concatenate((kept, block))
        # Later boxes score less, so they can't displace any of these.
        if len(kept) >= max_detections:
            break
    return kept[:max_detections]


def _greedy(boxes: BoxArray, class_ids: NDArray[np.int32], iou: float) -> NDArray[np.bool_]:
    """Which of the boxes stay; rows are in order of falling score."""
    first, second = _overlapping_pairs(boxes, class_ids)
    over = _pair_iou_over(boxes, first, second, iou)
    winner = np.minimum(first, second)[over]
    loser = np.maximum(first, second)[over]
    keep = np.ones(len(boxes), np.bool_)
    while True:
        settled = np.ones(len(boxes), np.bool_)
        settled[loser[keep[winner]]] = False
        if np.array_equal(settled, keep):
            return keep
        keep = settled


def _overlapping_pairs(boxes: BoxArray, class_ids: NDArray[np.int32]) -> tuple[_Index, _Index]:
    """Rows of all pairs of one class whose boxes share some area, each pair once."""
    # A class's x range is shifted clear of the others'. Rounding keeps the
    # order of two sums, so the shift can add a pair but never lose one.
    left, right = boxes[:, 0].astype(np.float64), boxes[:, 2].astype(np.float64)
    span = float(right.max(initial=0.0)) - float(left.min(initial=0.0)) + 1.0
    shift = class_ids * span
    left += shift
    right += shift
    order = np.argsort(left, kind="stable")
    ends = np.searchsorted(left[order], right[order], side="left")
    places = np.arange(len(order))
    counts = np.maximum(ends - places - 1, 0)
    # Row p of the sweep meets rows p+1 .. ends[p]-1; this lists them all.
    total = int(counts.sum())
    within = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
    first_place = np.repeat(places, counts)
    first, second = order[first_place], order[first_place + within + 1]
    top, bottom = boxes[:, 1], boxes[:, 3]
    meet = (top[first] < bottom[second]) & (top[second] < bottom[first])
    meet &= class_ids[first] == class_ids[second]
    return first[meet], second[meet]


def _pair_iou_over(boxes: BoxArray, first: _Index, second: _Index, iou: float) -> NDArray[np.bool_]:
    a, b = boxes[first].astype(np.float64), boxes[second].astype(np.float64)
    return _iou_over(a, b, iou)


def _suppressed_by(
    boxes: BoxArray, class_ids: NDArray[np.int32], kept: _Index, block: _Index, iou: float
) -> NDArray[np.bool_]:
    """Which rows of ``block`` a kept box of their class suppresses."""
    a = boxes[kept].astype(np.float64)[:, None]
    b = boxes[block].astype(np.float64)[None]
    over = _iou_over(a, b, iou) & (class_ids[kept][:, None] == class_ids[block][None])
    return np.asarray(over.any(axis=0))


def _iou_over(a: NDArray[np.float64], b: NDArray[np.float64], iou: float) -> NDArray[np.bool_]:
    """Whether IoU of boxes in the last axis is over ``iou``; no division, so 0/0 is not."""
    width = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    height = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    shared = np.maximum(width, 0.0) * np.maximum(height, 0.0)
    union = _area(a) + _area(b) - shared
    return np.asarray(shared > iou * union)


def _area(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    width = np.maximum(boxes[..., 2] - boxes[..., 0], 0.0)
    return width * np.maximum(boxes[..., 3] - boxes[..., 1], 0.0)
