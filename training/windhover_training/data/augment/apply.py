"""A drawn crop's pixels, by OpenCV and NumPy on the CPU."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover_training.data.augment.cutouts import lay_colour, lay_thermal
from windhover_training.data.augment.lamps import light_lamps
from windhover_training.data.augment.params import (
    LOCAL_SIGMA,
    ColourParams,
    ColourView,
    CropParams,
    Fade,
    Noise,
    ThermalParams,
    ThermalView,
    source_window,
)
from windhover_training.data.augment.samples import Crop, HeldCrop, Pixels

Levels = NDArray[np.float32]

#: What a camera does not see is 0 over at least so many pixels each way. Single pixels of 0
#: are merely the coldest of a tone-mapped picture.
EMPTY_SIDE = 17
_NOTHING = np.zeros(4)


def apply(params: CropParams) -> Crop:
    """Make the crop: ``(S, S)`` or ``(S, S, C)`` uint8 pixels, boxes and classes."""
    parts = []
    if params.rgb is not None:
        parts.append(_colour(params, params.rgb))
    if params.thermal is not None:
        parts.append(_thermal(params, params.thermal))
    pixels = parts[0] if len(parts) == 1 else np.dstack(parts)
    if params.held:
        return HeldCrop(pixels, params.boxes, params.classes)
    return pixels, params.boxes, params.classes


def _colour(params: CropParams, view: ColourView | int) -> Pixels:
    if isinstance(view, int):
        return np.full((params.size, params.size, 3), view, np.uint8)
    pixels = warped(params, view)
    if params.patches:
        levels = pixels.astype(np.float32)
        for patch in params.patches:
            lay_colour(levels, patch)
        pixels = to_bytes(levels)
    return change_colour(pixels, view.change)


def _thermal(params: CropParams, view: ThermalView | int) -> Pixels:
    if isinstance(view, int):
        return np.full((params.size, params.size), view, np.uint8)
    pixels = warped(params, view)
    levels = pixels.astype(np.float32)
    for patch in params.patches:
        lay_thermal(levels, patch)
    empty = unseen(levels) if view.change.keep_empty else None
    changed = change_thermal(levels, view.change)
    if empty is not None:
        changed[empty] = 0
    return changed


def warped(params: CropParams, view: ColourView | ThermalView) -> Pixels:
    """``(S, S)`` or ``(S, S, C)`` of a camera, unchanged; reads no more than the crop shows."""
    pixels, matrix, size = params.sample.pixels, view.matrix, params.size
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    first, stop = view.channels
    if channels != stop - first:
        height, width = pixels.shape[:2]
        x1, y1, x2, y2 = source_window(matrix, size, width, height)
        pixels = np.ascontiguousarray(pixels[y1:y2, x1:x2, first:stop])
        matrix = matrix.copy()
        matrix[:, 2] += matrix[:, :2] @ (x1, y1)
    border = cv2.BORDER_REPLICATE if params.fill is None else cv2.BORDER_CONSTANT
    warped = cv2.warpAffine(
        pixels,
        matrix,
        (size, size),
        flags=cv2.INTER_LINEAR,
        borderMode=border,
        borderValue=[params.fill or 0.0] * 3,
    )
    return np.asarray(warped, np.uint8)


def unseen(thermal: Levels) -> NDArray[np.bool_]:
    """Where a registered ``(H, W)`` thermal picture shows nothing: 0 over a wide area."""
    empty = (thermal == 0).astype(np.uint8)
    if not empty.any():
        return empty.astype(bool)
    square = np.ones((EMPTY_SIDE, EMPTY_SIDE), np.uint8)
    return cv2.morphologyEx(empty, cv2.MORPH_OPEN, square).astype(bool)


def change_colour(pixels: Pixels, change: ColourParams) -> Pixels:
    """Change sharpness, exposure, contrast, tint and noise of a ``(H, W, 3)`` picture."""
    if change.coarse:
        side, whole = (change.coarse, change.coarse), pixels.shape[1::-1]
        small = cv2.resize(pixels, side, interpolation=cv2.INTER_AREA)
        pixels = np.asarray(cv2.resize(small, whole, interpolation=cv2.INTER_LINEAR))
    matrix, of_mean = change.mix()
    mean = np.array(cv2.mean(pixels)[:3]) if change.contrast != 1 else np.zeros(3)
    affine = np.column_stack([matrix, np.full(3, of_mean @ mean)])
    if not change.blur and change.noise is None:
        return np.asarray(cv2.transform(pixels, affine), np.uint8)
    x = np.asarray(cv2.transform(pixels.astype(np.float32), affine), np.float32)
    return _finished(x, change.blur, change.noise)


def change_thermal(x: Levels, change: ThermalParams) -> Pixels:
    """Change a ``(H, W)`` float32 picture as another scene or tone mapping would.

    Args:
        x: levels 0..255; may be written to.
        change: how.
    """
    for fade in change.fades:
        fade_object(x, fade)
    if change.lamps is not None:
        light_lamps(x, change.lamps)
    factor, offset = 1.0, 0.0
    if change.stretch:
        low, high = percentiles(x)
        factor = 255.0 / max(high - low, 16.0)
        offset = -low * factor
    if change.invert:
        factor, offset = -factor, 255.0 - offset
    mean = factor * float(cv2.mean(x)[0]) + offset
    offset = (offset - mean) * change.gain + mean + change.level
    x = x * np.float32(factor * change.gain) + np.float32(offset)
    if any(change.gradient):
        rows, columns = change.gradient
        x += np.linspace(-rows, rows, x.shape[0], dtype=np.float32)[:, None]
        x += np.linspace(-columns, columns, x.shape[1], dtype=np.float32)
    if change.gamma != 1.0:
        x = np.float32(255) * (np.clip(x, 0, 255) / np.float32(255)) ** np.float32(change.gamma)
    if change.local:
        x += np.float32(change.local) * (x - cv2.GaussianBlur(x, (0, 0), LOCAL_SIGMA))
    return _finished(x, change.blur, change.noise)


def percentiles(x: Levels) -> tuple[float, float]:
    """The 1st and the 99th percentile of levels, which are rounded to whole ones."""
    counts = np.bincount(to_bytes(x).ravel(), minlength=256)
    below, last = np.cumsum(counts), x.size - 1
    found = []
    for share in (0.01, 0.99):
        place = share * last
        first, second = np.searchsorted(below, (np.floor(place), np.ceil(place)), side="right")
        found.append(float(first + (second - first) * (place % 1)))
    return found[0], found[1]


def fade_object(x: Levels, fade: Fade) -> None:
    """Weaken or turn round an object's contrast against what is around it, in place.

    By day people are partly warmer and partly colder than sunlit ground, and often hardly
    differ from it; by night they are all warm. The factor changes linearly along the object,
    so that a head may be cold over a warm back.
    """
    window = fade.window(x.shape[0])
    x1, y1, x2, y2 = window
    patch = x[y1:y2, x1:x2]
    ground = ground_level(patch)
    rows, columns = fade.factors(window)
    patch += (patch - ground) * (rows[:, None] * columns)
    np.clip(patch, 0, 255, out=patch)


def ground_level(patch: Levels) -> np.floating[Any]:
    """Median level of the outermost pixels of an ``(h, w)`` part of a picture."""
    return np.median(np.concatenate([patch[0], patch[-1], patch[:, 0], patch[:, -1]]))


def _finished(x: Levels, blur: float, noise: Noise | None) -> Pixels:
    if blur:
        x = np.asarray(cv2.GaussianBlur(x, (0, 0), blur), np.float32)
    if noise is not None:
        source = np.random.Generator(np.random.SFC64(noise.seed))
        x += source.standard_normal(x.shape, np.float32) * np.float32(noise.level)
    return to_bytes(x)


def to_bytes(x: Levels) -> Pixels:
    """Levels rounded to whole ones in 0..255."""
    return np.asarray(cv2.add(x, _NOTHING, dtype=cv2.CV_8U), np.uint8)
