"""What objects were taken for: detections matched to objects whatever their class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from windhover_evaluation.detection.scores import Predictions, label_numbers
from windhover_evaluation.detection.truth import Truth
from windhover_evaluation.tracking.mot_counts import MATCH_IOU
from windhover_evaluation.tracking.scores import iou_matrix


@dataclass(frozen=True, slots=True)
class Confusion:
    """Objects by what they are and what they were taken for.

    Attributes:
        labels: ``K`` labels.
        counts: ``(K + 1, K + 1)`` int64: a row for what is there, a column for what
            was found; the last row is for nothing (false alarms), the last column
            for objects that were missed.
    """

    labels: tuple[str, ...]
    counts: NDArray[np.int64]


def confusion(
    truth: Truth,
    predictions: Predictions,
    thresholds: NDArray[np.float32],
    labels: Sequence[str] | None = None,
) -> Confusion:
    """Match detections to objects of any label, the surest first.

    Detections that are left over and lie on an ignored region, by half of their own
    area, are not counted.

    Args:
        truth: what is there.
        predictions: what was found.
        thresholds: ``(labels,)`` float32; detections must exceed theirs.
        labels: look at these only; default all of the truth's.
    """
    chosen = label_numbers(truth, labels)
    place = np.full(len(truth.labels) + 1, -1, np.intp)
    place[chosen] = np.arange(len(chosen))
    counts = np.zeros((len(chosen) + 1, len(chosen) + 1), np.int64)
    kept = (predictions.scores > thresholds[predictions.label_ids]) & (
        place[predictions.label_ids] >= 0
    )
    objects = ~truth.ignored & (place[truth.label_ids] >= 0)
    for row in range(len(truth.images)):
        there = np.flatnonzero(objects & (truth.image_rows == row))
        found = np.flatnonzero(kept & (predictions.image_rows == row))
        found = found[np.argsort(-predictions.scores[found], kind="stable")]
        is_there = place[truth.label_ids[there]]
        is_found = place[predictions.label_ids[found]]
        taken = _match(iou_matrix(predictions.boxes[found], truth.boxes[there]))
        regions = truth.boxes[truth.ignored & (truth.image_rows == row)]
        excused = _inside(predictions.boxes[found], regions)
        for number, match in enumerate(taken):
            if match >= 0:
                counts[is_there[match], is_found[number]] += 1
            elif not excused[number]:
                counts[-1, is_found[number]] += 1
        missed = np.setdiff1d(np.arange(len(there)), taken)
        counts[:, -1] += np.bincount(is_there[missed], minlength=len(counts))
    return Confusion(tuple(truth.labels[number] for number in chosen), counts)


def _match(iou: NDArray[np.float64]) -> list[int]:
    """The object of each detection, in their order; -1 for none."""
    free = np.ones(iou.shape[1], np.bool_)
    taken = []
    for overlaps in iou:
        open_to = np.where(free, overlaps, 0.0)
        best = int(open_to.argmax()) if len(open_to) else -1
        if best >= 0 and open_to[best] >= MATCH_IOU:
            free[best] = False
            taken.append(best)
        else:
            taken.append(-1)
    return taken


def _inside(boxes: NDArray[np.float64], regions: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which boxes lie in a region by half of their own area."""
    if not len(boxes) or not len(regions):
        return np.zeros(len(boxes), np.bool_)
    low = np.maximum(boxes[:, None, :2], regions[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], regions[None, :, 2:])
    shared = np.clip(high - low, 0.0, None).prod(axis=2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    inside: NDArray[np.bool_] = (shared >= MATCH_IOU * area[:, None]).any(axis=1)
    return inside
