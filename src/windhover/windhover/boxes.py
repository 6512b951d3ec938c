"""Arithmetic of boxes that several stages share."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from windhover.types import Detections, Tracks

_Results = TypeVar("_Results", Detections, Tracks)


def iou_matrix(
    first: NDArray[np.floating[Any]], second: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Overlap of every pair of boxes.

    Args:
        first: ``(A, 4)``, ``x1, y1, x2, y2``.
        second: ``(B, 4)``, likewise.

    Returns:
        ``(A, B)`` intersection over union, 0 for boxes without area.
    """
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(high - low, 0.0, None).prod(axis=2, dtype=np.float64)
    areas = [
        np.clip(boxes[:, 2:] - boxes[:, :2], 0.0, None).prod(axis=1, dtype=np.float64)
        for boxes in (first, second)
    ]
    union = areas[0][:, None] + areas[1][None, :] - shared
    overlap = np.zeros_like(shared)
    np.divide(shared, union, out=overlap, where=union > 0.0)
    return np.asarray(overlap, np.float64)


def clip_results(results: _Results, width: int, height: int) -> _Results:
    """Results with their boxes inside the picture, for tools that refuse others.

    Args:
        results: of one picture, boxes in its pixels.
        width: of the picture.
        height: of the picture.

    Returns:
        Those of which some area is left.
    """
    limits = np.array([width, height, width, height], np.float32)
    boxes = np.clip(results.boxes, np.float32(0.0), limits)
    inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return replace(results, boxes=boxes)[inside]
