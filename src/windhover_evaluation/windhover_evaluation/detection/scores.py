"""Scores of detections against truth: average precision, precision and recall.

AP is COCO's (see :mod:`.coco`). Precision and recall are counted at IoU 0.5 and
at the score threshold that the model's bundle sets for each class, because only
those detections reach a drone's other nodes; each is given with its threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from windhover.errors import ConfigError, DataError
from windhover.types import Detections
from windhover_evaluation.detection.coco import (
    Boxes,
    ClassMatches,
    match,
    match_by_size,
    size_areas,
)
from windhover_evaluation.detection.operating_points import NAN, OperatingPoint, PrCurve, ratio
from windhover_evaluation.detection.truth import ANY_LABEL, Truth


@dataclass(frozen=True, slots=True)
class Predictions:
    """Detections of all images of a truth, ``M`` rows.

    They are rounded to what a results file holds (a thousandth of a pixel, seven
    digits of score), so a score made from that file equals ours.

    Attributes:
        image_rows: ``(M,)`` int64, indices into the truth's images.
        boxes: ``(M, 4)`` float64, ``x1, y1, x2, y2``, source pixels.
        scores: ``(M,)`` float32.
        label_ids: ``(M,)`` int32, indices into the model's labels.
    """

    image_rows: NDArray[np.int64]
    boxes: NDArray[np.float64]
    scores: NDArray[np.float32]
    label_ids: NDArray[np.int32]

    @classmethod
    def collect(cls, frames: Iterable[tuple[int, Detections]]) -> Predictions:
        """Join the detections of many images.

        Args:
            frames: index into the truth's images, and what was found in it.
        """
        rows: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        parts: list[Detections] = [Detections()]
        for row, detections in frames:
            rows.append(np.full(len(detections), row, np.int64))
            parts.append(detections)
        boxes = np.concatenate([part.boxes for part in parts]).astype(np.float64)
        scores = np.concatenate([part.scores for part in parts]).astype(np.float64)
        return cls(
            image_rows=np.concatenate(rows),
            boxes=np.round(boxes, 3),
            scores=np.round(scores, 7).astype(np.float32),
            label_ids=np.concatenate([part.class_ids for part in parts]).astype(np.int32),
        )

    def __len__(self) -> int:
        return len(self.scores)

    def results(self, truth: Truth, labels: Sequence[str]) -> list[dict[str, object]]:
        """Rows of a COCO results file, with the truth file's own ids.

        Where several of the truth's categories are one label, all its detections
        carry ``truth.category_ids[label]``. A label that the truth does not know
        has no category id and is left out, as are labels not in ``labels``.

        Returns:
            ``image_id``, ``category_id``, ``bbox`` (left, top, width, height in
            source pixels, not clipped) and ``score``, one dict a detection.
        """
        wanted = [
            truth.category_ids.get(label) if label in labels else None for label in truth.labels
        ]
        results: list[dict[str, object]] = []
        for row, box, score, label in zip(
            self.image_rows.tolist(),
            self.boxes.tolist(),
            self.scores.astype(np.float64).tolist(),
            self.label_ids.tolist(),
            strict=True,
        ):
            category = wanted[label]
            if category is None:
                continue
            x1, y1, x2, y2 = box
            results.append(
                {
                    "image_id": truth.images[row].image_id,
                    "category_id": category,
                    "bbox": [x1, y1, round(x2 - x1, 3), round(y2 - y1, 3)],
                    "score": round(score, 7),
                }
            )
        return results


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Scores of one label.

    Attributes:
        label: the model's label.
        truth_categories: the truth's categories that are scored as it.
        truths: objects to be found.
        ignored: regions in which it is not scored, those of any class included.
        ap50: average precision at IoU 0.5; NaN without truths.
        ap50_95: mean over IoU 0.50 to 0.95; NaN without truths.
        recall: COCO's average recall over the same, at any score; NaN without truths.
        at_threshold: at the model's threshold.
        best_f1: where F1 is highest; ``None`` without truths or detections.
        curve: precision against recall.
    """

    label: str
    truth_categories: tuple[str, ...]
    truths: int
    ignored: int
    ap50: float
    ap50_95: float
    recall: float
    at_threshold: OperatingPoint
    best_f1: OperatingPoint | None
    curve: PrCurve


