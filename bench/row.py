"""What every benchmark hands back, and how repeats are timed.

A benchmark is a module here with ``measure() -> list[Row]`` and a line in
``run.py``. Numbers that are compared are taken in one process, in turn, so that
whatever else the machine does weighs on both.
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
        case: on what.
        median_ms: of ours, a frame.
        p99_ms: of ours, a frame.
        peer: what it is compared to; ``None`` for nothing.
        peer_median_ms: its time on the same data; ``None`` where not measured.
        least_ratio: how many times faster than the peer is asked for.
        most_ms: what median is asked for.
        note: what a reader must know to take the figure right.
    """

    part: str
    case: str
    median_ms: float
    p99_ms: float
    peer: str | None = None
    peer_median_ms: float | None = None
    least_ratio: float | None = None
    most_ms: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times faster ours is."""
        return None if self.peer_median_ms is None else self.peer_median_ms / self.median_ms

    @property
    def met(self) -> bool | None:
        """Whether what is asked for is reached; ``None`` where nothing is, or not measured."""
        if self.least_ratio is not None and self.ratio is not None:
            return self.ratio >= self.least_ratio
        if self.most_ms is not None:
            return self.median_ms <= self.most_ms
        return None


def time_in_turn(
    calls: Sequence[Callable[[], object]],
    repeats: int = 200,
    warm_up: int = 20,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> list[NDArray[np.float64]]:
    """Milliseconds of each call, all calls once a round, so that they share the noise.

    Work that is all in this thread may be timed with ``time.thread_time_ns``, which
    does not count what other processes take.
    """
    times = np.empty((len(calls), repeats + warm_up))
    for turn in range(repeats + warm_up):
        for which, call in enumerate(calls):
            start = clock()
            call()
            times[which, turn] = (clock() - start) / 1e6
    return list(times[:, warm_up:])


def own_clock() -> Callable[[], int]:
    """The thread's own time where one thread a side is asked for, else the wall's.

    On a quiet machine the two are alike; on a full one the thread's is still right, but
    it does not know of helpers.
    """
    alone = os.environ.get("OMP_NUM_THREADS", "1") == "1"
    return time.thread_time_ns if alone else time.perf_counter_ns


def median(times: NDArray[np.float64]) -> float:
    """Median of one call's times."""
    return float(np.median(times))


def p99(times: NDArray[np.float64]) -> float:
    """99th percentile of one call's times."""
    return float(np.percentile(times, 99))
