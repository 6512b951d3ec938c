"""Lamp heads and floodlights drawn into thermal crops: hot, a person's size, and no person.

A lit lamp is the commonest false alarm on real thermal by night, and the few flights that a
model learns from show it few of them.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

#: Places tried for a group before a crop is left as it is.
_TRIES = 6
_FINE = 4


def light_lamps(
    crop: NDArray[np.uint8], boxes: NDArray[np.float32], scale: float, rng: np.random.Generator
) -> None:
    """Draw one group of lamps where no object is, in place.

    One head on an arm, or a row of up to five floodlights on a pole, as hot as people are.

    Args:
        crop: ``(H, W)`` uint8 thermal, changed.
        boxes: ``(N, 4)`` x1, y1, x2, y2 of all objects, crop pixels; they are kept clear.
        scale: crop pixels a source pixel.
        rng: source of randomness.
    """
    height, width = crop.shape
    count = int(rng.choice([1, 2, 3, 4, 5], p=[0.4, 0.15, 0.15, 0.2, 0.1]))
    radius = scale * rng.uniform(2.0, 5.0)
    along = rng.uniform(2.1, 3.2) * radius
    angle = rng.uniform(-0.9, 0.9)
    step = along * np.array([np.cos(angle), np.sin(angle)])
    offsets = (np.arange(count) - (count - 1) / 2)[:, None] * step
    offsets = offsets + rng.normal(0, 0.15 * radius, offsets.shape)
    pole = scale * rng.uniform(0, 45) * np.array([rng.uniform(-0.3, 0.3), 1.0])
    shown = np.concatenate([offsets - 2 * radius, offsets + 2 * radius])
    low, high = shown.min(axis=0), shown.max(axis=0)
    for _ in range(_TRIES):
        centre = rng.uniform(0, 1, 2) * (width, height)
        meets = (boxes[:, :2] < centre + high) & (boxes[:, 2:] > centre + low)
        if not meets.all(axis=1).any():
            break
    else:
        return
    ground = float(crop.mean())
    if rng.random() < 0.7:
        steel = ground + rng.uniform(-60, 50)
        _blend(crop, _line(crop.shape, centre, centre + pole, max(1.0, 0.8 * scale)), steel)
    heat = max(rng.uniform(170, 255), ground + 40)
    mask = np.zeros(crop.shape, np.float32)
    for offset in offsets:
        axes = radius * np.array([rng.uniform(0.8, 1.5), rng.uniform(0.7, 1.1)])
        head = _ellipse(crop.shape, centre + offset, axes, angle) * rng.uniform(0.7, 1.0)
        # A cooler middle or rim: no flat disc that nothing real looks like.
        inside = centre + offset + rng.uniform(-0.7, 0.7, 2) * axes
        head -= head * _ellipse(crop.shape, inside, 0.55 * axes, angle) * rng.uniform(0, 0.6)
        mask = np.maximum(mask, head)
    soft = cv2.GaussianBlur(mask, (0, 0), scale * rng.uniform(0.5, 1.0))
    _blend(crop, np.asarray(soft, np.float32), min(heat, 255.0))


def _ellipse(
    shape: tuple[int, ...], centre: NDArray[np.float64], axes: NDArray[np.float64], angle: float
) -> NDArray[np.float32]:
    mask = np.zeros(shape[:2], np.uint8)
    at, half = (centre * 2**_FINE).astype(int), np.maximum(axes * 2**_FINE, 1).astype(int)
    cv2.ellipse(
        mask, at.tolist(), half.tolist(), float(np.degrees(angle)), 0, 360, 255, -1,
        cv2.LINE_AA, _FINE,
    )  # fmt: skip
    return mask.astype(np.float32) / np.float32(255)


def _line(
    shape: tuple[int, ...], start: NDArray[np.float64], end: NDArray[np.float64], width: float
) -> NDArray[np.float32]:
    mask = np.zeros(shape[:2], np.uint8)
    first, last = ((p * 2**_FINE).astype(int).tolist() for p in (start, end))
    cv2.line(mask, first, last, 255, max(1, round(width)), cv2.LINE_AA, _FINE)
    return mask.astype(np.float32) / np.float32(255)


def _blend(crop: NDArray[np.uint8], mask: NDArray[np.float32], value: float) -> None:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    mixed = crop[part] * (1 - mask[part]) + value * mask[part]
    crop[part] = mixed.clip(0, 255).astype(np.uint8)
