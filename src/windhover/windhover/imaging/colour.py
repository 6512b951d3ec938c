"""Whether a picture shows colours, and whether they are a thermal camera's palette."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from windhover.types import Image

_GRID = 8
_MIN_SAMPLES = 32
_COLOUR_SPREAD = 12
_COLOUR_SHARE = 0.05
# Mean distance of a pixel's largest to its smallest channel. Fully coloured palettes of
# DJI's and FLIR's cameras had 81 to 230 in 34 files; 66 aerial pictures of six data sets
# had 6 to 47, grey saved in three channels 0.
_FALSE_COLOUR = 70.0


def is_coloured(image: Image, encoding: str) -> bool:
    """Whether a picture has colours, and is not grey that was stored in three channels.

    Args:
        image: ``(H, W)`` or ``(H, W, C)``.
        encoding: of it; only ``bgr8`` and ``rgb8`` can have colours.
    """
    # JPEG moves the channels of a grey pixel apart by a few steps.
    spread = _spread(image, encoding)
    return bool((spread > _COLOUR_SPREAD).mean() > _COLOUR_SHARE) if spread is not None else False


def is_false_colour(image: Image, encoding: str) -> bool:
    """Whether a picture is in a thermal camera's colour palette.

    Args:
        image: ``(H, W)`` or ``(H, W, C)``.
        encoding: of it; only ``bgr8`` and ``rgb8`` can have colours.
    """
    spread = _spread(image, encoding)
    return spread is not None and float(spread.mean()) > _FALSE_COLOUR


def _spread(image: Image, encoding: str) -> NDArray[np.int16] | None:
    """Each pixel's largest less its smallest channel, on a grid; ``None`` of grey."""
    if encoding not in {"bgr8", "rgb8"}:
        return None
    step = min(_GRID, max(1, min(image.shape[:2]) // _MIN_SAMPLES))
    pixels = image[::step, ::step]
    return np.asarray(pixels.max(axis=2).astype(np.int16) - pixels.min(axis=2), np.int16)
