"""Operating points: thresholds a class at best F1, and where little is found that is nothing.

``balanced`` is about as good as the best mean F1 over several sets, each counted alike: one set's
light and camera must not decide what is cut in another's. ``quiet`` is raised until anything is
found in hardly any image with nothing to find.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from windhover.model import Bundle, Thresholds
from windhover.model.manifest import DEFAULT_POINT
from windhover_evaluation.detection.operating_points import PrCurve
from windhover_evaluation.detection.scores import evaluate_detections

from ..config import LabelledSplit, ReleaseConfig
from .score import CANDIDATE_SCORE, found_in

QUIET = "quiet"
# A handful of sure finds says little of the precision: a twentieth must be found.
_LEAST_RECALL = 0.05
#: F1 is flat near its best, where chance decides. Of thresholds that are as good within this much
#: the lowest is taken: a tracker drops alarms of single frames, and what is missed stays missed.
PLATEAU = 0.005
#: Thresholds that are tried.
_GRID = np.round(np.arange(0.02, 0.98, 0.001), 3)

Points = dict[str, dict[str, float]]


def choose_points(config: ReleaseConfig, bundle: Bundle) -> Points:
    """Thresholds of a bundle's INT8 graph at each operating point.

    Args:
        config: names the sets that they are chosen on, and what bounds them.
        bundle: whose graph is looked at.

    Returns:
        ``balanced``, and ``quiet`` where the config names images without anything to find;
        each label -> score. A label that no set holds has the default of a manifest.

    Raises:
        DataError: a set is missing.
    """
    curves = label_curves(bundle, config.thresholds_on)
    chosen = {
        label: best_score(found, config.least_precision.get(label, 0.0))
        for label, found in curves.items()
    }
    default = Thresholds().score
    balanced = {
        label: max(chosen.get(label, default), config.least_score.get(label, 0.0))
        for label in bundle.labels
    }
    if not config.quiet_on:
        return {DEFAULT_POINT: balanced}
    quiet = quiet_scores(bundle, config.quiet_on, config.alarms, balanced, curves)
    return {DEFAULT_POINT: balanced, QUIET: quiet}


def label_curves(bundle: Bundle, sets: Sequence[LabelledSplit]) -> dict[str, list[PrCurve]]:
    """Precision and recall of each label over score, one curve a set that holds it.

    Args:
        bundle: whose int8.onnx is looked at.
        sets: to choose on; none that scores are reported of.
    """
    curves: dict[str, list[PrCurve]] = {}
    for each in sets:
        truth, found = found_in(bundle, "int8", each.data, each.split, frames=each.frames)
        for scores in evaluate_detections(truth, found, CANDIDATE_SCORE).classes:
            judged = not each.labelled or scores.label in each.labelled
            if judged and scores.truths and len(scores.curve.scores):
                curves.setdefault(scores.label, []).append(scores.curve)
    return curves


def best_score(curves: Sequence[PrCurve], least_precision: float = 0.0) -> float:
    """The lowest threshold about as good as that of the best mean F1 over curves of one class."""
    found = np.stack([_at(curve, _GRID) for curve in curves])
    precision, recall = found[:, 0], found[:, 1]
    f1 = (2 * precision * recall / np.maximum(precision + recall, 1e-9)).mean(axis=0)
    precision, recall = precision.mean(axis=0), recall.mean(axis=0)
    known = recall >= min(_LEAST_RECALL, float(recall.max()))
    enough = known & (precision >= least_precision)
    of, value = (enough, f1) if enough.any() else (known, precision)
    value = np.where(of, value, -1.0)
    return float(_GRID[int((value >= value.max() - PLATEAU).argmax())])


def _at(curve: PrCurve, thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(2, T)``: precision and recall of what scores above each threshold."""
    above = np.searchsorted(-curve.scores, -thresholds, side="left")
    ends = np.maximum(above - 1, 0)
    return np.stack([curve.precision[ends], curve.recall[ends]]) * (above > 0)


