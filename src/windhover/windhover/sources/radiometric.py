"""The 16-bit counts that thermal cameras store in their files beside a coloured picture.

- DJI R-JPEG (M2EA, M3T, M30T, M4T, H20T, H20N, H30T): little-endian counts in the APP3
  segments; the XT S has a table of 32 KiB there and its counts in APP4.
- FLIR radiometric JPEG (also DJI's XT, XT2 and XT R): an FFF file in APP1 segments.
- FLIR's FFF file by itself.

The layouts are as ExifTool's documentation and files of these cameras show them; both
makers leave them unpublished. The library flyr was not taken for FLIR's: it opens no
``.fff`` file, keeps the counts private, needs Pillow and is under the EUPL.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from windhover.errors import EncodingError, SourceError
from windhover.imaging.compressed import decode_image_bytes
from windhover.imaging.jpeg import application_data, frame_size, segments

Counts = NDArray[np.uint16]

_MIN_COUNTS = 60 * 80
"""The smallest thermal picture that is looked for: FLIR ONE's and Lepton 2's."""

_FLIR = b"FLIR\x00"
_FFF_MAGIC = (b"FFF\x00", b"AFF\x00")
_FFF_HEADER, _FFF_ENTRY = 64, 32
_FFF_VERSIONS = range(100, 200)
_RAW_DATA = 1
_RAW_HEADER = 32
_LITTLE_ENDIAN_MARK = 2
_PNG = b"\x89PNG"
_APP1 = 0xE1


def read_counts(data: bytes | memoryview, what: str) -> Counts | None:
    """The counts of a radiometric file.

    Args:
        data: the file's bytes.
        what: how to name it in messages.

    Returns:
        ``(H, W)`` uint16, as the camera stored them: larger is hotter. Their size may
        differ from that of the file's coloured picture. ``None`` where the file is not
        radiometric.

    Raises:
        SourceError: it is, and its counts are damaged or stored in an unknown way.
    """
    view = memoryview(data)
    if bytes(view[:4]) in _FFF_MAGIC:
        return _fff_counts(view, what)
    flir = _flir_block(view, what)
    if flir is not None:
        return _fff_counts(memoryview(flir), what)
    return _dji_counts(view)


def _dji_counts(data: memoryview) -> Counts | None:
    size = frame_size(data)
    if size is None:
        return None
    blocks = application_data(data)
    for number in (3, 4):
        block = blocks.get(number, b"")
        shape = _shape_of(len(block) // 2, *size) if len(block) % 2 == 0 else None
        if shape is not None:
            return np.frombuffer(block, "<u2").astype(np.uint16).reshape(shape)
    return None


def _shape_of(count: int, width: int, height: int) -> tuple[int, int] | None:
    """Rows and columns of so many counts in the picture's proportions, if they fit."""
    if count < _MIN_COUNTS or not width or not height:
        return None
    columns = math.isqrt(count * width // height)
    rows = count // columns
    return (rows, columns) if rows * columns == count and rows * width == columns * height else None


def _flir_block(data: memoryview, what: str) -> bytes | None:
    """The FFF file in a JPEG: segments of a byte 1, their number and the last number."""
    parts: dict[int, memoryview] = {}
    last = 0
    for segment in segments(data):
        if segment.marker == _APP1 and bytes(segment.payload[:5]) == _FLIR:
            if len(segment.payload) < 8:
                raise SourceError(f"{what} has damaged FLIR segments: copy it again")
            number, last = segment.payload[6], segment.payload[7]
            parts[number] = segment.payload[8:]
    if not parts:
        return None
    if set(parts) != set(range(last + 1)):
        raise SourceError(
            f"{what} has {len(parts)} of {last + 1} FLIR segments: a program that wrote it again "
            "may have dropped the others, use the camera's own file"
        )
    return b"".join(parts[number] for number in range(last + 1))


def _fff_counts(data: memoryview, what: str) -> Counts:
    for start, length in _raw_records(data):
        return _raw_counts(data[start : start + length], what)
    raise SourceError(f"{what} is a FLIR file without thermal counts, or is damaged")


def _raw_records(data: memoryview) -> Iterator[tuple[int, int]]:
    """Offset and length of the records of raw data that a FFF file's directory lists."""
    if len(data) < _FFF_HEADER:
        return
    order = ">" if struct.unpack_from(">I", data, 20)[0] in _FFF_VERSIONS else "<"
    directory, count = struct.unpack_from(f"{order}II", data, 24)
    for index in range(min(count, (len(data) - directory) // _FFF_ENTRY)):
        kind, _, _, _, start, length = struct.unpack_from(
            f"{order}HHIIII", data, directory + index * _FFF_ENTRY
        )
        if kind == _RAW_DATA:
            yield start, length


def _raw_counts(record: memoryview, what: str) -> Counts:
    if len(record) < _RAW_HEADER:
        raise SourceError(f"{what} is truncated before its thermal counts: copy it again")
    little = struct.unpack_from("<H", record)[0] == _LITTLE_ENDIAN_MARK
    width, height = struct.unpack_from("<HH" if little else ">HH", record, 2)
    body = record[_RAW_HEADER:]
    if bytes(body[:4]) == _PNG:
        # Its header is read first: a few bytes can promise gigabytes of pixels.
        stated = struct.unpack_from(">II", body, 16) if len(body) > 24 else (0, 0)
        counts = _png_counts(body) if stated == (width, height) else None
        if counts is None:
            raise SourceError(f"{what} has damaged thermal counts: copy it again")
        return counts
    if len(body) < width * height * 2 or not width or not height:
        raise SourceError(
            f"{what} has {len(body)} bytes for {width}x{height} thermal counts: it is truncated, "
            "or compressed in a way that is not known here"
        )
    stored = np.frombuffer(body[: width * height * 2], "<u2" if little else ">u2")
    return stored.astype(np.uint16).reshape(height, width)


def _png_counts(body: memoryview) -> Counts | None:
    """Counts that a FLIR camera stored as a PNG, most with the bytes of each swapped."""
    try:
        image, encoding = decode_image_bytes(body, "its PNG")
    except EncodingError:
        return None
    if encoding != "mono16":
        return None
    counts = np.asarray(image, np.uint16)
    swapped = counts.byteswap()
    # In the right order neighbours are alike; swapped, their low bytes weigh most.
    return min(counts, swapped, key=_roughness)


def _roughness(counts: Counts) -> float:
    return float(np.abs(np.diff(counts.astype(np.int32), axis=1)).mean())
