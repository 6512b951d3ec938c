"""Class-aware greedy non-maximum suppression without a loop over boxes.

Greedy NMS keeps the best-scored box, drops every box of its class that
overlaps it by more than a threshold, and continues with the best of the rest
(Felzenszwalb et al., "Object Detection with Discriminatively Trained
Part-Based Models", TPAMI 2010, section 5.2). That is sequential by definition;
here the same result is reached by arrays:

1. Pairs that may overlap by so much are found by a sweep along x, classes laid
   side by side, so that a pair of different classes is never looked at.
2. Among those pairs "i suppresses j" is known: i is better scored and the IoU
   is over the threshold.
3. A box that no other suppresses stays, so what it suppresses goes, and with
   the boxes that go all that they would have suppressed. What remains is settled
   by the same rule, in as many rounds as the longest chain of suppressions has
   links, which is few on real detections.
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

_BLOCK = 1536
"""Boxes that are swept at once: at most 1.2 million pairs in memory."""

_Index = NDArray[np.intp]
# (5, N): x1, y1, x2, y2, and area * iou / (1 + iou) (see _overlaps).
_Columns = NDArray[np.float32]
# Areas of boxes no wider than this stay finite in float32.
_FAR = 1e18


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
    columns = _columns(boxes[order], iou)
    classes = class_ids[order]
    kept = np.empty(0, np.intp)
    for start in range(0, len(order), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(order)))
        if len(kept):
            over = _overlaps(columns[:, kept, None], columns[:, None, block])
            same = classes[kept, None] == classes[None, block]
            block = block[~(over & same).any(axis=0)]
        block = block[_greedy(columns.take(block, axis=1), classes[block], iou)]
        kept = np.concatenate((kept, block))
        # Later boxes score less, so they can't displace any of these.
        if len(kept) >= max_detections:
            break
    return order[kept[:max_detections]]


def _columns(boxes: BoxArray, iou: float) -> _Columns:
    x1, y1, x2, y2 = boxes.clip(-_FAR, _FAR).T
    area = np.maximum(x2 - x1, 0.0) * np.maximum(y2 - y1, 0.0)
    return np.stack((x1, y1, x2, y2, area * np.float32(iou / (1.0 + iou))))


def _overlaps(a: _Columns, b: _Columns) -> NDArray[np.bool_]:
    """Whether IoU is over the threshold: shared / (A + B - shared) > t, without division.

    That is ``shared > t / (1 + t) * A + t / (1 + t) * B``, the terms at hand in
    the last column. Boxes without area overlap nothing.
    """
    shared = np.minimum(a[2], b[2])
    shared -= np.maximum(a[0], b[0])
    # One side clipped is enough to keep the product of two negative sides away.
    np.maximum(shared, 0.0, out=shared)
    height = np.minimum(a[3], b[3])
    height -= np.maximum(a[1], b[1])
    shared *= height
    return np.asarray(shared > a[4] + b[4])


def _greedy(columns: _Columns, classes: NDArray[np.int32], iou: float) -> NDArray[np.bool_]:
    """Which of the boxes stay; they are in order of falling score."""
    sweep, counts = _sweep(columns, classes, iou)
    # Place p of the sweep meets p+1 .. p+counts[p]; this lists them all.
    places = np.arange(len(sweep))
    second = np.repeat(places + 1 + counts - np.cumsum(counts), counts)
    second += np.arange(len(second))
    columns = columns.take(sweep, axis=1)
    over = np.flatnonzero(
        _overlaps(np.repeat(columns, counts, axis=1), columns.take(second, axis=1))
    )
    one, other = sweep[np.repeat(places, counts)[over]], sweep[second[over]]
    same = classes[one] == classes[other]
    one, other = one[same], other[same]
    return _mark_suppressed(np.minimum(one, other), np.maximum(one, other), len(sweep))


def _mark_suppressed(winner: _Index, loser: _Index, count: int) -> NDArray[np.bool_]:
    """Which of ``count`` boxes stay, when each winner that stays removes its losers."""
    keep = np.ones(count, np.bool_)
    while len(winner):
        beaten = np.zeros(count, np.bool_)
        beaten[loser] = True
        # What nobody left beats stays for good; the best winner is always such.
        keep[loser[~beaten[winner]]] = False
        left = keep[loser] & keep[winner]
        winner, loser = winner[left], loser[left]
    return keep


def _sweep(
    columns: _Columns, classes: NDArray[np.int32], iou: float
) -> tuple[_Index, NDArray[np.intp]]:
    """Order by class and left side, and how many of the next ones may overlap each enough.

    If the IoU of two boxes is over t, so is the IoU of their x intervals; so the
    one that starts later starts within (1 - t) of the other's width.
    """
    left = columns[0].astype(np.float64)
    width = np.maximum(columns[2] - left, 0.0)
    # Classes are placed side by side on one axis; what rounding there can move is
    # far below the slack, and a pair too many does no harm.
    span = float((left + width).max(initial=0.0) - left.min(initial=0.0)) + 1.0
    start = left + classes * span
    order = np.argsort(start, kind="stable")
    start = start[order]
    slack = 1e-9 * (float(np.abs(start).max(initial=0.0)) + span)
    limit = start + (1.0 - iou) * width[order] + slack
    last = np.searchsorted(start, limit, side="right")
    return order, np.maximum(last - np.arange(len(order)) - 1, 0)
