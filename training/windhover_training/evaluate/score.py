"""Scores of a bundle's graphs on a converted data set, through the library's own detector.

Letterbox, decode, NMS and AP are windhover's: what is measured here is what runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from windhover.model import Bundle, Thresholds
from windhover.model.detector import Detector
from windhover.types import Frame
from windhover_evaluation.detection.frames import picture_files, read_cameras
from windhover_evaluation.detection.scores import (
    ClassScores,
    Predictions,
    evaluate_detections,
)
from windhover_evaluation.detection.truth import Truth
from windhover_evaluation.detection.truth_file import load_truth
from windhover_evaluation.fidelity.variants import sample_images

# A handful of sure finds says little of the precision: a twentieth must be found.
_LEAST_RECALL = 0.05
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
    with Detector(bundle, "cpu", thresholds=limits, precision=precision, threads=threads) as model:
        for row, image in enumerate(truth.images):
            files = picture_files(image, folder, bundle.modality)
            lone = None if bundle.modality == "rgbt" else bundle.modality
            frame = read_cameras(files, "thermal", lone=lone).frame(bundle.modality, row)
            frames.append((row, model.detect(change(frame, row) if change else frame)))
    return Predictions.collect(frames)


def _found_in(
    bundle: Bundle, precision: str, data: Path, split: str, threads: int = 1
) -> tuple[Truth, Predictions]:
    """A whole split's truth, and what a graph finds in it."""
    truth = grouped_truth(data / "truth" / f"{split}.json", bundle.labels)
    return truth, predict(bundle, precision, data, split, truth, threads)


def score(
    bundle: Bundle, precision: str, data: Path, split: str, threads: int = 1
) -> dict[str, Any]:
    """AP50 and AP50-95 per class, in all and by time of day and altitude.

    Returns:
        Plain values: ``images``, ``all`` and one entry a group, each label -> scores.
    """
    truth, found = _found_in(bundle, precision, data, split, threads)
    limits = bundle.thresholds
    by_label = dict(zip(bundle.labels, limits.score_vector(bundle.labels), strict=True))
    result = evaluate_detections(truth, found, by_label)
    tables: dict[str, dict[str, Any]] = {"all": _table(result.classes)}
    for parts in result.groups.values():
        for name, part in parts.items():
            tables[name] = {"images": part.images, **_table(part.classes)}
    return {"images": result.images, **tables}


def quick_score(
    bundle: Bundle, precision: str, data: Path, split: str, frames: int
) -> dict[str, float]:
    """AP50 per class and their mean on some images, evenly from all."""
    truth = sample_images(grouped_truth(data / "truth" / f"{split}.json", bundle.labels), frames)
    found = predict(bundle, precision, data, split, truth)
    result = evaluate_detections(truth, found, CANDIDATE_SCORE)
    known = {each.label: _round(each.ap50) for each in result.classes if each.truths}
    return {"map50": _round(result.map50), **known}


def false_alarms(bundle: Bundle, data: Path, split: str) -> tuple[int, int]:
    """Images without anything to find, and in how many of them int8.onnx finds something."""
    truth, found = _found_in(bundle, "int8", data, split)
    limits = dict(zip(bundle.labels, bundle.thresholds.score_vector(bundle.labels), strict=True))
    result = evaluate_detections(truth, found, limits)
    return result.empty_images, result.empty_images_with_detections


def best_thresholds(
    bundle: Bundle,
    precision: str,
    data: Path,
    split: str,
    least_precision: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Score of best F1 per label on a split that is not the test split.

    Args:
        bundle: whose graph is looked at.
        precision: ``float`` or ``int8``.
        data: data set.
        split: of it.
        least_precision: of some labels; the best F1 is then sought where the precision is
            at least this, or where it is highest if it never is.
    """
    truth, found = _found_in(bundle, precision, data, split)
    result = evaluate_detections(truth, found, CANDIDATE_SCORE)
    wanted = least_precision or {}
    return {
        c.label: round(c.curve.threshold(c.curve.best(wanted.get(c.label, 0.0), _LEAST_RECALL)), 3)
        for c in result.classes
        if len(c.curve.scores) and c.truths
    }


def quiet_thresholds(
    bundle: Bundle, precision: str, data: Path, split: str, alarms: float
) -> dict[str, float]:
    """Score per label above which it is found in no more than a share of empty images.

    Args:
        bundle: whose graph is looked at.
        precision: ``float`` or ``int8``.
        data: data set.
        split: of it, with nothing to find; not the one that false alarms are reported of.
        alarms: share of the images, 0..1, for each label by itself.
    """
    truth, found = _found_in(bundle, precision, data, split)
    surest = np.zeros((len(bundle.labels), len(truth.images)))
    np.maximum.at(surest, (found.label_ids, found.image_rows), found.scores)
    limits = np.quantile(surest, 1 - alarms, axis=1, method="higher")
    return {
        label: math.ceil(limit * 1000) / 1000
        for label, limit in zip(bundle.labels, limits.tolist(), strict=True)
    }


def _table(classes: Sequence[ClassScores]) -> dict[str, dict[str, float | int]]:
    table: dict[str, dict[str, float | int]] = {}
    for c in classes:
        if c.truths == 0:
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
