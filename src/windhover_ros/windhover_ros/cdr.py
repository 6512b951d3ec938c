"""The bytes of ROS messages (CDR, XCDR1) written and read without rclpy's objects.

Why: a ``Detection2DArray`` of 100 objects is 2,300 nested Python objects, which
take rclpy several milliseconds to build and convert. Its wire format is a fixed
pattern per detection, so it is packed with one ``struct`` call each. rclpy
publishes such bytes as they are.

Source: OMG DDS-XTypes 1.3, 7.4 (plain CDR); the test holds every function here
equal to ``rclpy.serialization``.
"""

from __future__ import annotations

import struct
from functools import lru_cache

from windhover.errors import DataError

HEADER = b"\x00\x01\x00\x00"  # CDR, little endian, no options
_HEAD = len(HEADER)


class CdrWriter:
    """Appends values at the alignment that CDR asks for."""

    def __init__(self) -> None:
        self._buffer = bytearray(HEADER)

    def pack(self, code: str, *values: float) -> None:
        """Append numbers of one ``struct`` code, each aligned to its size."""
        size = struct.calcsize(code)
        self._buffer += bytes(-(len(self._buffer) - _HEAD) % size)
        self._buffer += struct.pack(f"<{len(values)}{code}", *values)

    def string(self, text: str) -> None:
        """Append a string: length with the closing NUL, then UTF-8."""
        raw = text.encode()
        self.pack("I", len(raw) + 1)
        self._buffer += raw + b"\0"

    def blob(self, data: bytes | memoryview) -> None:
        """Append a sequence of bytes."""
        self.pack("I", len(data))
        self._buffer += data

    def header(self, stamp_ns: int, frame_id: str) -> None:
        """Append a std_msgs/Header."""
        self.pack("i", stamp_ns // 1_000_000_000)
        self.pack("I", stamp_ns % 1_000_000_000)
        self.string(frame_id)

    def getvalue(self) -> bytes:
        """The whole message."""
        return bytes(self._buffer)


class CdrReader:
    """Reads values in the order of a message's fields.

    Raises:
        DataError: from every method, when the bytes end early or make no sense.
    """

    def __init__(self, data: bytes | memoryview) -> None:
        if len(data) < _HEAD or data[0] != 0 or data[1] not in {0, 1}:
            raise DataError("message is not plain CDR; is its peer using another encoding?")
        self._data = data
        self._order = "<" if data[1] else ">"
        self._at = _HEAD

    def numbers(self, code: str, count: int = 1) -> tuple[float, ...]:
        """Read ``count`` numbers of one ``struct`` code."""
        size = struct.calcsize(code)
        self._at += -(self._at - _HEAD) % size
        try:
            values = struct.unpack_from(f"{self._order}{count}{code}", self._data, self._at)
        except struct.error:
            raise DataError(f"message ends early, at byte {len(self._data)}") from None
        self._at += size * count
        return values

    def integer(self, code: str = "I") -> int:
        """Read one integer."""
        return int(self.numbers(code)[0])

    def string(self) -> str:
        """Read a string."""
        return bytes(self.blob()).rstrip(b"\0").decode("utf-8", "replace")

    def blob(self) -> memoryview:
        """Read a sequence of bytes, as a view of the message."""
        size = self.integer()
        start, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise DataError(f"message ends early, at byte {len(self._data)}")
        return memoryview(self._data)[start : self._at]

    def skip(self, code: str, count: int) -> None:
        """Pass over numbers."""
        size = struct.calcsize(code)
        self._at += -(self._at - _HEAD) % size + size * count

    def header(self) -> tuple[int, str]:
        """Read a std_msgs/Header as (stamp_ns, frame_id)."""
        seconds = self.integer("i")
        return seconds * 1_000_000_000 + self.integer("I"), self.string()


@lru_cache(maxsize=256)
def detection_struct(
    phase: int, frame_bytes: int, label_bytes: int, second_bytes: int = 0
) -> struct.Struct:
    """Format of one Detection2D with one hypothesis or two, up to its id string.

    Args:
        phase: where it starts, modulo 8 (0 or 4).
        frame_bytes: length of the frame_id with its NUL.
        label_bytes: length of the class_id with its NUL.
        second_bytes: the same of a second hypothesis; 0 where there is none.

    Returns:
        A format that takes sec, nanosec, len and frame_id, the number of
        hypotheses, for each len and class_id, score and the 344 bytes of the pose,
        then centre x, y, theta, size x, y, and the id's length with its NUL.
    """
    head = f"iII{frame_bytes}s"
    at = phase + 12 + frame_bytes
    pad = -at % 4
    at += pad + 8 + label_bytes
    # A pose ends at a multiple of 8, so what follows needs no more padding.
    second = f"I{second_bytes}s{-(4 + second_bytes) % 8}xd344s" if second_bytes else ""
    return struct.Struct(f"<{head}{pad}xII{label_bytes}s{-at % 8}xd344s{second}5dI")