def quiet_scores(
    bundle: Bundle,
    sets: Sequence[LabelledSplit],
    alarms: float,
    balanced: Mapping[str, float],
    curves: Mapping[str, Sequence[PrCurve]] | None = None,
) -> dict[str, float]:
    """Scores per label above which anything is found in no more than a share of empty images.

    Args:
        bundle: whose int8.onnx is looked at.
        sets: with nothing to find of the labels that they name, taken together; none that
            false alarms are reported of.
        alarms: share of the images, 0..1, in which anything may be found.
        balanced: the scores that are raised.
        curves: of :func:`label_curves`; of the scores that suit, those with most recall are
            taken. Without any, those that are lowest in sum.
    """
    surest: list[NDArray[np.float64]] = []
    for each in sets:
        truth, found = found_in(bundle, "int8", each.data, each.split, frames=each.frames)
        best = np.zeros((len(bundle.labels), len(truth.images)))
        np.maximum.at(best, (found.label_ids, found.image_rows), found.scores)
        judged = [not each.labelled or label in each.labelled for label in bundle.labels]
        surest.append(best * np.array(judged)[:, None])
    # Below that nothing was looked at.
    least = np.array([max(balanced[label], CANDIDATE_SCORE) for label in bundle.labels])
    images = np.concatenate(surest, axis=1)
    if curves is None:
        raised = raised_over(images, least, alarms)
    else:
        known = [curves.get(label, ()) for label in bundle.labels]
        raised = raised_over(images, least, alarms, lambda row, at: mean_recall(known[row], at))
    return dict(zip(bundle.labels, raised.tolist(), strict=True))


def mean_recall(curves: Sequence[PrCurve], scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Recall above each of some scores, over curves of one class; 0 without any."""
    found = [_at(curve, scores)[1] for curve in curves]
    return np.mean(found, axis=0) if found else np.zeros(len(scores))


def raised_over(
    surest: NDArray[np.float64],
    least: NDArray[np.float64],
    alarms: float,
    worth: Callable[[int, NDArray[np.float64]], NDArray[np.float64]] = lambda _, scores: -scores,
) -> NDArray[np.float64]:
    """Thresholds raised over what is found in images with nothing to find, but for the worst.

    So many images as may be wrong are shared out between the labels so that the thresholds are
    worth most: one odd image must not silence a label everywhere, and a label that stays sure of
    itself far up leaves them to another.

    Args:
        surest: ``(labels, images)`` highest score of each label in each image.
        least: ``(labels,)`` the thresholds that are raised, in thousandths.
        alarms: share of the images that may be wrong, 0..1.
        worth: what thresholds of a label, by its row, are worth.

    Returns:
        ``(labels,)`` in thousandths. A score counts where it is above its threshold.
    """
    labels, images = surest.shape
    allowed = int(alarms * images)
    # Above the threshold in column k a label is found in k images at most.
    ranked = np.column_stack([-np.sort(-surest, axis=1), np.zeros(labels)])[:, : allowed + 1]
    thresholds = np.maximum(least[:, None], np.ceil(ranked * 1000) / 1000)
    best, shares = np.zeros(allowed + 1), np.zeros((allowed + 1, 0), np.int64)
    for row in range(labels):
        gains = worth(row, thresholds[row])
        totals = np.full((allowed + 1, allowed + 1), -np.inf)  # images in all, of this label
        for own in range(allowed + 1):
            totals[own:, own] = best[: allowed + 1 - own] + gains[own]
        taken = totals.argmax(axis=1)
        best = totals.max(axis=1)
        shares = np.column_stack([shares[np.arange(allowed + 1) - taken], taken])
    return thresholds[np.arange(labels), shares[-1]]


def quiet_words(sets: Sequence[LabelledSplit], alarms: float) -> str:
    """How ``quiet`` was chosen, for the card."""
    return (
        f"{QUIET}: raised until anything is found in at most {100 * alarms:g}% of the images of "
        f"{listed(sets)}, in which there is nothing of it"
    )


def listed(sets: Sequence[LabelledSplit]) -> str:
    """Sets and splits in words."""
    return ", ".join(f"{each.data.name}/{each.split}" for each in sets)
