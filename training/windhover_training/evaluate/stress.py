"""What occlusion, glare and motion blur cost: the same images, changed by a fixed recipe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.model import Bundle
from windhover.types import Frame
from windhover_evaluation.detection.scores import Predictions, evaluate_detections
from windhover_evaluation.detection.truth import Truth
from windhover_evaluation.fidelity.variants import sample_images

from .score import grouped_truth, predict

Pixels = NDArray[np.uint8]
Recipe = Callable[[Pixels, NDArray[np.float32], np.random.Generator], Pixels]

_BLUR_PX = 7


def occlude(image: Pixels, boxes: NDArray[np.float32], rng: np.random.Generator) -> Pixels:
    """Cover a quarter of each object, from one side, with the median of the picture."""
    changed = image.copy()
    cover = np.median(image, axis=(0, 1)).astype(np.uint8)
    for box in boxes:
        hidden = box.copy()
        width, height = box[2:] - box[:2]
        # From below, from the right, or from the left; never the head.
        side, step = ((1, 0.75 * height), (0, 0.75 * width), (2, -0.75 * width))[rng.integers(3)]
        hidden[side] += step
        left, top, right, bottom = (max(0, round(float(edge))) for edge in hidden)
        changed[top:bottom, left:right] = cover
    return changed


def glare(image: Pixels, boxes: NDArray[np.float32], rng: np.random.Generator) -> Pixels:
    """Add a bright spot a sixth of the picture wide, with a veil over all of it."""
    del boxes
    height, width = image.shape[:2]
    y, x = rng.uniform(0, height), rng.uniform(0, width)
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(rows - y, columns - x)
    light = 30 + 200 * np.exp(-np.square(distance / (width / 12)) / 2)
    light = light.reshape(height, width, *[1] * (image.ndim - 2))
    return np.clip(image + light, 0, 255).astype(np.uint8)


def motion_blur(image: Pixels, boxes: NDArray[np.float32], rng: np.random.Generator) -> Pixels:
    """Smear over seven pixels in one direction."""
    del boxes
    kernel = np.zeros((_BLUR_PX, _BLUR_PX), np.float32)
    middle, angle = (_BLUR_PX - 1) / 2, rng.uniform(0, np.pi)
    for step in np.linspace(-middle, middle, 4 * _BLUR_PX):
        row = round(float(middle + step * np.sin(angle)))
        kernel[row, round(float(middle + step * np.cos(angle)))] = 1
    return np.asarray(cv2.filter2D(image, -1, kernel / kernel.sum()), np.uint8)


RECIPES: Final[Mapping[str, Recipe]] = {
    "occlusion": occlude,
    "glare": glare,
    "motion blur": motion_blur,
}


def stress(bundle: Bundle, data: Path, split: str, frames: int) -> dict[str, float]:
    """mAP50 of int8.onnx on images as they are and changed by each of :data:`RECIPES`.

    Args:
        bundle: to look at.
        data: converted set.
        split: of it.
        frames: images, evenly from all.

    Returns:
        ``clean`` and one figure a recipe.
    """
    truth = sample_images(grouped_truth(data / "truth" / f"{split}.json", bundle.labels), frames)
    found = {"clean": _map50(truth, predict(bundle, "int8", data, split, truth))}
    for name, recipe in RECIPES.items():
        change = _changer(recipe, truth)
        changed = predict(bundle, "int8", data, split, truth, change=change)
        found[name] = _map50(truth, changed)
    return found


def _changer(recipe: Recipe, truth: Truth) -> Callable[[Frame, int], Frame]:
    def change(frame: Frame, row: int) -> Frame:
        boxes = truth.boxes[(truth.image_rows == row) & ~truth.ignored].astype(np.float32)
        rng = np.random.default_rng((7, row))
        changed = recipe(np.asarray(frame.image, np.uint8), boxes, rng)
        return Frame(changed, frame.encoding, frame.stamp_ns)

    return change


def _map50(truth: Truth, predictions: Predictions) -> float:
    return float(evaluate_detections(truth, predictions, 0.25).map50)
