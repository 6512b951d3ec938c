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
class Verdict:
    """What is thought of one thing at one moment.

    Attributes:
        level: how bad.
        text: one line: what is wrong and what to do; for OK what goes well.
    """

    level: Level
    text: str


class Hysteresis:
    """Lets a level get worse, and better, only once it has stayed so for a while.

    Args:
        worse_after_s: so long must it have been worse than shown.
        better_after_s: so long must it have been better than shown.
        shown: what is shown before anything is judged.
    """

    def __init__(
        self,
        worse_after_s: float,
        better_after_s: float,
        shown: Verdict = Verdict(Level.STALE, "nothing yet"),
    ) -> None:
        self._worse_after_s = worse_after_s
        self._better_after_s = better_after_s
        self._shown = shown
        self._since: float | None = None
        self._direction = 0
        self._first = True

    @property
    def shown(self) -> Verdict:
        """The verdict that holds now."""
        return self._shown

    def judge(self, verdict: Verdict, now_s: float) -> Verdict:
        """Take in what is thought now.

        Args:
            verdict: of this moment alone.
            now_s: monotonic seconds.

        Returns:
            What is to be shown: the verdict itself once it has lasted, else the one
            before. Words of the same level are taken over at once.
        """
        direction = (verdict.level > self._shown.level) - (verdict.level < self._shown.level)
        if direction != self._direction:
            self._direction, self._since = direction, now_s
        if direction == 0 or self._first:
            self._shown, self._first = verdict, False
        elif self._since is not None:
            wait_s = self._worse_after_s if direction > 0 else self._better_after_s
            if now_s - self._since >= wait_s:
                self._shown, self._direction = verdict, 0
        return self._shown
