"""What to do about a stalled stage: step by step, with back-off and a cap."""

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
class RecoveryPolicy:
    """Decides when to take which step for one stage.

    Attributes:
        stall_delay_s: a stage must have been stalled for this long before the first step.
        backoff_s: wait after the first step before the next; it doubles with each step.
        reset_after_s: a stage that was healthy for this long starts at the first step again.
        max_steps: most steps within ``window_s``; no more are taken until some are older.
        window_s: seconds over which steps are counted.
    """

    stall_delay_s: float = 0.25
    backoff_s: float = 1.0
    reset_after_s: float = 30.0
    max_steps: int = 8
    window_s: float = 600.0
    _stalled_since: float | None = None
    _healthy_since: float | None = None
    _next_s: float = float("-inf")
    _stage: int = 0
    _step_times: deque[float] = field(default_factory=deque)

    @property
    def exhausted(self) -> bool:
        """Whether the cap is reached."""
        return len(self._step_times) >= self.max_steps

    @property
    def steps_taken(self) -> int:
        """Steps that were taken within the window."""
        return len(self._step_times)

    def next_step(self, stalled: bool, now_s: float) -> Step | None:
        """The step to take now, or ``None``.

        Args:
            stalled: the stage gives nothing although it has its input.
            now_s: monotonic seconds.
        """
        while self._step_times and now_s - self._step_times[0] > self.window_s:
            self._step_times.popleft()
        if not stalled:
            self._note_healthy(now_s)
            return None
        self._healthy_since = None
        if self._stalled_since is None:
            self._stalled_since = now_s
        waited = now_s - self._stalled_since >= self.stall_delay_s and now_s >= self._next_s
        if not waited or self.exhausted:
            return None
        step = _ORDER[self._stage]
        self._next_s = now_s + self.backoff_s * 2.0**self._stage
        self._stage = min(self._stage + 1, len(_ORDER) - 1)
        self._step_times.append(now_s)
        return step

    def _note_healthy(self, now_s: float) -> None:
        self._stalled_since = None
        if self._healthy_since is None:
            self._healthy_since = now_s
        if now_s - self._healthy_since >= self.reset_after_s:
            self._stage = 0
