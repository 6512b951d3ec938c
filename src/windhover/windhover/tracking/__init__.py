"""Multi-object tracking: detections of single frames to tracks with stable ids."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from windhover.errors import ConfigError
from windhover.registry import Registry
from windhover.tracking.base import Tracker
from windhover.tracking.bytetrack import ByteTracker, ByteTrackParams

__all__ = ["TRACKERS", "Tracker", "TrackerKind", "make_tracker"]


@dataclass(frozen=True, slots=True)
class TrackerKind:
    """A tracker that can be chosen by name.

    Attributes:
        params: its settings; a node declares its ROS parameters from them.
        build: makes the tracker from such settings.
    """

    params: type[BaseModel]
    build: Callable[[Any], Tracker]


TRACKERS: Registry[TrackerKind] = Registry(
    "windhover.trackers",
    TrackerKind,
    {"bytetrack": TrackerKind(ByteTrackParams, ByteTracker)},
)
"""Trackers by name; a package adds one as an entry point in ``windhover.trackers``."""


def make_tracker(
    name: str = "bytetrack", params: BaseModel | Mapping[str, Any] | None = None
) -> Tracker:
    """Make a tracker by name.

    Args:
        name: a key of :data:`TRACKERS`.
        params: its settings, as its own model or as a mapping of those that
            differ from the defaults.

    Raises:
        ConfigError: no such tracker, or a setting is unknown or out of range.
    """
    kind = TRACKERS.get(name)
    if kind is None:
        raise ConfigError(f"tracker {name!r}: no such tracker; choose {', '.join(TRACKERS)}")
    if isinstance(params, kind.params):
        return kind.build(params)
    if isinstance(params, BaseModel):
        raise ConfigError(
            f"tracker {name!r}: takes {kind.params.__name__}, not {type(params).__name__}"
        )
    try:
        return kind.build(kind.params(**(params or {})))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        known = field in kind.params.model_fields
        reason = first["msg"].lower() if known else "no such setting"
        raise ConfigError(f"tracker {name!r}: {field}: {reason}") from None
