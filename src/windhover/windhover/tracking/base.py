"""The interface of a tracker.

Adding one is a folder with a class that fits :class:`Tracker` and a line in
``windhover.tracking.TRACKERS``.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from windhover.types import Detections, Image, Tracks


@runtime_checkable
class Tracker(Protocol):
    """Gives detections of successive frames stable track ids."""

    def update(
        self,
        detections: Detections,
        stamp_ns: int,
        image: Image | None = None,
        motion: NDArray[np.float64] | None = None,
    ) -> Tracks:
        """Advance to ``stamp_ns`` and take in that frame's detections.

        Must be called for every frame, also for one without detections, so that
        tracks age.

        Args:
            detections: of this frame, source pixels; may be empty.
            stamp_ns: capture time, nanoseconds. A stamp at or before the last
                one is handled, never raised: a small step back is ignored, a
                clock jump resets the motion but no id is used again.
            image: the frame itself, for trackers that use it.
            motion: ``(3, 3)`` homography from the last frame's pixels to this one's
                where it is known from the camera's attitude, for trackers that use it.

        Returns:
            The confirmed tracks seen in this frame.
        """
        ...

    def reset(self) -> None:
        """Forget all tracks; no id is used again."""
        ...
