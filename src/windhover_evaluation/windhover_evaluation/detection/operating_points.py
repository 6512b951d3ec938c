"""Precision and recall at a score threshold, and the choice of a threshold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NAN = float("nan")


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Right and wrong detections at one score threshold, at IoU 0.5.

    Attributes:
        threshold: detections count whose score exceeds it; ``None`` where classes
            with different thresholds were added up.
        true_positives: detections that match an object.
        false_positives: detections that match none.
        false_negatives: objects that no detection matches.
    """

    threshold: float | None
    true_positives: int
    false_positives: int
    false_negatives: int

    @property
    def precision(self) -> float:
        """Share of detections that are right; NaN without detections."""
        return ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> float:
        """Share of objects that are found; NaN without objects."""
        return ratio(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; NaN where neither is defined."""
        right = 2 * self.true_positives
        return ratio(right, right + self.false_positives + self.false_negatives)


@dataclass(frozen=True, slots=True)
class PrCurve:
    """Precision against recall as the threshold falls, at IoU 0.5, not smoothed.

    Attributes:
        scores: ``(M,)`` float32, the threshold at each point, falling.
        precision: ``(M,)`` float64.
        recall: ``(M,)`` float64, rising.
    """

    scores: NDArray[np.float32]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]

    def best(self, min_precision: float = 0.0, min_recall: float = 0.0) -> int:
        """The point of best F1 among those with enough precision and recall.

        Args:
            min_precision: where no point has it, the one of highest precision is taken.
            min_recall: a few detections say little about the precision. Where no
                point has it, the recall of the last counts.
        """
        following = np.append(self.scores[1:], np.float32(-1.0))
        # Equal scores can't be separated: a threshold can only be after the last of them.
        known = (self.recall >= min(min_recall, float(self.recall[-1]))) & (following < self.scores)
        enough = known & (self.precision >= min_precision)
        f1 = 2 * self.precision * self.recall / np.maximum(self.precision + self.recall, 1e-9)
        of, value = (enough, f1) if enough.any() else (known, self.precision)
        return int(np.where(of, value, -1.0).argmax())

    def threshold(self, point: int) -> float:
        """The score half way between a point and the next."""
        following = float(self.scores[point + 1]) if point + 1 < len(self.scores) else 0.0
        return (float(self.scores[point]) + following) / 2.0


def ratio(part: int, total: int) -> float:
    """``part / total``; NaN where ``total`` is 0."""
    return part / total if total else NAN
