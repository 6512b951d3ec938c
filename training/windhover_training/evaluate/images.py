"""Pictures of a converted set as the frames that the library's detector takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import DataError
from windhover.types import Frame

_ENCODING = {"thermal": "mono8", "rgb": "bgr8", "rgbt": "8UC4"}


def read_frame(paths: Sequence[Path], channels: str) -> Frame:
    """Read a picture, or a pair of them, for a model.

    Args:
        paths: one file with B, G, R, T; or a thermal one, a colour one, or both of one size.
        channels: what the model takes, ``thermal``, ``rgb`` or ``rgbt``. What the files do
            not hold is black, as where a camera gives nothing.

    Raises:
        DataError: a file can't be read, or the two are of different sizes.
    """
    planes: dict[str, NDArray[np.uint8]] = {}
    for path in paths:
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.dtype != np.uint8:
            raise DataError(f"{path}: is no 8-bit image that can be read; convert the set again")
        if pixels.ndim == 2:
            planes["thermal"] = pixels
        elif pixels.shape[2] == 4:
            planes["rgb"], planes["thermal"] = pixels[..., :3], pixels[..., 3]
        else:
            planes["rgb"] = pixels
    if len({plane.shape[:2] for plane in planes.values()}) > 1:
        raise DataError(f"{paths[0]}: its thermal picture is of another size; register the set")
    if channels == "thermal" and "thermal" not in planes:
        planes["thermal"] = cv2.cvtColor(planes["rgb"], cv2.COLOR_BGR2GRAY)
    size = next(iter(planes.values())).shape[:2]
    colour = planes.get("rgb", np.zeros((*size, 3), np.uint8))
    thermal = planes.get("thermal", np.zeros(size, np.uint8))
    image = {"thermal": thermal, "rgb": colour}.get(channels)
    if image is None:
        image = np.dstack([colour, thermal])
    return Frame(np.ascontiguousarray(image), _ENCODING[channels], 0)
