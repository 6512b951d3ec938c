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


BLACK = np.zeros((60, 80, 3), np.uint8)


def with_segments(*segments: tuple[int, bytes], picture: np.ndarray = BLACK) -> bytes:
    """A JPEG with application segments of (number, payload) before its own."""
    encoded = cv2.imencode(".jpg", picture)[1].tobytes()
    written = b"".join(
        struct.pack(">BBH", 0xFF, 0xE0 + number, len(payload) + 2) + payload
        for number, payload in segments
    )
    return encoded[:2] + written + encoded[2:]


def in_parts(number: int, block: bytes, size: int = 65_000) -> list[tuple[int, bytes]]:
    """A long block as segments of one number."""
    return [(number, block[start : start + size]) for start in range(0, len(block), size)]


def fff(counts: np.ndarray, *, order: str = "<", body: bytes | None = None) -> bytes:
    """A FLIR file with one record before that of the raw data."""
    height, width = counts.shape
    raw = struct.pack(f"{order}HHH26x", 2, width, height)
    raw += counts.astype(f"{order}u2").tobytes() if body is None else body
    header = struct.pack(">4s16sIII32x", b"FFF\0", b"TEST", 100, 64, 2)
    other = struct.pack(">HHIIIIIII", 32, 1, 100, 1, 128, 0, 0, 0, 0)
    entry = struct.pack(">HHIIIIIII", 1, 2, 100, 2, 128, len(raw), 0, 0, 0)
    return header + other[:32] + entry[:32] + raw


def flir_jpeg(block: bytes, picture: np.ndarray = BLACK, keep: slice = slice(None)) -> bytes:
    """A FLIR radiometric JPEG of an FFF block; ``keep`` leaves segments out."""
    parts = [block[start : start + 20_000] for start in range(0, len(block), 20_000)]
    payloads = [
        (1, b"FLIR\0" + bytes([1, number, len(parts) - 1]) + part)
        for number, part in enumerate(parts)
    ]
    return with_segments(*payloads[keep], picture=picture)


def radiometric_jpeg(counts: np.ndarray, picture: np.ndarray = BLACK) -> bytes:
    """A DJI R-JPEG: counts in APP3, parameters and a curve after them."""
    block = counts.astype("<u2").tobytes()
    return with_segments(*in_parts(3, block), (4, bytes(224)), (5, bytes(4000)), picture=picture)
