"""Image files as cameras write them."""

import struct

import cv2
import numpy as np

# How a camera that is held so stores an upright picture (CIPA DC-008, orientation).
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.swapaxes(0, 1),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: upright.swapaxes(0, 1)[::-1, ::-1],
    8: lambda upright: np.rot90(upright, -1),
}


def exif_jpeg(image: np.ndarray, orientation: int, description: str = "") -> bytes:
    """A JPEG whose EXIF block has an orientation and, where given, a description."""
    text = description.encode() + b"\0"
    block = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2)
    block += struct.pack("<HHI4s", 0x010E, 2, len(text), struct.pack("<I", 38))
    block += struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0) + struct.pack("<I", 0) + text
    encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 98])[1].tobytes()
    return encoded[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + encoded[2:]
