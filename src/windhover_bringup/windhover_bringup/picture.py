"""A frame with its results drawn in."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from windhover.imaging.overlay import draw_overlay
from windhover.types import Detections, Frame, Tracks


def draw(
    frame: Frame, results: Detections | Tracks, labels: Sequence[str], caption: str | None = None
) -> NDArray[np.uint8]:
    """Draw detections or tracks over a copy of a frame.

    Returns:
        ``(H, W, 3)`` uint8, B, G, R.

    Raises:
        EncodingError: the frame's encoding can't be shown.
    """
    ids = results.track_ids if isinstance(results, Tracks) else None
    return draw_overlay(
        frame.image,
        frame.encoding,
        results.boxes,
        results.scores,
        results.class_ids,
        labels,
        ids,
        caption,
    )