@dataclass(frozen=True, slots=True)
class DetectionScores:
    """Scores of a set of images.

    Attributes:
        images: how many were scored.
        classes: of each label, in the requested order.
        empty_images: images without anything to find.
        empty_images_with_detections: those of them with a detection at the model's
            threshold.
        empty_images_false_positives: how many detections those are.
        groups: the same scores of parts of the images, by kind of group and name,
            such as ``groups["time"]["night"]``; and of objects by ``size``.
    """

    images: int
    classes: tuple[ClassScores, ...]
    empty_images: int
    empty_images_with_detections: int
    empty_images_false_positives: int
    groups: Mapping[str, Mapping[str, DetectionScores]]

    @property
    def map50(self) -> float:
        """Mean AP50 of the labels that have truths; NaN without any."""
        return _mean([scores.ap50 for scores in self.classes])

    @property
    def map50_95(self) -> float:
        """Mean AP50-95 of the labels that have truths; NaN without any."""
        return _mean([scores.ap50_95 for scores in self.classes])

    @property
    def mean_recall(self) -> float:
        """Mean average recall of the labels that have truths; NaN without any."""
        return _mean([scores.recall for scores in self.classes])

    @property
    def false_positives_per_empty_image(self) -> float:
        """False alarms per empty image; NaN without empty images."""
        return ratio(self.empty_images_false_positives, self.empty_images)

    @property
    def at_threshold(self) -> OperatingPoint:
        """All labels added up, each at its own threshold."""
        points = [scores.at_threshold for scores in self.classes]
        thresholds = {point.threshold for point in points}
        return OperatingPoint(
            thresholds.pop() if len(thresholds) == 1 else None,
            sum(point.true_positives for point in points),
            sum(point.false_positives for point in points),
            sum(point.false_negatives for point in points),
        )


def evaluate_detections(
    truth: Truth,
    predictions: Predictions,
    score_threshold: float | Mapping[str, float],
    labels: Sequence[str] | None = None,
) -> DetectionScores:
    """Score detections against truth.

    Every image of the truth counts, also one without a detection. For a
    complete AP the predictions must go well below ``score_threshold``.

    Args:
        truth: the objects to be found.
        predictions: the detections; labels index ``truth.labels``.
        score_threshold: what counts for precision and recall, one for all labels
            or one for each.
        labels: score these only, in this order; default all of the truth's labels.

    Raises:
        ConfigError: a label is none of the model's or has no threshold.
        DataError: a prediction's image, box or score makes no sense.
    """
    _check(truth, predictions)
    chosen = label_numbers(truth, labels)
    thresholds = _thresholds([truth.labels[number] for number in chosen], score_threshold)
    rows = range(len(truth.images))

    def score(images: Sequence[int]) -> DetectionScores:
        return _score(truth, predictions, images, chosen, thresholds)

    by_size = _by_size(truth, predictions, chosen, thresholds)
    return replace(score(rows), groups={**_grouped(truth, score), "size": by_size})


def _grouped(
    truth: Truth, score: Callable[[Sequence[int]], DetectionScores]
) -> dict[str, dict[str, DetectionScores]]:
    members: dict[str, dict[str, list[int]]] = {}
    for row, image in enumerate(truth.images):
        for kind, name in image.groups.items():
            members.setdefault(kind, {}).setdefault(name, []).append(row)
    return {
        kind: {name: score(rows) for name, rows in sorted(parts.items(), key=_group_order)}
        for kind, parts in members.items()
    }


def _group_order(item: tuple[str, list[int]]) -> tuple[int, float, str]:
    # Altitude bands by their lower end, "over 90 m" after all of them.
    name = item[0]
    number = name.split("-")[0]
    return (name.startswith("over"), float(number) if number.isdigit() else 0.0, name)


def matching_boxes(truth: Truth, predictions: Predictions) -> tuple[Boxes, Boxes]:
    """Truth and detections as :func:`.coco.match` takes them, row for row."""
    return (
        Boxes(truth.image_rows, truth.boxes, truth.label_ids, ignored=truth.ignored),
        Boxes(
            predictions.image_rows,
            predictions.boxes,
            predictions.label_ids,
            scores=predictions.scores,
        ),
    )


def _score(
    truth: Truth,
    predictions: Predictions,
    images: Sequence[int],
    chosen: Sequence[int],
    thresholds: Sequence[float],
) -> DetectionScores:
    matches = match(*matching_boxes(truth, predictions), images, chosen)
    of_images = np.isin(truth.image_rows, np.asarray(images))
    classes = tuple(
        _class_scores(truth, number, result, threshold, of_images)
        for number, result, threshold in zip(chosen, matches, thresholds, strict=True)
    )
    to_find = ~truth.ignored & np.isin(truth.label_ids, np.asarray(chosen))
    empty = set(images) - set(truth.image_rows[to_find].tolist())
    alarms = [
        image
        for result, threshold in zip(matches, thresholds, strict=True)
        for image in result.images[result.scores > np.float32(threshold)].tolist()
        if image in empty
    ]
    return DetectionScores(len(images), classes, len(empty), len(set(alarms)), len(alarms), {})


