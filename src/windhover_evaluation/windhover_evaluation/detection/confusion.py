"""What objects were taken for: detections matched to objects of any class.

Detections of an object's own class come first, matched as precision and recall count
them (COCO's matching, see :mod:`.coco`), so that both agree: the diagonal holds the
detections that are right, a column those of a class that are right or false, a row the
objects of a class. What is left of both is then matched whatever its class.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from windhover.boxes import iou_matrix
from windhover_evaluation.detection.coco import ClassMatches, match
from windhover_evaluation.detection.scores import Predictions, label_numbers, matching_boxes
from windhover_evaluation.detection.truth import Truth
from windhover_evaluation.tracking.mot_counts import MATCH_IOU


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
    """Count what objects were taken for.

    Detections that an ignored region hides are not counted.

    Args:
        truth: the objects to be found.
        predictions: the detections.
        thresholds: ``(labels,)`` float32; detections must exceed theirs.
        labels: look at these only; default all of the truth's.
    """
    chosen = label_numbers(truth, labels)
    counts = np.zeros((len(chosen) + 1, len(chosen) + 1), np.int64)
    matches = match(*matching_boxes(truth, predictions), range(len(truth.images)), chosen)
    places = np.full(len(truth.labels) + 1, -1, np.intp)
    places[chosen] = np.arange(len(chosen))
    free = ~truth.ignored & (places[truth.label_ids] >= 0)
    false: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    for place, (number, result) in enumerate(zip(chosen, matches, strict=True)):
        right, wrong = _above(result, float(thresholds[number]))
        counts[place, place] = len(right)
        free[right] = False
        false.append(wrong)
    rows = np.concatenate(false)
    taken = _match_across_classes(truth, predictions, rows, np.flatnonzero(free))
    found = places[predictions.label_ids[rows]]
    there = np.append(places[truth.label_ids], len(chosen))[taken]  # -1: the last, nothing
    np.add.at(counts, (there, found), 1)
    free[taken[taken >= 0]] = False
    counts[:, -1] += np.bincount(places[truth.label_ids[free]], minlength=len(counts))
    return Confusion(tuple(truth.labels[number] for number in chosen), counts)


def _above(result: ClassMatches, threshold: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of the objects found above a threshold, and of the detections that are false."""
    kept = result.scores > np.float32(threshold)
    return result.objects[kept & result.correct], result.rows[kept & ~result.correct]


def _match_across_classes(
    truth: Truth,
    predictions: Predictions,
    found: NDArray[np.int64],
    objects: NDArray[np.intp],
) -> NDArray[np.int64]:
    """The row in the truth of the object of each detection; -1 for none.

    Highest score first, each object once.

    Args:
        truth: the objects to be found.
        predictions: the detections.
        found: ``(F,)`` rows of the detections.
        objects: ``(O,)`` rows of the objects that are free.
    """
    taken = np.full(len(found), -1, np.int64)
    by_image: dict[int, list[int]] = {}
    for row in objects.tolist():
        by_image.setdefault(int(truth.image_rows[row]), []).append(row)
    for place in np.argsort(-predictions.scores[found], kind="stable").tolist():
        row = found[place]
        free = by_image.get(int(predictions.image_rows[row]), [])
        if not free:
            continue
        iou = iou_matrix(predictions.boxes[row][None], truth.boxes[free])[0]
        best = int(iou.argmax())
        if iou[best] >= MATCH_IOU:
            taken[place] = free.pop(best)
    return taken
