"""The segments of a JPEG file, without its pixels (ITU-T T.81, annex B)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

SOI = b"\xff\xd8"
EOI = b"\xff\xd9"
_START_OF_SCAN = 0xDA
_APP0 = 0xE0
# Frame headers; the three left out are tables (DHT, JPG, DAC).
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


@dataclass(frozen=True, slots=True)
class Segment:
    """One marker segment.

    Attributes:
        marker: second byte of the marker: 0xE1 for APP1.
        payload: what follows the length; shorter than it says where the file is cut.
        end: offset in the file of the byte after the segment.
    """

    marker: int
    payload: memoryview
    end: int


def segments(data: bytes | memoryview) -> Iterator[Segment]:
    """Yield the segments up to the start of scan, that one included.

    Args:
        data: the file's bytes; nothing is yielded where they are not a JPEG's.
    """
    view = memoryview(data)
    if bytes(view[:2]) != SOI:
        return
    position = 2
    while position + 4 <= len(view) and view[position] == 0xFF:
        marker = view[position + 1]
        if marker == 0xFF:  # fill bytes may stand before a marker
            position += 1
            continue
        end = position + 2 + int.from_bytes(view[position + 2 : position + 4], "big")
        yield Segment(marker, view[position + 4 : end], end)
        if marker == _START_OF_SCAN:
            return
        position = end


def application_data(data: bytes | memoryview) -> dict[int, bytes]:
    """The payloads of the application segments, joined by their number.

    Args:
        data: the file's bytes.

    Returns:
        For ``n`` of APPn, the payloads of all its segments in file order.
    """
    joined: dict[int, list[memoryview]] = {}
    for segment in segments(data):
        if _APP0 <= segment.marker < _APP0 + 16:
            joined.setdefault(segment.marker - _APP0, []).append(segment.payload)
    return {number: b"".join(parts) for number, parts in joined.items()}


def frame_size(data: bytes | memoryview) -> tuple[int, int] | None:
    """Width and height in pixels that the frame header states; ``None`` without one."""
    for segment in segments(data):
        if segment.marker in _FRAME_HEADERS and len(segment.payload) >= 5:
            height = int.from_bytes(segment.payload[1:3], "big")
            return int.from_bytes(segment.payload[3:5], "big"), height
    return None


def is_truncated_jpeg(data: bytes | memoryview) -> bool:
    """Tell whether a JPEG lacks its end.

    OpenCV before 5 fills what is missing with grey and reports success, so this is
    checked before it. Headers are walked first, as an embedded thumbnail has an end
    marker too.
    """
    if bytes(data[:2]) != SOI:
        return False
    for segment in segments(data):
        if segment.marker == _START_OF_SCAN:  # from here on 0xFF in data is escaped
            return bytes(data).find(EOI, segment.end) < 0
    return True
