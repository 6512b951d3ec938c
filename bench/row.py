"""One row of results, and how repeats are timed.

A benchmark is a module here with ``measure() -> list[Row]`` and a line in
``run.py``. Times that are compared are taken in one process, alternately, so that
other load on the machine affects both.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        part: what is measured.
        case: its input.
        median_ms: ours, for a frame.
        p99_ms: ours, for a frame.
        peer: what it is compared with; ``None`` for nothing.
        peer_median_ms: the peer's time on the same data; ``None`` where not measured.
        min_ratio: target: how many times faster than the peer.
        max_ms: target: the longest median.
        note: what a reader must know to take the figure right.
    """

    part: str
    case: str
    median_ms: float
    p99_ms: float
    peer: str | None = None
    peer_median_ms: float | None = None
    min_ratio: float | None = None
    max_ms: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times faster ours is."""
        return None if self.peer_median_ms is None else self.peer_median_ms / self.median_ms

    @property
    def met(self) -> bool | None:
        """Whether the target is reached; ``None`` without a target or a measurement."""
        if self.min_ratio is not None and self.ratio is not None:
            return self.ratio >= self.min_ratio
        if self.max_ms is not None:
            return self.median_ms <= self.max_ms
        return None


def time_alternately(
    calls: Sequence[Callable[[], object]],
    repeats: int = 200,
    warm_up: int = 20,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> list[NDArray[np.float64]]:
    """Milliseconds of each call; each round runs all calls once, so that they share the noise.

    Work that is all in this thread may be timed with ``time.thread_time_ns``, which
    does not count other processes' time.
    """
    times = np.empty((len(calls), repeats + warm_up))
    for turn in range(repeats + warm_up):
        for index, call in enumerate(calls):
            start = clock()
            call()
            times[index, turn] = (clock() - start) / 1e6
    return list(times[:, warm_up:])


def fair_clock() -> Callable[[], int]:
    """CPU time of the thread where each side has one thread, else wall-clock time.

    On an idle machine the two agree. On a busy one the thread's time is still right, but
    it leaves out helper threads.
    """
    alone = os.environ.get("OMP_NUM_THREADS", "1") == "1"
    return time.thread_time_ns if alone else time.perf_counter_ns


def median(times: NDArray[np.float64]) -> float:
    """Median of one call's times."""
    return float(np.median(times))


def p99(times: NDArray[np.float64]) -> float:
    """99th percentile of one call's times."""
    return float(np.percentile(times, 99))