def _by_size(
    truth: Truth,
    predictions: Predictions,
    chosen: Sequence[int],
    thresholds: Sequence[float],
) -> dict[str, DetectionScores]:
    """Scores of the objects of each size; sizes of which there is none are left out."""
    images = range(len(truth.images))
    of_images = np.ones(len(truth), np.bool_)
    by_size = match_by_size(*matching_boxes(truth, predictions), images, chosen, size_areas())
    return {
        name: DetectionScores(
            len(images),
            tuple(
                _class_scores(truth, number, result, threshold, of_images)
                for number, result, threshold in zip(chosen, matches, thresholds, strict=True)
            ),
            0,
            0,
            0,
            {},
        )
        for name, matches in by_size.items()
        if any(result.truths for result in matches)
    }


def _class_scores(
    truth: Truth,
    number: int,
    result: ClassMatches,
    threshold: float,
    of_images: NDArray[np.bool_],
) -> ClassScores:
    right = np.cumsum(result.correct)
    count = np.arange(1, len(right) + 1)
    precision = right / count
    recall = right / result.truths if result.truths else np.full(len(right), NAN)
    label = truth.labels[number]
    curve = PrCurve(result.scores, precision, recall)
    return ClassScores(
        label=label,
        truth_categories=truth.categories.get(label, ()),
        truths=result.truths,
        ignored=int(
            np.count_nonzero(
                of_images & truth.ignored & np.isin(truth.label_ids, (number, ANY_LABEL))
            )
        ),
        ap50=result.ap50,
        ap50_95=result.ap50_95,
        recall=result.recall,
        at_threshold=_point(result, threshold),
        best_f1=_best_f1(result, curve),
        curve=curve,
    )


def _point(result: ClassMatches, threshold: float) -> OperatingPoint:
    # In float32 and strictly, as the decoder compares.
    return _counts(result, threshold, int(np.count_nonzero(result.scores > np.float32(threshold))))


def _counts(result: ClassMatches, threshold: float, kept: int) -> OperatingPoint:
    right = int(np.count_nonzero(result.correct[:kept]))
    return OperatingPoint(float(threshold), right, kept - right, result.truths - right)


def _best_f1(result: ClassMatches, curve: PrCurve) -> OperatingPoint | None:
    if not result.truths or not result.correct.any():
        return None
    best = curve.best()
    return _counts(result, curve.threshold(best), best + 1)


def label_numbers(truth: Truth, labels: Sequence[str] | None) -> list[int]:
    """Indices into ``truth.labels`` of ``labels``, each once; all where ``None``.

    Raises:
        ConfigError: a label is none of the model's, or there is none at all.
    """
    if labels is None:
        return list(range(len(truth.labels)))
    unknown = [label for label in labels if label not in truth.labels]
    if unknown or not labels:
        raise ConfigError(
            f"labels: '{', '.join(unknown)}' is none of the model's labels; "
            f"choose from {', '.join(truth.labels)}"
        )
    return [truth.labels.index(label) for label in dict.fromkeys(labels)]


def _thresholds(labels: Sequence[str], score_threshold: float | Mapping[str, float]) -> list[float]:
    if not isinstance(score_threshold, Mapping):
        return [float(score_threshold)] * len(labels)
    missing = [label for label in labels if label not in score_threshold]
    if missing:
        raise ConfigError(f"no score threshold is given for {', '.join(missing)}; give one")
    return [float(score_threshold[label]) for label in labels]


def _check(truth: Truth, predictions: Predictions) -> None:
    rows, labels = predictions.image_rows, predictions.label_ids
    finite = np.isfinite(predictions.boxes).all() and np.isfinite(predictions.scores).all()
    known = ((rows >= 0) & (rows < len(truth.images))).all()
    labelled = ((labels > ANY_LABEL) & (labels < len(truth.labels))).all()
    if not (finite and known and labelled):
        raise DataError(
            "predictions: a box or score is not finite, or an image or label is out of range; "
            "score the output of the detector whose labels the truth was read with"
        )


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else NAN
