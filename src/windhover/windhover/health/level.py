"""Severity, and the hysteresis that keeps it from flickering."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(enum.IntEnum):
    """Severity as in diagnostic_msgs/DiagnosticStatus."""

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3


@dataclass(frozen=True, slots=True)
class Status:
    """The state of one thing at one moment.

    Attributes:
        level: how bad.
        text: one line: the problem and what to do; for OK what goes well.
    """

    level: Level
    text: str


NO_STATUS = Status(Level.STALE, "nothing yet")
"""Before anything was assessed."""


class Hysteresis:
    """Raises or lowers a level only once it has been different for a while.

    Args:
        raise_delay_s: how long it must have been worse than shown.
        clear_delay_s: how long it must have been better than shown.
        shown: status to show before the first update.
    """

    def __init__(
        self, raise_delay_s: float, clear_delay_s: float, shown: Status = NO_STATUS
    ) -> None:
        self._raise_delay_s = raise_delay_s
        self._clear_delay_s = clear_delay_s
        self._shown = shown
        self._since: float | None = None
        self._direction = 0
        self._first = True

    @property
    def shown(self) -> Status:
        """The status that is shown now."""
        return self._shown

    def update(self, status: Status, now_s: float) -> Status:
        """Take in the status of this moment.

        Args:
            status: without hysteresis.
            now_s: monotonic seconds.

        Returns:
            The status to show: the new one once it has lasted, else the one before. A new
            text of the same level is taken over at once.
        """
        direction = (status.level > self._shown.level) - (status.level < self._shown.level)
        if direction != self._direction:
            self._direction, self._since = direction, now_s
        if direction == 0 or self._first:
            self._shown, self._first = status, False
        elif self._since is not None:
            wait_s = self._raise_delay_s if direction > 0 else self._clear_delay_s
            if now_s - self._since >= wait_s:
                self._shown, self._direction = status, 0
        return self._shown
