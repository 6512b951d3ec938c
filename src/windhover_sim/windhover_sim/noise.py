"""Periodic multi-scale noise: the grain of every natural surface here."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]


def fractal_noise(
    rng: np.random.Generator, size: int, coarsest: int, finest: int, slope: float
) -> Field:
    """Tileable fractal noise, mean 0 and deviation 1.

    Octaves of random grids, each resized bicubically, with amplitude falling
    as ``frequency ** -slope``; natural textures sit near a slope of 1.

    Args:
        rng: random generator.
        size: side of the square field, pixels; a power of two.
        coarsest: cells along a side of the first octave.
        finest: cells along a side of the last octave, at most ``size``.
        slope: fall of amplitude with frequency.

    Returns:
        ``(size, size)`` float32.
    """
    total = np.zeros((size, size), np.float32)
    cells = coarsest
    while cells <= finest:
        grid = rng.standard_normal((cells, cells)).astype(np.float32)
        total += _enlarge(grid, size) * np.float32((cells / coarsest) ** -slope)
        cells *= 2
    total -= total.mean()
    return np.asarray(total / total.std())


def stretch(field: Field, factor: int, axis: int) -> Field:
    """Smear a periodic field along an axis into streaks; deviation is kept at 1."""
    kernel = (1, 2 * factor + 1) if axis == 0 else (2 * factor + 1, 1)
    padded = cv2.copyMakeBorder(field, factor, factor, factor, factor, cv2.BORDER_WRAP)
    out = cv2.blur(padded, kernel[::-1] if axis == 0 else kernel)
    out = out[factor:-factor, factor:-factor]
    return np.asarray(out / max(float(out.std()), 1e-6), np.float32)


def _enlarge(grid: Field, size: int) -> Field:
    cells = grid.shape[0]
    if cells == size:
        return grid
    step = size // cells
    # Two cells of wrap on each side make the cubic kernel periodic.
    padded = cv2.copyMakeBorder(grid, 2, 2, 2, 2, cv2.BORDER_WRAP)
    big = cv2.resize(padded, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
    return np.asarray(big[2 * step : 2 * step + size, 2 * step : 2 * step + size])
