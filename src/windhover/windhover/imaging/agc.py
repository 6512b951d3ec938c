"""Tone mapping of raw thermal counts (Y16) to 8 bits for models and displays."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import EncodingError

_MAX_SAMPLES = 20_000
"""Enough for a percentile's error below 0.1 % of rank, at a tenth of the cost."""


def percentile_agc(
    y16: NDArray[np.uint16], low: float = 1.0, high: float = 99.0, *, min_span: int = 32
) -> NDArray[np.uint8]:
    """Map the counts between two percentiles linearly to 0..255.

    What lies outside is clipped, so a few very hot or very cold pixels (sun
    glints, an exhaust) do not take the contrast from all the rest. The
    percentiles are taken from a regular grid of at most about 20,000 pixels.

    Args:
        y16: ``(H, W)`` or ``(H, W, 1)`` uint16 counts, native byte order.
        low: percentile that becomes 0.
        high: percentile that becomes 255.
        min_span: counts that are always spread over the full range, so that a
            flat scene shows as mid-grey and not as amplified sensor noise.

    Returns:
        The same shape, uint8. A constant image becomes mid-grey.

    Raises:
        EncodingError: not uint16, empty, or the percentiles are not
            ``0 <= low < high <= 100``.
    """
    if y16.dtype != np.uint16 or y16.ndim not in (2, 3) or y16.size == 0:
        raise EncodingError(
            f"tone mapping takes a non-empty uint16 image, got {y16.dtype} {y16.shape}"
        )
    if not 0.0 <= low < high <= 100.0:
        raise EncodingError(f"tone mapping needs 0 <= low < high <= 100, got {low} and {high}")
    floor, span = _window(y16, low, high, max(1, min_span))
    bottom = np.uint16(max(0, floor))
    # Unsigned counts must not wrap below the window, so they are raised to it first.
    shifted = np.maximum(y16, bottom) - bottom
    gain = 255.0 / span
    mapped = cv2.convertScaleAbs(shifted, alpha=gain, beta=gain * max(0, -floor))
    return np.asarray(mapped, np.uint8).reshape(y16.shape)


def _window(y16: NDArray[np.uint16], low: float, high: float, min_span: int) -> tuple[int, int]:
    """The count that becomes 0 and how many counts make the whole range."""
    pixels = y16.shape[0] * y16.shape[1]
    step = max(1, int(np.ceil(np.sqrt(pixels / _MAX_SAMPLES))))
    bottom, top = np.percentile(y16[::step, ::step], (low, high))
    floor, span = int(np.floor(bottom)), int(np.ceil(top) - np.floor(bottom))
    if span >= min_span:
        return floor, span
    return floor - (min_span - span) // 2, min_span
