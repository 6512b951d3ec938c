"""metadata.yaml of a rosbag2 recording, version 9, as rosbag2_storage_mcap of Jazzy writes it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from windhover.files import write_bytes_atomic

# What rmw calls an infinite duration.
_INFINITE_NS = 9_223_372_036_854_775_807


@dataclass(frozen=True, slots=True)
class OfferedQos:
    """Quality of service with which a topic was published.

    Attributes:
        depth: of the publisher's keep-last history.
        reliable: reliable, or best effort.
        latched: transient local, so that a player repeats it for late subscribers.
        deadline_ns: longest time between two messages; ``None`` for no deadline.
    """

    depth: int = 10
    reliable: bool = True
    latched: bool = False
    deadline_ns: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """As rosbag2's metadata (version 9) spells it."""
        return {
            "history": "keep_last",
            "depth": self.depth,
            "reliability": "reliable" if self.reliable else "best_effort",
            "durability": "transient_local" if self.latched else "volatile",
            "deadline": _duration(self.deadline_ns),
            "lifespan": _duration(None),
            "liveliness": "automatic",
            "liveliness_lease_duration": _duration(None),
            "avoid_ros_namespace_conventions": False,
        }


def _duration(nanoseconds: int | None) -> dict[str, int]:
    sec, nsec = divmod(_INFINITE_NS if nanoseconds is None else nanoseconds, 1_000_000_000)
    return {"sec": sec, "nsec": nsec}


@dataclass(slots=True)
class TopicSummary:
    """A topic's entry in metadata.yaml.

    Attributes:
        name: full name.
        kind: message type.
        encoding: of its messages, ``cdr`` in ROS 2.
        qos: offered profiles, as YAML reads them.
        type_hash: REP 2016's hash of the type; may be empty.
        messages: how many there are.
    """

    name: str
    kind: str
    encoding: str
    qos: list[Any]
    type_hash: str
    messages: int = 0


@dataclass(slots=True)
class FileSummary:
    """A file's entry in metadata.yaml.

    Attributes:
        name: of the file, in the bag's folder.
        messages: how many are in it.
        first_ns: earliest log time.
        last_ns: latest log time.
    """

    name: str
    messages: int = 0
    first_ns: int = 0
    last_ns: int = 0

    def add(self, log_ns: int) -> None:
        """Count a message."""
        self.first_ns = min(self.first_ns, log_ns) if self.messages else log_ns
        self.last_ns = max(self.last_ns, log_ns)
        self.messages += 1

    def times(self) -> dict[str, Any]:
        """Start and duration, as metadata.yaml has them."""
        return {
            "starting_time": {"nanoseconds_since_epoch": self.first_ns},
            "duration": {"nanoseconds": self.last_ns - self.first_ns},
            "message_count": self.messages,
        }


def bag_metadata(files: Sequence[FileSummary], topics: Sequence[TopicSummary]) -> dict[str, Any]:
    """What metadata.yaml holds below ``rosbag2_bagfile_information``."""
    filled = [file for file in files if file.messages]
    whole = FileSummary(
        "",
        sum(file.messages for file in files),
        min((file.first_ns for file in filled), default=0),
        max((file.last_ns for file in filled), default=0),
    )
    return {
        "version": 9,
        "storage_identifier": "mcap",
        **whole.times(),
        "topics_with_message_count": [
            {
                "topic_metadata": {
                    "name": topic.name,
                    "type": topic.kind,
                    "serialization_format": topic.encoding,
                    "offered_qos_profiles": topic.qos,
                    "type_description_hash": topic.type_hash,
                },
                "message_count": topic.messages,
            }
            for topic in topics
        ],
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [file.name for file in files],
        "files": [{"path": file.name, **file.times()} for file in files],
        "custom_data": None,
        "ros_distro": os.environ.get("ROS_DISTRO") or "jazzy",
    }


def write_metadata(folder: Path, metadata: dict[str, Any]) -> None:
    """Write ``metadata.yaml``.

    Raises:
        OSError: it can't be written.
    """
    document = {"rosbag2_bagfile_information": metadata}
    write_bytes_atomic(folder / "metadata.yaml", to_yaml(document).encode())


def to_yaml(value: Any) -> str:
    """YAML text with keys in their given order."""
    return yaml.safe_dump(value, sort_keys=False, width=1 << 20)
