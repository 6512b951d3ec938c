"""Pictures of a data set as the frames that a bundle takes."""

from __future__ import annotations

import numpy as np

from windhover.pairing.registration import merge_rgbt
from windhover.types import Frame, Image


def frame_for(channels: str, image: Image, encoding: str, row: int) -> Frame:
    """A picture as a frame; for an RGBT bundle the camera that it lacks is black.

    Args:
        channels: of the bundle.
        image: as ``encoding`` says.
        encoding: of the picture; thermal or RGB alone is what most data sets have.
        row: of the picture in its set.
    """
    if channels == "rgbt" and encoding in ("mono8", "bgr8"):
        plane = np.asarray(image, np.uint8)
        thermal = plane if encoding == "mono8" else None
        bgr = np.zeros((*plane.shape[:2], 3), np.uint8) if encoding == "mono8" else plane
        return Frame(merge_rgbt(bgr, thermal), "8UC4", 0, index=row)
    return Frame(image, encoding, 0, index=row)
