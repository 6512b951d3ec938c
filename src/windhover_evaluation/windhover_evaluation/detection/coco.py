"""The one place that talks to pycocotools.

Matching and average precision are pycocotools' own (COCO's reference
implementation, https://github.com/cocodataset/cocoapi): greedy by score, at most
:data:`MAX_DETECTIONS` an image and class, precision interpolated at 101 recalls.
What it does not give, precision and recall at one threshold, is counted from the
matches it made.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

#: Highest scoring detections of a class that count in one image, as COCO has it.
MAX_DETECTIONS = 100

#: Size bands, by the side of a square of the same area, pixels. COCO's, with its
#: ``small`` (below 32) cut in two: what is seen from 30-50 m is mostly below it.
SIZES = {
    "tiny, below 16 px": (0.0, 16.0),
    "small, 16-32 px": (16.0, 32.0),
    "medium, 32-96 px": (32.0, 96.0),
    "large, over 96 px": (96.0, 1e5),
}

_AREA = (0.0, 1e10)


@dataclass(frozen=True, slots=True)
class Boxes:
    """Boxes of several images, ``N`` rows.

    Attributes:
        images: ``(N,)`` int64, image numbers.
        boxes: ``(N, 4)`` float64, ``x1, y1, x2, y2``, pixels.
        classes: ``(N,)`` int32, class numbers; negative is any class (truth only).
        scores: ``(N,)`` float32 (detections only).
        ignored: ``(N,)`` bool (truth only).
    """

    images: NDArray[np.int64]
    boxes: NDArray[np.float64]
    classes: NDArray[np.int32]
    scores: NDArray[np.float32] | None = None
    ignored: NDArray[np.bool_] | None = None


@dataclass(frozen=True, slots=True)
class ClassMatches:
    """Average precision of one class, and its detections' fate at IoU 0.5.

    Attributes:
        ap50: average precision at IoU 0.5; NaN where the truth has none of it.
        ap50_95: mean over IoU 0.50, 0.55, ... 0.95; NaN likewise.
        recall: highest recall, mean over the same (COCO's AR); NaN likewise.
        truths: objects to be found.
        scores: ``(M,)`` float32, of the detections that are scored, highest first.
        correct: ``(M,)`` bool, which of them matched an object.
        images: ``(M,)`` int64, the image of each.
        rows: ``(M,)`` int64, the row of each in the detections.
        objects: ``(M,)`` int64, the row in the truth of the object that each matched, -1
            for none.
    """

    ap50: float
    ap50_95: float
    recall: float
    truths: int
    scores: NDArray[np.float32]
    correct: NDArray[np.bool_]
    images: NDArray[np.int64]
    rows: NDArray[np.int64]
    objects: NDArray[np.int64]


def match(
    truth: Boxes, found: Boxes, images: Sequence[int], classes: Sequence[int]
) -> list[ClassMatches]:
    """Match detections to truth and score each class.

    A truth box that is ignored (COCO's ``iscrowd``) hides any number of detections
    that have half of their area in it, and none of them is scored. One of any class
    does so for every class: pycocotools matches class by class, so it is given a
    copy for each.

    Args:
        truth: with ``ignored``.
        found: with ``scores``.
        images: the image numbers to score.
        classes: the class numbers to score; one result each, in this order.
    """
    return match_by_size(truth, found, images, classes, {"all": _AREA})["all"]


def match_by_size(
    truth: Boxes,
    found: Boxes,
    images: Sequence[int],
    classes: Sequence[int],
    areas: Mapping[str, tuple[float, float]],
) -> dict[str, list[ClassMatches]]:
    """As :func:`match`, for objects of each range of areas.

    As in COCO, objects outside the range are ignored, and so are detections that
    match none and are outside it themselves.

    Args:
        truth: with ``ignored``.
        found: with ``scores``.
        images: the image numbers to score.
        classes: the class numbers to score; one result each, in this order.
        areas: name to lowest and highest area, square pixels.
    """
    there, truth_rows = _truth_records(truth, classes)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(
            _dataset(there, images, classes),
            _dataset(_found_records(found), images, classes),
            "bbox",
        )
        params = evaluation.params
        params.imgIds, params.catIds = sorted(images), sorted(classes)
        params.areaRng = [list(area) for area in areas.values()]
        params.areaRngLbl = list(areas)
        params.maxDets = [MAX_DETECTIONS]
        evaluation.evaluate()
        evaluation.accumulate()
    # precision: IoU threshold, recall, class, area range, detection limit; recall
    # the same without recall. evalImgs: class, area range, image.
    precision = evaluation.eval["precision"][..., 0]
    recall = evaluation.eval["recall"][..., 0]
    per_class, ranges = len(params.imgIds), len(areas)
    results: dict[str, list[ClassMatches]] = {}
    for area, name in enumerate(areas):
        by_class = {}
        for place, number in enumerate(params.catIds):
            start = (place * ranges + area) * per_class
            records = [r for r in evaluation.evalImgs[start : start + per_class] if r]
            by_class[number] = _class_matches(
                precision[:, :, place, area], recall[:, place, area], records, truth_rows
            )
        results[name] = [by_class[number] for number in classes]
    return results


def size_areas() -> dict[str, tuple[float, float]]:
    """:data:`SIZES` as areas."""
    return {name: (low * low, high * high) for name, (low, high) in SIZES.items()}


def _class_matches(
    precision: NDArray[np.float64],
    recall: NDArray[np.float64],
    records: Sequence[dict[str, Any]],
    truth_rows: NDArray[np.int64],
) -> ClassMatches:
    truths = int(sum(np.count_nonzero(np.asarray(r["gtIgnore"]) == 0) for r in records))
    # Row 0 of a record's matches is IoU 0.5, pycocotools' first threshold. Ids count from 1,
    # and a match of 0 is none.
    scored = [~np.asarray(r["dtIgnore"][0], np.bool_) for r in records]
    scores = _join([np.asarray(r["dtScores"], np.float32) for r in records], scored)
    matches = _join([np.asarray(r["dtMatches"][0], np.int64) for r in records], scored)
    images = _join([np.full(len(r["dtScores"]), r["image_id"]) for r in records], scored)
    rows = _join([np.asarray(r["dtIds"], np.int64) - 1 for r in records], scored)
    order = np.argsort(-scores, kind="stable")
    objects = np.append(truth_rows, -1)[matches.astype(np.int64) - 1]
    return ClassMatches(
        ap50=float(precision[0].mean()) if truths else float("nan"),
        ap50_95=float(precision.mean()) if truths else float("nan"),
        recall=float(recall.mean()) if truths else float("nan"),
        truths=truths,
        scores=scores[order].astype(np.float32),
        correct=objects[order] >= 0,
        images=images[order].astype(np.int64),
        rows=rows[order].astype(np.int64),
        objects=objects[order],
    )


def _join(parts: Sequence[NDArray[Any]], masks: Sequence[NDArray[np.bool_]]) -> NDArray[Any]:
    kept = [part[mask] for part, mask in zip(parts, masks, strict=True)]
    return np.concatenate(kept) if kept else np.empty(0)


def _truth_records(
    truth: Boxes, classes: Sequence[int]
) -> tuple[list[dict[str, Any]], NDArray[np.int64]]:
    """Records, and the row of ``truth`` that each is of."""
    assert truth.ignored is not None, "truth boxes need 'ignored'"
    records: list[dict[str, Any]] = []
    rows: list[int] = []
    columns = zip(
        truth.images.tolist(),
        truth.boxes.tolist(),
        truth.classes.tolist(),
        truth.ignored.tolist(),
        strict=True,
    )
    for row, (image, box, number, ignored) in enumerate(columns):
        for each in classes if number < 0 else (number,):
            records.append(_record(image, box, each) | {"iscrowd": int(ignored)})
            rows.append(row)
    return _numbered(records), np.array(rows, np.int64)


def _found_records(found: Boxes) -> list[dict[str, Any]]:
    assert found.scores is not None, "detections need 'scores'"
    columns = zip(
        found.images.tolist(),
        found.boxes.tolist(),
        found.classes.tolist(),
        found.scores.tolist(),
        strict=True,
    )
    return _numbered(
        [
            _record(image, box, number) | {"iscrowd": 0, "score": score}
            for image, box, number, score in columns
        ]
    )


def _record(image: int, box: Sequence[float], number: int) -> dict[str, Any]:
    x1, y1, x2, y2 = box
    width, height = x2 - x1, y2 - y1
    return {
        "image_id": image,
        "category_id": number,
        "bbox": [x1, y1, width, height],
        "area": width * height,
    }


def _numbered(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    # From 1: pycocotools marks a match by the id and takes 0 for "no match".
    for number, record in enumerate(records, start=1):
        record["id"] = number
    return records


def _dataset(records: list[dict[str, Any]], images: Sequence[int], classes: Sequence[int]) -> COCO:
    dataset = COCO()
    dataset.dataset = {
        "images": [{"id": image} for image in images],
        "categories": [{"id": number, "name": str(number)} for number in classes],
        "annotations": records,
    }
    dataset.createIndex()
    return dataset
