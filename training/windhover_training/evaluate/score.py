"""Scores of a bundle's graphs on a converted data set, through the library's own detector.

Letterbox, decode, NMS and AP are windhover's: what is measured here is what runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from windhover.model import Bundle, Thresholds
from windhover.model.detector import Detector
from windhover.model.manifest import DEFAULT_POINT
from windhover.types import Frame
from windhover_evaluation.detection.coco import ClassMatches, match
from windhover_evaluation.detection.frames import picture_files, read_cameras
from windhover_evaluation.detection.intervals import ap50_intervals
from windhover_evaluation.detection.operating_points import ratio
from windhover_evaluation.detection.scores import (
    ClassScores,
    Predictions,
    evaluate_detections,
    matching_boxes,
)
from windhover_evaluation.detection.truth import Truth
from windhover_evaluation.detection.truth_file import load_truth
from windhover_evaluation.fidelity.variants import sample_images
from windhover_training.data.readers.dataset import load_set

CANDIDATE_SCORE = 0.005  # AP needs the whole curve, far below any threshold of use


def grouped_truth(path: Path, labels: Sequence[str]) -> Truth:
    """Load truth and add the group ``time and altitude``, such as ``night 50-70 m``."""
    truth = load_truth(path, labels)
    images = []
    for image in truth.images:
        groups = dict(image.groups)
        if {"time", "altitude"} <= groups.keys():
            groups["time and altitude"] = f"{groups['time']} {groups['altitude']}"
        images.append(replace(image, groups=groups))
    return replace(truth, images=tuple(images))


def predict(
    bundle: Bundle,
    precision: str,
    data: Path,
    split: str,
    truth: Truth,
    threads: int = 1,
    change: Callable[[Frame, int], Frame] | None = None,
) -> Predictions:
    """Run one of a bundle's graphs over the images of a truth; a camera that is missing is black.

    It is the first look alone: a second one has figures of its own.

    Args:
        bundle: of any channels.
        precision: ``float`` or ``int8``.
        data: converted or rendered set.
        split: of it.
        truth: its own, or a part of it.
        threads: of ONNX Runtime.
        change: is given each frame and its row in the truth, and gives what is looked at.
    """
    limits = Thresholds(
        score=CANDIDATE_SCORE, iou=bundle.thresholds.iou, max_detections=300, per_class={}
    )
    folder = data / "images" / split
    frames = []
    options: dict[str, Any] = {"precision": precision, "threads": threads}
    with Detector(bundle, "cpu", thresholds=limits, second_look=False, **options) as model:
        for row, image in enumerate(truth.images):
            files = picture_files(image, folder, bundle.modality)
            lone = None if bundle.modality == "rgbt" else bundle.modality
            frame = read_cameras(files, "thermal", lone=lone).frame(bundle.modality, row)
            frames.append((row, model.detect(change(frame, row) if change else frame)))
    return Predictions.collect(frames)


def found_in(
    bundle: Bundle,
    precision: str,
    data: Path,
    split: str,
    threads: int = 1,
    frames: int | None = None,
) -> tuple[Truth, Predictions]:
    """A split's truth, and what a graph finds in it; of ``frames`` images, evenly, or of all."""
    truth = grouped_truth(data / "truth" / f"{split}.json", bundle.labels)
    if frames is not None:
        truth = sample_images(truth, frames)
    return truth, predict(bundle, precision, data, split, truth, threads)


def score(
    bundle: Bundle,
    precision: str,
    data: Path,
    split: str,
    *,
    frames: int | None = None,
    labelled: Sequence[str] = (),
) -> dict[str, Any]:
    """AP50 and AP50-95 per class, in all and by time of day and altitude.

    Args:
        bundle: of any channels.
        precision: ``float`` or ``int8``.
        data: converted or rendered set.
        split: of it.
        frames: so many images, evenly from all; None for all.
        labelled: labels to score; empty for all. A set's bicycles may be read as a model's
            motorcycles, which it does not take them for.

    Returns:
        Plain values: ``images``, ``all`` and one entry a group, each label -> scores at the
        default operating point; under ``points`` as :func:`score_points`.
    """
    truth, found = found_in(bundle, precision, data, split, frames=frames)
    result = evaluate_detections(truth, found, limits_at(bundle, DEFAULT_POINT))
    judged = tuple(labelled) or bundle.labels
    tables: dict[str, dict[str, Any]] = {"all": _table(result.classes, judged)}
    for parts in result.groups.values():
        for name, part in parts.items():
            tables[name] = {"images": part.images, **_table(part.classes, judged)}
    points = _of_labels(_points(bundle, truth, found, data, split), judged)
    return {"images": result.images, **tables, "points": points}


