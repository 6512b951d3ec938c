"""Writes rosbag2 recordings in MCAP, with no ROS needed.

Topics are those of the live system; images are CompressedImage on
image_transport's topic name, PNG for thermal (no loss) and JPEG for colour.
Every message is stamped with its image's stamp.

A recording stops while there is still room for its index, so that what a full disk
leaves is whole.

After a crash: a chunk goes to the file when it has 1 MiB or its messages span a
second, so at most the last second is lost; the same messages always give the same
file. One that broke off has no index and no metadata.yaml; :func:`recover` rebuilds
both, as ``ros2 bag reindex`` does on a ROS machine.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rosbags.interfaces import (
    Connection,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.storage_mcap import McapWriter
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from windhover.errors import ConfigError

FLUSH_NS = 1_000_000_000
# Room that a recording leaves: the chunk in memory, its index, and what else is written.
RESERVE_BYTES = 8 << 20
CHECK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Topic:
    """A recorded topic.

    Attributes:
        name: full name, with its leading slash.
        kind: type, as ``package/msg/Type``.
        latched: transient local, so that it is played to late subscribers.
        reliable: whether it is offered reliable.
    """

    name: str
    kind: str
    latched: bool = False
    reliable: bool = True


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
    """Where to record without writing over anything: ``path``, else ``path_1`` and so on."""
    number, part = 0, path
    while part.exists():
        number += 1
        part = path.with_name(f"{path.name}_{number}")
    return part


class BagWriter:
    """A recording in the making.

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
        self._writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._check_room()
            self._writer.open()
        except OSError as error:
            raise ConfigError(f"can't record to {path}: {error.strerror or error}") from None
        self._connections: dict[str, Connection] = {}
        self._flushed_ns: int | None = None

    def write(self, topic: Topic, stamp_ns: int, data: bytes) -> None:
        """Append a serialised message.

        Raises:
            OSError: the disk is full or gone; what was written stays.
        """
        connection = self._connections.get(topic.name)
        if connection is None:
            connection = self._writer.add_connection(
                topic.name,
                topic.kind,
                typestore=self._types,
                offered_qos_profiles=[_qos(topic)],
            )
            self._connections[topic.name] = connection
        self._unchecked += len(data)
        if self._unchecked > CHECK_BYTES:
            self._check_room()
        self._writer.write(connection, stamp_ns, data)
        if self._flushed_ns is None:
            self._flushed_ns = stamp_ns
        # By stamps, not by the clock; one that was set back counts as well.
        if abs(stamp_ns - self._flushed_ns) > FLUSH_NS:
            self._flushed_ns = stamp_ns
            self.flush()

    def tidy(self, topic: Topic, data: bytes) -> bytes:
        """The same message with zeros for padding, which rclpy leaves as memory was."""
        message = self._types.deserialize_cdr(data, topic.kind)
        return bytes(self._types.serialize_cdr(message, topic.kind))

    def flush(self) -> None:
        """Give to the system what was written, so that a crash leaves it.

        Raises:
            OSError: the disk is full, or all but.
        """
        self._check_room()
        storage = self._writer.storage
        if isinstance(storage, McapWriter) and storage.chunk.bio.tell():
            storage.close_chunk()
            storage.bio.flush()

    def close(self) -> None:
        """Write the index and metadata.yaml; calling it twice is fine.

        Raises:
            OSError: there is no room for them; :func:`recover` saves what is whole.
        """
        storage = self._writer.storage
        if storage is None:
            return
        try:
            self._writer.close()
        except OSError:
            self._writer.storage = None
            if isinstance(storage, McapWriter):
                with suppress(OSError):
                    storage.bio.close()
            raise

    def _check_room(self) -> None:
        self._unchecked = 0
        stat = os.statvfs(self.path.parent)
        free = stat.f_bavail * stat.f_frsize
        if free < RESERVE_BYTES:
            raise OSError(
                errno.ENOSPC,
                f"only {free >> 20} MiB are free beside {self.path.name}; make room, it then goes "
                "on by itself in a new part",
            )


def _qos(topic: Topic) -> Qos:
    never = QosTime(9223372036, 854775807)
    return Qos(
        history=QosHistory.KEEP_LAST,
        depth=1 if topic.latched else 10,
        reliability=QosReliability.RELIABLE if topic.reliable else QosReliability.BEST_EFFORT,
        durability=QosDurability.TRANSIENT_LOCAL if topic.latched else QosDurability.VOLATILE,
        deadline=never,
        lifespan=never,
        liveliness=QosLiveliness.AUTOMATIC,
        liveliness_lease_duration=never,
        avoid_ros_namespace_conventions=False,
    )
