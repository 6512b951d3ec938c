"""Telling a run of a backend that hangs from one that takes its time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

MAX_WAIT_S = 10.0
"""Longest wait for a frame in work when its stage stops, and for a backend's first run."""

_SLOWEST_FACTOR = 5.0
_MIN_WAIT_S = 0.05


class RunWatchdog:
    """Watches the one frame that a worker has in work.

    A run hangs that takes longer than ``patience_s`` and five times as long as the slowest
    of the last runs. How long the first run of a backend takes is not known, so that one
    never hangs here.

    One thread works, another asks; each reads a single value that the other writes.

    Args:
        patience_s: a run that takes less never hangs.
        clock: monotonic seconds.
    """

    def __init__(self, patience_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._patience_s = patience_s
        self._clock = clock
        self._frame_since: float | None = None
        self._run_since: float | None = None
        self._checked_s = float("-inf")

    @contextmanager
    def frame(self) -> Iterator[None]:
        """A frame is in work: preparing it, its run, and handing on the result."""
        self._frame_since = self._clock()
        try:
            yield
        finally:
            self._frame_since = None

    @contextmanager
    def run(self) -> Iterator[None]:
        """The backend is at work."""
        self._run_since = self._clock()
        try:
            yield
        finally:
            self._run_since = None

    def hung_s(self, slowest_s: float, period_s: float) -> float | None:
        """How long a run that hangs has been at work; ``None`` while none does.

        A late call means that the process was paused: then nothing hangs, and the worker
        may finish first.

        Args:
            slowest_s: longest of the last runs; 0 before the first.
            period_s: time between two calls of this.
        """
        now, since = self._clock(), self._run_since
        late, self._checked_s = now - self._checked_s > 2 * period_s, now
        if since is None or late or not slowest_s:
            return None
        run_s = now - since
        return run_s if run_s > max(self._patience_s, _SLOWEST_FACTOR * slowest_s) else None

    def stop_wait_s(self, slowest_s: float) -> float:
        """How long to wait for the frame in work before its worker is left to itself.

        Args:
            slowest_s: longest of the last runs; 0 before the first.
        """
        limit_s = MAX_WAIT_S
        if slowest_s:
            limit_s = min(MAX_WAIT_S, max(self._patience_s, _SLOWEST_FACTOR * slowest_s))
        since = self._frame_since
        in_work_s = 0.0 if since is None else self._clock() - since
        return max(_MIN_WAIT_S, limit_s - in_work_s)
