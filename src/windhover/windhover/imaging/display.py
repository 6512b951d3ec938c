"""A frame with its results drawn in, as people see it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.imaging.agc import ToneConfig, tone_map
from windhover.imaging.overlay import draw_overlay
from windhover.types import Detections, Frame, Tracks

# Mean grey of a picture taken by day, and how strongly warmth is added by night and by day.
_DAYLIGHT, _NIGHT_GAIN, _DAY_GAIN = 90.0, 1.6, 0.3
# Grey levels over the surroundings from which a thing glows: below is noise and texture.
_GLOW_FROM = 12.0
# Surroundings are this many cells wide, each of so many pixels, of which one is looked at.
_CELL, _CELLS = 8, 15
_WARM = (0.62, 0.86, 1.0)
# A model's curve saturates warm ground, on which people can't be seen then: for the eye, few
# pixels are at the ends, and contrast is made in tiles.
_DISPLAY_TONE = ToneConfig(method="clahe", low=0.2, high=99.8)


def fuse_for_display(rgbt: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fuse B, G, R and T for display: what is warmer than its surroundings glows.

    The ground keeps the brightness that the RGB camera gives it, so that a night looks like
    a night, and a part without thermal looks like the rest. The darker RGB is, the stronger
    warm things glow.

    Args:
        rgbt: ``(H, W, 4)`` uint8 B, G, R, T; T is 0 where there is no thermal.

    Returns:
        ``(H, W, 3)`` uint8, B, G, R.
    """
    bgr = np.asarray(cv2.cvtColor(rgbt, cv2.COLOR_BGRA2BGR), np.uint8)
    thermal = cv2.extractChannel(rgbt, 3)
    if not thermal[::_CELL, ::_CELL].any():
        return bgr
    light = min(1.0, float(bgr[::_CELL, ::_CELL].mean()) / _DAYLIGHT)
    gain = _NIGHT_GAIN + (_DAY_GAIN - _NIGHT_GAIN) * light
    # In 8 bits, where differences end at 0 and sums at 255, as they should here.
    glow = cv2.subtract(thermal, _surroundings(np.asarray(thermal, np.uint8)))
    added = cv2.merge([cv2.convertScaleAbs(glow, alpha=gain * share) for share in _WARM])
    return np.asarray(cv2.add(bgr, added), np.uint8)


def _surroundings(thermal: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Grey above which each pixel glows: the mean around it, of pixels that have thermal."""
    height, width = thermal.shape
    grey = thermal[::_CELL, ::_CELL].astype(np.float32)
    share = cv2.blur((grey > 0).astype(np.float32), (_CELLS, _CELLS))
    mean = cv2.blur(grey, (_CELLS, _CELLS)) / np.maximum(share, np.float32(1e-3))
    level = cv2.convertScaleAbs(mean, alpha=1.0, beta=_GLOW_FROM)
    return np.asarray(cv2.resize(level, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def draw_results(
    frame: Frame,
    results: Detections | Tracks,
    labels: Sequence[str] | None = None,
    caption: str | None = None,
) -> NDArray[np.uint8]:
    """Draw detections or tracks over a copy of a frame.

    Args:
        frame: as the camera gave it.
        results: of that frame.
        labels: class names; ``None`` for those that the results hold.
        caption: a line of text for the top of the picture.

    Returns:
        ``(H, W, 3)`` uint8, B, G, R.

    Raises:
        EncodingError: the frame's encoding can't be shown.
    """
    image, encoding = frame.image, frame.encoding
    if encoding == "8UC4":
        image, encoding = fuse_for_display(image.view(np.uint8)), "bgr8"
    elif encoding == "mono16" and image.dtype == np.uint16:
        image, encoding = tone_map(image.view(np.uint16), _DISPLAY_TONE), "mono8"
    return draw_overlay(
        image,
        encoding,
        results.boxes,
        results.scores,
        results.class_ids,
        results.labels if labels is None else labels,
        results.track_ids if isinstance(results, Tracks) else None,
        caption,
        carrier_ids=results.carrier_ids if isinstance(results, Tracks) else None,
    )
