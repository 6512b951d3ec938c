"""How long stages take and how often: cheap to record, summed up on demand.

A node records one number a frame and asks for a summary about once a second,
so recording is two stores into a ring that was allocated beforehand and all
arithmetic is left to :meth:`LatencyStats.summary`.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NS_PER_MS = 1e6
NS_PER_S = 1e9

#: The stages of one frame in the order in which they happen. ``total`` is from
#: the moment a frame left its source to the moment its result was published.
STAGES = (
    "source",
    "convert",
    "register",
    "preprocess",
    "inference",
    "postprocess",
    "second_look",
    "tracking",
    "publish",
    "total",
)


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """What a window of recorded durations amounts to.

    Attributes:
        count: durations recorded since the start, also those that left the window.
        p50_ms: median of the window, milliseconds; ``None`` before the first.
        p99_ms: 99th percentile, linear between neighbours (NumPy's default).
        mean_ms: mean of the window.
        max_ms: largest of the window.
        worst_ms: largest since the start.
        rate_hz: recordings a second over the last ``horizon_s``; it falls
            towards 0 while nothing arrives.
        age_s: seconds since the last recording; ``None`` before the first.
    """

    count: int = 0
    p50_ms: float | None = None
    p99_ms: float | None = None
    mean_ms: float | None = None
    max_ms: float | None = None
    worst_ms: float | None = None
    rate_hz: float = 0.0
    age_s: float | None = None

    def as_dict(self) -> dict[str, float | int | None]:
        """The fields that do not depend on when they are asked for, for JSON."""
        return {
            "count": self.count,
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "mean_ms": self.mean_ms,
            "max_ms": self.max_ms,
        }


class LatencyStats:
    """Durations of one stage in a bounded window.

    One thread records; others may ask for a summary at the same time. They may
    then see a slot that is being replaced, which is off by one sample at most.

    Args:
        window: durations kept, at least 1. Memory is 16 bytes each.
        horizon_s: seconds over which :attr:`LatencySummary.rate_hz` is taken.

    Raises:
        ValueError: ``window`` or ``horizon_s`` is not positive.
    """

    __slots__ = ("_durations", "_horizon_ns", "_times", "_total", "_window", "_worst")

    def __init__(self, window: int = 1024, horizon_s: float = 5.0) -> None:
        if window < 1 or horizon_s <= 0.0:
            raise ValueError(f"window {window} and horizon_s {horizon_s} must be positive")
        self._window = window
        self._horizon_ns = int(horizon_s * NS_PER_S)
        self._durations = array("q", bytes(8 * window))
        self._times = array("q", bytes(8 * window))
        self._total = 0
        self._worst = 0

    @property
    def count(self) -> int:
        """Durations recorded since the start."""
        return self._total

    def record(self, duration_ns: int, at_ns: int | None = None) -> None:
        """Take in one duration.

        Args:
            duration_ns: nanoseconds the stage took.
            at_ns: when it ended, on the clock that :meth:`summary` is asked on;
                ``time.monotonic_ns()`` where left out.
        """
        slot = self._total % self._window
        self._durations[slot] = duration_ns
        self._times[slot] = time.monotonic_ns() if at_ns is None else at_ns
        self._total += 1
        self._worst = max(self._worst, duration_ns)

    def samples_ms(self) -> NDArray[np.float64]:
        """The window's durations, ``(n,)`` float64 milliseconds, oldest first."""
        return self._ordered(self._durations) / NS_PER_MS

    def rate_hz(self, now_ns: int | None = None) -> float:
        """Recordings a second over the horizon that ends at ``now_ns``.

        The gap since the last recording counts as soon as it is longer than the
        mean gap before it, so a stream that stops is seen to slow down.
        """
        now = time.monotonic_ns() if now_ns is None else now_ns
        times = self._ordered(self._times)
        recent = times[times > now - self._horizon_ns]
        if len(recent) < 2:
            return 0.0
        span = float(recent[-1] - recent[0])
        gaps = len(recent) - 1
        since_first = float(now - recent[0]) - span / gaps
        span = max(span, since_first)
        return gaps * NS_PER_S / span if span > 0.0 else 0.0

    def summary(self, now_ns: int | None = None) -> LatencySummary:
        """Sum up the window as it is at ``now_ns`` (default: now)."""
        if self._total == 0:
            return LatencySummary()
        now = time.monotonic_ns() if now_ns is None else now_ns
        samples = np.sort(self.samples_ms())
        return LatencySummary(
            count=self._total,
            p50_ms=_percentile(samples, 50.0),
            p99_ms=_percentile(samples, 99.0),
            mean_ms=float(samples.mean()),
            max_ms=float(samples[-1]),
            worst_ms=self._worst / NS_PER_MS,
            rate_hz=self.rate_hz(now),
            age_s=self.age_s(now),
        )

    def age_s(self, now_ns: int | None = None) -> float | None:
        """Seconds since the last recording; ``None`` before the first."""
        if self._total == 0:
            return None
        now = time.monotonic_ns() if now_ns is None else now_ns
        return max(0.0, (now - self._times[(self._total - 1) % self._window]) / NS_PER_S)

    def clear(self) -> None:
        """Forget everything, as after a reset of the stage."""
        self._total = 0
        self._worst = 0

    def _ordered(self, ring: array[int]) -> NDArray[np.int64]:
        total = self._total
        values = np.array(ring, np.int64)
        if total <= self._window:
            return values[:total]
        return np.roll(values, -(total % self._window))


def _percentile(ordered: NDArray[np.float64], percent: float) -> float:
    """As ``np.percentile``, of samples in order, in a tenth of its time."""
    place = percent / 100 * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return float(ordered[low] + (ordered[high] - ordered[low]) * (place - low))


class StageTimings:
    """One :class:`LatencyStats` for each named stage of a frame.

    Args:
        stages: names, in the order in which they are shown.
        window: durations kept for each stage.
        horizon_s: seconds over which rates are taken.
    """

    def __init__(
        self,
        stages: Sequence[str] = STAGES,
        window: int = 1024,
        horizon_s: float = 5.0,
    ) -> None:
        self._stats = {name: LatencyStats(window, horizon_s) for name in stages}

    def __getitem__(self, stage: str) -> LatencyStats:
        """The statistics of one stage.

        Raises:
            KeyError: there is no such stage.
        """
        return self._stats[stage]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stats)

    def record(self, stage: str, duration_ns: int, at_ns: int | None = None) -> None:
        """Take in one duration of ``stage``, see :meth:`LatencyStats.record`."""
        self._stats[stage].record(duration_ns, at_ns)

    def summaries(self, now_ns: int | None = None) -> Mapping[str, LatencySummary]:
        """Summaries of the stages that recorded anything, in their order."""
        now = time.monotonic_ns() if now_ns is None else now_ns
        return {name: stats.summary(now) for name, stats in self._stats.items() if stats.count}

    def samples_ms(self) -> Mapping[str, NDArray[np.float64]]:
        """Durations in the window of each stage that recorded anything."""
        return {name: stats.samples_ms() for name, stats in self._stats.items() if stats.count}
