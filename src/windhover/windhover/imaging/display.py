"""A frame with its results drawn in, as people see it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.imaging.overlay import draw_overlay
from windhover.types import Detections, Frame, Tracks

# Mean grey of a picture taken by day, and how much of it is shown by night and by day.
_DAYLIGHT, _MIN_RGB, _MAX_RGB = 90.0, 0.25, 0.75


def fuse_for_display(rgbt: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fuse B, G, R and T for display: the darker RGB is, the larger the share of thermal.

    Args:
        rgbt: ``(H, W, 4)`` uint8 B, G, R, T.

    Returns:
        ``(H, W, 3)`` uint8, B, G, R.
    """
    bgr = cv2.cvtColor(rgbt, cv2.COLOR_BGRA2BGR)
    if not rgbt[::8, ::8, 3].any():
        return np.asarray(bgr, np.uint8)  # no thermal in the frame: nothing to fuse
    light = min(1.0, float(bgr[::8, ::8].mean()) / _DAYLIGHT)
    share = _MIN_RGB + (_MAX_RGB - _MIN_RGB) * light
    thermal = cv2.cvtColor(cv2.extractChannel(rgbt, 3), cv2.COLOR_GRAY2BGR)
    return np.asarray(cv2.addWeighted(bgr, share, thermal, 1 - share, 0), np.uint8)


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
    return draw_overlay(
        image,
        encoding,
        results.boxes,
        results.scores,
        results.class_ids,
        results.labels if labels is None else labels,
        results.track_ids if isinstance(results, Tracks) else None,
        caption,
    )
