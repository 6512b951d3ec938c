"""Writes rosbag2 recordings in MCAP, with no ROS needed.

Chunks are compressed with zstd. A chunk is written when it has 1 MiB or its messages
span a second, so a crash loses at most the last second. The same messages always give
the same bytes. After a crash the file has no index and the folder no metadata.yaml;
:mod:`windhover_bringup.recording.recovery` rebuilds both.

A recording stops while there is still room for its index, so a full disk leaves a
complete recording.

Format: https://mcap.dev/spec with the ``ros2`` profile, channels and schemas as
rosbag2_storage_mcap of Jazzy writes them.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

from mcap.data_stream import ReadDataStream, RecordBuilder
from mcap.records import ChunkIndex
from mcap.writer import CompressionType, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from windhover.errors import ConfigError
from windhover_bringup.recording.metadata import (
    FileSummary,
    OfferedQos,
    TopicSummary,
    bag_metadata,
    to_yaml,
    write_metadata,
)

FLUSH_NS = 1_000_000_000
# Kept free on the disk: room for the chunk in memory, the index, and what others write.
RESERVE_BYTES = 8 << 20
CHECK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Topic:
    """A recorded topic.

    Attributes:
        name: full name, with its leading slash.
        kind: type, as ``package/msg/Type``.
        qos: with which it was published.
    """

    name: str
    kind: str
    qos: OfferedQos = field(default_factory=OfferedQos)


def message_types() -> Typestore:
    """Jazzy's message types and those of vision_msgs that are installed here.

    Raises:
        ConfigError: vision_msgs' definitions are not installed.
    """
    store = get_typestore(Stores.ROS2_JAZZY)
    folder = _definitions("vision_msgs")
    types = {}
    for file in sorted(folder.glob("*.msg")):
        types.update(get_types_from_msg(file.read_text(), f"vision_msgs/msg/{file.stem}"))
    store.register({name: kind for name, kind in types.items() if name not in store.fielddefs})
    return store


def _definitions(package: str) -> Path:
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    for prefix in [*prefixes, sys.prefix]:
        folder = Path(prefix) / "share" / package / "msg"
        if folder.is_dir():
            return folder
    raise ConfigError(
        f"the message definitions of {package} (share/{package}/msg) are not installed: "
        f"run 'make setup', or install ros-jazzy-{package.replace('_', '-')}"
    )


def next_part(path: Path) -> Path:
    """Where to record without overwriting anything: ``path``, else ``path_1`` and so on."""
    number, part = 0, path
    while part.exists():
        number += 1
        part = path.with_name(f"{path.name}_{number}")
    return part


class PackedIndices(list[ChunkIndex]):
    """Indices of a file's chunks as the bytes that its end will hold.

    mcap keeps an object with a dictionary for each chunk until the file is closed, which is
    3.4 MiB an hour at a chunk a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._packed = bytearray()

    def append(self, index: ChunkIndex) -> None:
        """Pack an index."""
        record = RecordBuilder()
        index.write(record)
        self._packed += record.end()

    def __iter__(self) -> Iterator[ChunkIndex]:
        stream = ReadDataStream(BytesIO(self._packed))
        while stream.count < len(self._packed):
            stream.read1()
            stream.read8()
            yield ChunkIndex.read(stream)