def score_points(
    bundle: Bundle, data: Path, split: str, frames: int | None = None
) -> dict[str, Any]:
    """What int8.onnx finds at each operating point.

    Args:
        bundle: with its points.
        data: converted or rendered set.
        split: of it.
        frames: so many images, evenly from all; None for all.

    Returns:
        Plain values: ``images``, ``flights``, ``ap50`` (label -> value, and the interval over
        flights), and each point: label -> precision and recall.
    """
    truth, found = found_in(bundle, "int8", data, split, frames=frames)
    return _points(bundle, truth, found, data, split)


def _points(
    bundle: Bundle, truth: Truth, found: Predictions, data: Path, split: str
) -> dict[str, Any]:
    names = {frame.name: frame.flight for frame in load_set(data).splits[split]}
    flights = [names[Path(image.file_name).stem] for image in truth.images]
    numbers = range(len(bundle.labels))
    found_by_label = match(*matching_boxes(truth, found), range(len(truth.images)), numbers)
    intervals = ap50_intervals(truth, found_by_label, flights)
    labelled = [
        (label, each)
        for label, each in zip(bundle.labels, found_by_label, strict=True)
        if label in intervals
    ]
    return {
        "images": len(truth.images),
        "flights": len(set(flights)),
        "ap50": {
            label: [_round(each.ap50), *map(_round, intervals[label])] for label, each in labelled
        },
        **{
            point: {label: _counted(each, limits[label]) for label, each in labelled}
            for point, limits in ((p, limits_at(bundle, p)) for p in bundle.point_names)
        },
    }


def _counted(found: ClassMatches, threshold: float) -> dict[str, float]:
    """Precision and recall of what scores above a threshold, as the decoder compares."""
    kept = int(np.count_nonzero(found.scores > np.float32(threshold)))
    right = int(np.count_nonzero(found.correct[:kept]))
    return {
        "precision": _round(ratio(right, kept)),
        "recall": _round(ratio(right, found.truths)),
    }


def quick_score(
    bundle: Bundle, precision: str, data: Path, split: str, frames: int
) -> dict[str, float]:
    """AP50 per class and their mean on some images, evenly from all."""
    truth, found = found_in(bundle, precision, data, split, frames=frames)
    result = evaluate_detections(truth, found, CANDIDATE_SCORE)
    known = {each.label: _round(each.ap50) for each in result.classes if each.truths}
    return {"map50": _round(result.map50), **known}


def points_of(
    bundle: Bundle, data: Path, split: str, labels: Sequence[str], frames: int | None = None
) -> dict[str, Any]:
    """:func:`score_points` of some labels: those that a set was scored on."""
    return _of_labels(score_points(bundle, data, split, frames), labels)


def _of_labels(found: Mapping[str, Any], labels: Sequence[str]) -> dict[str, Any]:
    return {
        key: {label: value[label] for label in labels if label in value}
        if isinstance(value, dict)
        else value
        for key, value in found.items()
    }


def false_alarms(bundle: Bundle, data: Path, split: str) -> dict[str, tuple[int, int]]:
    """How often int8.onnx finds something where there is nothing, at each operating point.

    Returns:
        Operating point -> images without anything to find, and in how many of them something
        is found.
    """
    truth, found = found_in(bundle, "int8", data, split)
    counts = {}
    for point in bundle.point_names:
        result = evaluate_detections(truth, found, limits_at(bundle, point))
        counts[point] = result.empty_images, result.empty_images_with_detections
    return counts


def limits_at(bundle: Bundle, point: str) -> dict[str, float]:
    """Threshold of each label at an operating point."""
    scores = bundle.thresholds_at(point).score_vector(bundle.labels)
    return dict(zip(bundle.labels, scores, strict=True))


def _table(
    classes: Sequence[ClassScores], labels: Sequence[str]
) -> dict[str, dict[str, float | int]]:
    table: dict[str, dict[str, float | int]] = {}
    for c in classes:
        if c.truths == 0 or c.label not in labels:
            continue
        point = c.at_threshold
        table[c.label] = {
            "boxes": c.truths,
            "ap50": _round(c.ap50),
            "ap50_95": _round(c.ap50_95),
            "precision": _round(point.precision),
            "recall": _round(point.recall),
        }
    return table


def _round(value: float) -> float:
    return float(np.round(value, 4))
