"""What to do about a stage that gives nothing: step by step, with back-off and a cap."""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field


class Step(enum.Enum):
    """A way to bring a stage back, from the mildest to the last."""

    REACTIVATE = "re-activate"
    RECONFIGURE = "re-configure"  # opens its camera or loads its backend again
    RESTART = "restart the process"


_ORDER = (Step.REACTIVATE, Step.RECONFIGURE, Step.RECONFIGURE, Step.RESTART)


@dataclass
class Ladder:
    """Decides when to take which step for one stage.

    Attributes:
        after_s: a stage must have been bad for so long.
        wait_s: wait after the first step before the next; each further one twice as long.
        well_after_s: a stage that was good for so long begins at the first step again.
        most: steps within ``window_s``; after that none is taken until some are older.
        window_s: seconds.
    """

    after_s: float = 0.25
    wait_s: float = 1.0
    well_after_s: float = 30.0
    most: int = 8
    window_s: float = 600.0
    _bad_since: float | None = None
    _good_since: float | None = None
    _next_s: float = float("-inf")
    _rung: int = 0
    _taken: deque[float] = field(default_factory=deque)

    @property
    def given_up(self) -> bool:
        """Whether the cap is reached."""
        return len(self._taken) >= self.most

    @property
    def taken(self) -> int:
        """Steps that were taken within the window."""
        return len(self._taken)

    def look(self, bad: bool, now_s: float) -> Step | None:
        """What to do now.

        Args:
            bad: the stage gives nothing although what it needs is there.
            now_s: monotonic seconds.

        Returns:
            A step to take at once, or ``None``.
        """
        while self._taken and now_s - self._taken[0] > self.window_s:
            self._taken.popleft()
        if not bad:
            self._see_good(now_s)
            return None
        self._good_since = None
        if self._bad_since is None:
            self._bad_since = now_s
        if now_s - self._bad_since < self.after_s or now_s < self._next_s or self.given_up:
            return None
        step = _ORDER[min(self._rung, len(_ORDER) - 1)]
        self._next_s = now_s + self.wait_s * 2.0**self._rung
        self._rung = min(self._rung + 1, len(_ORDER) - 1)
        self._taken.append(now_s)
        return step

    def _see_good(self, now_s: float) -> None:
        self._bad_since = None
        if self._good_since is None:
            self._good_since = now_s
        if now_s - self._good_since >= self.well_after_s:
            self._rung = 0