class BagWriter:
    """An open recording.

    Args:
        path: folder to make; must not exist.

    Raises:
        ConfigError: the folder exists or can't be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists():
            raise ConfigError(f"{path} exists already; choose another place or remove it")
        self._unchecked = 0
        self._types = message_types()
        self._broken = False
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._check_room()
            path.mkdir()
            self._file = (path / f"{path.name}.mcap").open("xb")
        except OSError as error:
            raise ConfigError(f"can't record to {path}: {error.strerror or error}") from None
        self._writer = Writer(self._file, compression=CompressionType.ZSTD)
        # The name that Python gives mcap's private list; a test holds that it is used.
        self._writer._Writer__chunk_indices = PackedIndices()  # type: ignore[attr-defined]
        self._writer.start(profile="ros2")
        self._schemas: dict[str, int] = {}
        self._channels: dict[str, int] = {}
        self._summary = FileSummary(f"{path.name}.mcap")
        self._topics: dict[str, TopicSummary] = {}
        self._flushed_ns: int | None = None

    def write(self, topic: Topic, log_ns: int, publish_ns: int, data: bytes) -> None:
        """Append a serialised message.

        Args:
            topic: where it was published.
            log_ns: time of recording, by which players order messages.
            publish_ns: the header's stamp, or the time of recording where there is none.
            data: its CDR bytes.

        Raises:
            OSError: the disk is full or gone; what was written stays.
        """
        channel = self._channels.get(topic.name) or self._register(topic)
        self._unchecked += len(data)
        if self._unchecked > CHECK_BYTES:
            self._check_room()
        with self._marking_broken():
            self._writer.add_message(channel, log_ns, data, publish_ns)
        self._summary.add(log_ns)
        self._topics[topic.name].messages += 1
        if self._flushed_ns is None:
            self._flushed_ns = log_ns
        # By log times, not by the clock; a clock that was set back counts as well.
        if abs(log_ns - self._flushed_ns) > FLUSH_NS:
            self._flushed_ns = log_ns
            self.flush()

    def canonical_cdr(self, topic: Topic, data: bytes) -> bytes:
        """The same message with zeros as padding; rclpy leaves there what was in memory."""
        message = self._types.deserialize_cdr(data, topic.kind)
        return bytes(self._types.serialize_cdr(message, topic.kind))

    def flush(self) -> None:
        """Hand everything written so far to the system, so that a crash leaves it.

        Raises:
            OSError: the disk is full, or nearly.
        """
        self._check_room()
        with self._marking_broken():
            self._writer.flush()

    def close(self) -> None:
        """Write the index and metadata.yaml; calling it twice is fine.

        Raises:
            OSError: there is no room for them; ``windhover bag recover`` saves the messages.
        """
        if self._file.closed:
            return
        try:
            if self._broken:
                raise OSError(errno.EIO, "a chunk could not be written")
            metadata = bag_metadata([self._summary], list(self._topics.values()))
            # As rosbag2 does, so that the file alone is enough for 'ros2 bag info'.
            self._writer.flush()
            self._writer.add_metadata("rosbag2", {"serialized_metadata": to_yaml(metadata)})
            self._writer.finish()
            self._file.close()
            write_metadata(self.path, metadata)
        finally:
            with suppress(OSError):
                self._file.close()

    def _register(self, topic: Topic) -> int:
        type_hash = self._types.hash_rihs01(topic.kind)
        schema = self._schemas.get(topic.kind)
        if schema is None:
            text, _ = self._types.generate_msgdef(topic.kind, ros_version=2)
            schema = self._writer.register_schema(topic.kind, "ros2msg", text.encode())
            self._schemas[topic.kind] = schema
        profiles = [topic.qos.as_dict()]
        channel = self._writer.register_channel(
            topic.name,
            "cdr",
            schema,
            {"offered_qos_profiles": to_yaml(profiles), "topic_type_hash": type_hash},
        )
        self._channels[topic.name] = channel
        self._topics[topic.name] = TopicSummary(topic.name, topic.kind, "cdr", profiles, type_hash)
        return channel

    @contextmanager
    def _marking_broken(self) -> Iterator[None]:
        """A chunk that was written in part must not be followed by an index."""
        try:
            yield
        except OSError:
            self._broken = True
            raise

    def _check_room(self) -> None:
        self._unchecked = 0
        stat = os.statvfs(self.path.parent)
        free = stat.f_bavail * stat.f_frsize
        if free < RESERVE_BYTES:
            raise OSError(
                errno.ENOSPC,
                f"only {free >> 20} MiB are free beside {self.path.name}; make room, and recording "
                "resumes by itself in a new part",
            )
