"""Hard negatives: what a model is sure of in training images where there is nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from windhover_training.data.convert.stages import HardNegative

from ..config import Strict
from .validation import Validator


class MiningConfig(Strict):
    """When a detection is a hard negative, and how often it is shown.

    Attributes:
        score: least score.
        iou: a detection that overlaps any object by more than this has found it, if under
            a wrong name or badly.
        ignored: nor does one count of which more than this part lies in regions that are
            not judged.
        most: hard negatives to keep, the surest first.
        share: of training images that are centred on one.
    """

    score: float = Field(0.25, gt=0, lt=1)
    iou: float = Field(0.1, ge=0, lt=1)
    ignored: float = Field(0.3, ge=0, lt=1)
    most: int = Field(2000, gt=0)
    share: float = Field(0.25, ge=0, le=1)


def mine(
    model: torch.nn.Module,
    exam: Validator,
    split: str,
    config: MiningConfig,
    progress: Callable[[int, int], None] | None = None,
    unlabelled: Sequence[int] = (),
) -> list[HardNegative]:
    """Run a model over images and collect its confident mistakes on background.

    Args:
        model: in eval mode.
        exam: the images with their truth; its ignore regions are respected.
        split: name of the split that they are of.
        config: what counts.
        progress: called with images done and images in all.
        unlabelled: classes that the images show without a box: none of them is a mistake.

    Returns:
        The surest first, at most ``config.most``.
    """
    found: list[HardNegative] = []
    truth = exam.truth
    detector = exam.detector(model, config.score)
    for row, frame in exam.frames():
        detections = detector.detect(frame)
        own = truth.boxes_of(row)
        wrong = is_background(
            detections.boxes.astype(np.float64),
            own.boxes[~own.ignored],
            own.boxes[own.ignored],
            config,
        ) & ~np.isin(detections.class_ids, unlabelled)
        found += [
            HardNegative(
                split=split,
                image_id=int(truth.images[row].image_id),
                box=tuple(round(float(v), 2) for v in detections.boxes[i]),
                label=truth.labels[int(detections.class_ids[i])],
                score=round(float(detections.scores[i]), 4),
            )
            for i in np.flatnonzero(wrong)
        ]
        if progress is not None:
            progress(row + 1, len(truth.images))
    return sorted(found, key=lambda each: -each.score)[: config.most]


def is_background(
    boxes: NDArray[np.float64],
    objects: NDArray[np.float64],
    ignored: NDArray[np.float64],
    config: MiningConfig,
) -> NDArray[np.bool_]:
    """Which boxes lie on nothing.

    Args:
        boxes: ``(N, 4)`` x1, y1, x2, y2.
        objects: ``(M, 4)``.
        ignored: ``(K, 4)`` regions that are not judged.
        config: limits.

    Returns:
        ``(N,)``.
    """
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    common = _common(boxes, objects)
    other = (objects[:, 2:] - objects[:, :2]).prod(axis=1)
    union = area[:, None] + other[None] - common
    overlap = (common / np.maximum(union, 1e-9)).max(axis=1, initial=0.0)
    hidden = (_common(boxes, ignored) / np.maximum(area, 1e-9)[:, None]).max(axis=1, initial=0.0)
    background: NDArray[np.bool_] = (overlap <= config.iou) & (hidden <= config.ignored)
    return background


def _common(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(N, M)`` areas that two sets of boxes share."""
    corner = np.maximum(a[:, None, :2], b[None, :, :2])
    far = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared: NDArray[np.float64] = (far - corner).clip(min=0).prod(axis=2)
    return shared
