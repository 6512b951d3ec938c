"""Pixel values of rarer formats as 8-bit colour or as 16-bit counts."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import EncodingError

_KELVIN_AT_0_C = 273.15
_COUNTS_PER_KELVIN = 100.0
_LOWEST_KELVIN = 150.0
"""No scene is this cold in kelvin, or this hot in degrees Celsius."""
_HIGHEST_KELVIN = 655.35
"""Hottest temperature that 16 bits hold in hundredths of a kelvin."""
_SAMPLE_STEP = 8

# ITU-R BT.601-7, 2.5.3, limited range: rows B, G, R; columns Y, Cb, Cr, constant.
_YCBCR_TO_BGR = np.array(
    [
        [1.164384, 2.017232, 0.0, -276.8359],
        [1.164384, -0.391762, -0.812968, 135.5753],
        [1.164384, 0.0, 1.596027, -222.9216],
    ]
)


def temperatures_to_counts(values: NDArray[np.floating[Any]]) -> NDArray[np.uint16]:
    """Temperatures as counts of 0.01 K, the unit of radiometric cores.

    The unit is read from the median of the picture: from 150 to 655 it is kelvin, below
    it is degrees Celsius. Above, the values are no temperatures but counts already, and
    are only rounded.

    Args:
        values: ``(H, W)`` float32 or float64. NaN, which cameras give for dead pixels,
            becomes the coldest value of the picture.

    Returns:
        ``(H, W)`` uint16; values outside its range are clipped.

    Raises:
        EncodingError: no pixel holds a number.
    """
    missing = np.isnan(values)
    if missing.any():
        if missing.all():
            raise EncodingError("a temperature image in which no pixel holds a number")
        values = np.where(missing, np.nanmin(values), values)
    middle = float(np.median(values[::_SAMPLE_STEP, ::_SAMPLE_STEP]))
    scale, offset = _COUNTS_PER_KELVIN, 0.0
    if middle < _LOWEST_KELVIN:
        offset = _KELVIN_AT_0_C * _COUNTS_PER_KELVIN
    elif middle > _HIGHEST_KELVIN:
        scale = 1.0
    # Clipped before it is scaled: a value near the largest float would overflow.
    counts = np.clip(values, -1e5, 1e5) * np.float64(scale) + offset
    rounded: NDArray[np.uint16] = np.clip(np.rint(counts), 0, 65_535).astype(np.uint16)
    return rounded


def signed_to_counts(values: NDArray[np.int16]) -> NDArray[np.uint16]:
    """Signed samples as counts in the same order: each is raised by 32768.

    The shift is the same for every frame, so that a tone curve that is smoothed in time
    does not jump when the first negative value comes into view.
    """
    return np.asarray(values.view(np.uint16) ^ np.uint16(0x8000), np.uint16)


def high_byte(colour: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """16-bit colour as 8 bits: 65535 becomes 255."""
    return np.asarray(cv2.convertScaleAbs(colour, alpha=1 / 257), np.uint8)


def ycbcr_to_bgr(ycbcr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """BT.601 limited range to colour.

    Args:
        ycbcr: ``(H, W, 3)`` Y, Cb, Cr at full resolution.

    Returns:
        ``(H, W, 3)`` B, G, R.
    """
    return np.asarray(cv2.transform(ycbcr, _YCBCR_TO_BGR), np.uint8)
