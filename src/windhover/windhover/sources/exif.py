"""What a camera wrote into a picture's EXIF tags, and turning the picture by them.

EXIF is a TIFF file without pixels that stands in an APP1 segment of a JPEG (CIPA DC-008,
Exif 2.32). The thermal counts beside a picture are not OpenCV's to turn, so they are
turned here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from windhover.imaging.jpeg import segments
from windhover.sources.tiff import directories
from windhover.types import Image

_PREFIX = b"Exif\x00\x00"
_APP1 = 0xE1
_DESCRIPTION, _ORIENTATION = 0x010E, 0x0112
_UPRIGHT = 1
# Whether rows and columns run backwards, once 5 to 8 have swapped the two.
_REVERSED = {
    2: (False, True),
    3: (True, True),
    4: (True, False),
    6: (False, True),
    7: (True, True),
    8: (True, False),
}


@dataclass(frozen=True, slots=True)
class Exif:
    """The tags that are used here.

    Attributes:
        orientation: 1 to 8; 1 is upright.
        description: ImageDescription, empty where there is none; DJI's thermal cameras
            write the name of the palette there.
    """

    orientation: int = _UPRIGHT
    description: str = ""


def read_exif(data: bytes | memoryview) -> Exif:
    """Read the EXIF tags of a JPEG.

    Args:
        data: the file's bytes.

    Returns:
        The tags, at their defaults where the file has none, or they are damaged.
    """
    for segment in segments(data):
        if segment.marker != _APP1 or bytes(segment.payload[: len(_PREFIX)]) != _PREFIX:
            continue
        first = next(directories(segment.payload[len(_PREFIX) :]), None)
        if first is not None:
            orientation = first.numbers.get(_ORIENTATION, _UPRIGHT)
            known = 1 <= orientation <= 8
            return Exif(orientation if known else _UPRIGHT, first.texts.get(_DESCRIPTION, ""))
    return Exif()


def turn_upright(image: Image, orientation: int) -> Image:
    """Turn a picture as EXIF orientation says.

    Args:
        image: ``(H, W)`` or ``(H, W, C)``, as it is stored.
        orientation: 1 to 8.

    Returns:
        The upright picture, contiguous; for 5 to 8 its width is the file's height.
    """
    if orientation == _UPRIGHT:
        return image
    turned: Any = image.swapaxes(0, 1) if orientation >= 5 else image
    rows, columns = _REVERSED.get(orientation, (False, False))
    upright: Image = np.ascontiguousarray(turned[:: -1 if rows else 1, :: -1 if columns else 1])
    return upright
