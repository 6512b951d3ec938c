"""How far AP50 could be another one with other flights: bootstrap over flights, not frames.

Frames of one flight show the same place, people and light, so drawing frames would make every
interval too narrow.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from windhover.errors import DataError
from windhover_evaluation.detection.coco import ClassMatches
from windhover_evaluation.detection.truth import Truth

DRAWS = 300
#: Share of the draws that an interval holds.
COVERED = 0.9
#: Recalls at which COCO reads precision.
_RECALLS = np.linspace(0.0, 1.0, 101)


def ap50_intervals(
    truth: Truth,
    found: Sequence[ClassMatches],
    flights: Sequence[str],
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[str, tuple[float, float]]:
    """AP50 of each label, as it falls when as many flights are drawn with replacement.

    Args:
        truth: scored.
        found: of all its images, one a label, as :func:`.coco.match` gives them.
        flights: one name an image of the truth.
        draws: how often flights are drawn.
        seed: of the draws.

    Returns:
        Label -> lowest and highest of the middle :data:`COVERED` of the draws; labels that the
        truth lacks are left out, and draws without an object of a label.

    Raises:
        DataError: there is not one flight an image.
    """
    if len(flights) != len(truth.images):
        raise DataError(f"{len(flights)} flights are given for {len(truth.images)} images")
    names, of_image = np.unique(np.asarray(flights), return_inverse=True)
    drawn = np.random.default_rng(seed).integers(0, len(names), (draws, len(names)))
    weights = np.stack([np.bincount(row, minlength=len(names)) for row in drawn])
    result = {}
    for number, each in enumerate(found):
        own = (truth.label_ids == number) & ~truth.ignored
        objects = np.bincount(of_image[truth.image_rows[own]], minlength=len(names))
        values = [
            average_precision(each.correct, row[of_image[each.images]], float(row @ objects))
            for row in weights
            if row @ objects
        ]
        if values:
            tail = (1 - COVERED) / 2
            low, high = np.quantile(values, [tail, 1 - tail])
            result[truth.labels[number]] = float(low), float(high)
    return result


def average_precision(
    correct: NDArray[np.bool_], weights: NDArray[np.int64], objects: float
) -> float:
    """COCO's average precision of weighed detections.

    Args:
        correct: ``(M,)``, best first: whether each matched an object.
        weights: ``(M,)``, how often each counts.
        objects: how many there were to find, weighed likewise.
    """
    right, count = np.cumsum(correct * weights), np.cumsum(weights)
    precision = right / np.maximum(count, 1)
    # At each recall the best precision from there on.
    best = np.maximum.accumulate(precision[::-1])[::-1]
    places = np.searchsorted(right / objects, _RECALLS, side="left")
    # Beyond what is ever recalled the precision is nothing.
    return float(np.append(best, 0.0)[places].mean())
