"""Which backend to open after one has failed."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from windhover.inference import BACKENDS

WINDOW_S = 60.0


class BackendChain:
    """The requested backend, then slower ones as each fails too often.

    A backend that fails rarely is opened again; one that fails
    ``after`` times within a minute is replaced by the next of :data:`BACKENDS` that can
    run here. A backend that was replaced is not tried again in the same flight.

    Args:
        first: name of a backend, or ``auto``.
        after: failures within a minute; 0 stays with the first.
        clock: monotonic seconds.
    """

    def __init__(
        self, first: str, after: int = 3, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._first = first
        self._after = after
        self._clock = clock
        self._failures: deque[float] = deque()
        self.current = first
        self.why = ""

    @property
    def fallen_back(self) -> bool:
        """Whether another backend than the first is in use."""
        return self.current != self._first

    def warning(self, name: str) -> str:
        """What a person should know once another backend, ``name``, runs."""
        return (
            f"{self.why}; {name} runs in its place: see 'windhover doctor', and restart the "
            f"detector to try {self._first} again"
        )

    def failed(self, name: str, reason: str) -> None:
        """Record that a backend failed to open or to run.

        Args:
            name: of the backend that was in use or requested.
            reason: one line.
        """
        now = self._clock()
        self._failures.append(now)
        while now - self._failures[0] > WINDOW_S:
            self._failures.popleft()
        if not self._after or len(self._failures) < self._after:
            return
        following = self._following(name)
        if following is not None:
            self.current = following
            self.why = f"{name} failed {len(self._failures)} times in a minute ({reason})"
            self._failures.clear()

    @staticmethod
    def _following(name: str) -> str | None:
        names = list(BACKENDS)
        behind = names[names.index(name) + 1 :] if name in names else []
        # An emulated HTP is a hundred times slower than the CPU.
        return next((other for other in behind if BACKENDS[other].in_auto()), None)
