"""Scores of a bundle's graphs on a converted data set, through the library's own detector.

Letterbox, decode, NMS and AP are windhover's: what is measured here is what runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from windhover.evaluation.detection import ClassScores, Predictions, evaluate_detections
from windhover.evaluation.fidelity_run import spread
from windhover.evaluation.truth import Truth, load_truth
from windhover.model import Bundle, Thresholds
from windhover.model.detector import Detector
from windhover.types import Frame

from .images import read_frame

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
    images: Path,
    truth: Truth,
    threads: int = 1,
    change: Callable[[Frame, int], Frame] | None = None,
) -> Predictions:
    """Run one of a bundle's graphs over the images of a truth.

    Args:
        bundle: of any channels.
        precision: ``float`` or ``int8``.
        images: folder of the truth's images.
        truth: names the images.
        threads: of ONNX Runtime.
        change: is given each frame and its row in the truth, and gives what is looked at.
    """
    limits = Thresholds(
        score=CANDIDATE_SCORE, iou=bundle.thresholds.iou, max_detections=300, per_class={}
    )
    frames = []
    with Detector(bundle, "cpu", thresholds=limits, precision=precision, threads=threads) as model:
        for row, image in enumerate(truth.images):
            frame = read_frame([images / image.file_name], bundle.channels)
            frames.append((row, model.detect(change(frame, row) if change else frame)))
    return Predictions.collect(frames)


def score(
    bundle: Bundle, precision: str, data: Path, split: str, threads: int = 1
) -> dict[str, Any]:
    """AP50 and AP50-95 per class, in all and by time of day and altitude.

    Returns:
        Plain values: ``images``, ``all`` and one entry a group, each label -> scores.
    """
    truth = grouped_truth(data / "truth" / f"{split}.json", bundle.labels)
    found = predict(bundle, precision, data / "images" / split, truth, threads)
    limits = bundle.thresholds
    by_label = dict(zip(bundle.labels, limits.score_vector(bundle.labels), strict=True))
    result = evaluate_detections(truth, found, by_label)
    tables = {"all": _table(result.classes)}
    for parts in result.groups.values():
        for name, part in parts.items():
            tables[name] = {"images": part.images, **_table(part.classes)}
    return {"images": result.images, **tables}


def quick_score(
    bundle: Bundle, precision: str, data: Path, split: str, frames: int
) -> dict[str, float]:
    """AP50 per class and their mean on some images, evenly from all."""
    truth = spread(grouped_truth(data / "truth" / f"{split}.json", bundle.labels), frames)
    found = predict(bundle, precision, data / "images" / split, truth)
    result = evaluate_detections(truth, found, CANDIDATE_SCORE)
    known = {each.label: _round(each.ap50) for each in result.classes if each.truths}
    return {"map50": _round(result.map50), **known}


def false_alarms(bundle: Bundle, data: Path, split: str) -> tuple[int, int]:
    """Images without anything to find, and in how many of them int8.onnx finds something."""
    truth = grouped_truth(data / "truth" / f"{split}.json", bundle.labels)
    found = predict(bundle, "int8", data / "images" / split, truth)
    limits = dict(zip(bundle.labels, bundle.thresholds.score_vector(bundle.labels), strict=True))
    result = evaluate_detections(truth, found, limits)
    return result.empty_images, result.empty_images_with_detections


def best_thresholds(bundle: Bundle, precision: str, data: Path, split: str) -> dict[str, float]:
    """Score of best F1 per label on a split that is not the test split."""
    truth = grouped_truth(data / "truth" / f"{split}.json", bundle.labels)
    found = predict(bundle, precision, data / "images" / split, truth)
    result = evaluate_detections(truth, found, CANDIDATE_SCORE)
    return {
        c.label: round(float(c.best_f1.threshold), 3)
        for c in result.classes
        if c.best_f1 is not None and c.best_f1.threshold is not None
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
