"""Health of a running chain, read from the monitor's diagnostic_msgs/DiagnosticArray."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class HealthLevel(enum.IntEnum):
    """Levels of diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3


@dataclass(frozen=True, slots=True)
class Health:
    """The monitor's summary.

    Attributes:
        level: overall. OK and WARN: trust the tracks. ERROR and STALE: what was seen last
            is old.
        message: one line for a person.
        stages: level of each stage and of the machine, by name.
    """

    level: HealthLevel
    message: str
    stages: Mapping[str, HealthLevel] = field(default_factory=dict)

    @property
    def trusted(self) -> bool:
        """Whether the level is OK or WARN."""
        return self.level <= HealthLevel.WARN


def read_health(message: Any) -> Health | None:
    """Convert the topic ``health``; ``None`` where the message is empty."""
    if not message.status:
        return None
    overall, *stages = message.status
    return Health(
        level=_level(overall.level),
        message=overall.message,
        stages={status.name: _level(status.level) for status in stages},
    )


def _level(value: bytes) -> HealthLevel:
    return HealthLevel(value[0])
