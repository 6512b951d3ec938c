"""Makes a recording that broke off (power lost, kill -9) readable again.

An MCAP file without its end has all chunks that were written, but no index, and
the bag no metadata.yaml. What is whole is written into a new bag beside it.
Records as in the MCAP specification (https://mcap.dev/spec): a byte of opcode,
eight of length, the content.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from windhover.errors import DataError
from windhover_bringup.recording.bag import BagWriter, Topic

MAGIC = b"\x89MCAP0\r\n"
CHANNEL, MESSAGE, CHUNK = 0x04, 0x05, 0x06


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was saved.

    Attributes:
        path: the new bag.
        messages: how many are in it.
    """

    path: Path
    messages: int


def recover(bag: Path) -> Recovered:
    """Save what is whole of a bag that broke off into ``<bag>_recovered``.

    Args:
        bag: its folder; left as it is.

    Raises:
        DataError: there is no MCAP file in it, or nothing whole in that.
        ConfigError: ``<bag>_recovered`` exists already.
    """
    files = sorted(bag.glob("*.mcap")) if bag.is_dir() else []
    if not files:
        raise DataError(f"no .mcap file in {bag}; give the folder of a recording")
    data = files[0].read_bytes()
    if not data.startswith(MAGIC):
        raise DataError(f"{files[0]} is not MCAP, or was cut before its first byte was written")
    writer = BagWriter(bag.with_name(f"{bag.name}_recovered"))
    topics: dict[int, Topic] = {}
    count = 0
    try:
        for opcode, content in _flat(memoryview(data)[len(MAGIC) :]):
            if opcode == CHANNEL:
                number, topic = _channel(content)
                topics[number] = topic
            elif opcode == MESSAGE:
                number, _, stamp_ns = struct.unpack_from("<HIQ", content)
                writer.write(topics[number], stamp_ns, bytes(content[22:]))
                count += 1
    finally:
        writer.close()
    if not count:
        raise DataError(f"{files[0]} holds no whole message")
    return Recovered(writer.path, count)


def _records(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    at = 0
    while at + 9 <= len(data):
        opcode, size = struct.unpack_from("<BQ", data, at)
        at += 9
        if at + size > len(data):
            return
        yield opcode, data[at : at + size]
        at += size


def _flat(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Records with those inside chunks; ours are not compressed."""
    for opcode, content in _records(data):
        if opcode == CHUNK:
            # start, end, size, crc, then the compression's name and the records.
            (name,) = struct.unpack_from("<I", content, 28)
            if name == 0:
                yield from _records(content[40:])
        else:
            yield opcode, content


def _channel(content: memoryview) -> tuple[int, Topic]:
    number, _ = struct.unpack_from("<HH", content)
    name, at = _string(content, 4)
    encoding_end = _string(content, at)[1]
    (size,) = struct.unpack_from("<I", content, encoding_end)
    metadata = bytes(content[encoding_end + 4 : encoding_end + 4 + size]).decode()
    return number, Topic(
        name,
        _KINDS[name.rsplit("/", 1)[-1]],
        latched="transient_local" in metadata,
        reliable="best_effort" not in metadata,
    )


_KINDS = {
    "detections": "vision_msgs/msg/Detection2DArray",
    "tracks": "vision_msgs/msg/Detection2DArray",
    "label_info": "vision_msgs/msg/LabelInfo",
    "camera_info": "sensor_msgs/msg/CameraInfo",
    "compressed": "sensor_msgs/msg/CompressedImage",
}


def _string(content: memoryview, at: int) -> tuple[str, int]:
    (size,) = struct.unpack_from("<I", content, at)
    return bytes(content[at + 4 : at + 4 + size]).decode(), at + 4 + size
