"""The health of one stage, and its report in /diagnostics.

A stage counts and times what it really did; the status is worked out from that
when a report is due. Nothing here is set by a timer alone, so a stage that
hangs shows a growing age and not a healthy beat.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from windhover.health.latency import LatencyStats, StageTimings
from windhover.health.level import Level

__all__ = ["Health", "Level", "Problem", "Report", "to_status"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong now.

    Attributes:
        level: how bad.
        text: one line: what, and what to do.
        until: monotonic seconds after which it no longer counts.
    """

    level: Level
    text: str
    until: float


@dataclass(frozen=True, slots=True)
class Report:
    """What a stage says about itself at one moment."""

    level: Level
    message: str
    values: Mapping[str, str]


class Health:
    """Counts, times and problems of one stage. Safe to use from its threads.

    Args:
        stages: names of the steps that are timed apart.
        stale_after_s: an active stage that has had no frame for so long is stale.

    Attributes:
        on_frame: called with the age of each frame, nanoseconds, in the thread that did it.
    """

    def __init__(self, stages: tuple[str, ...], stale_after_s: float = 2.0) -> None:
        self.timings = StageTimings(stages)
        self.frames = LatencyStats()
        self.stale_after_s = stale_after_s
        self.on_frame: Callable[[int], None] | None = None
        self._values: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        self._problems: dict[str, Problem] = {}
        # Passing problems that no report has shown yet.
        self._unreported: dict[str, Problem] = {}
        self._active_since: float | None = None
        self._lock = threading.Lock()

    def frame(self, age_ns: int) -> None:
        """Record one frame done.

        Args:
            age_ns: from its capture to now, on ROS time.
        """
        self.frames.record(age_ns)
        if self.on_frame is not None:
            self.on_frame(age_ns)

    def set(self, key: str, value: object) -> None:
        """Set a value to be shown."""
        self._values[key] = str(value)

    def count(self, key: str, by: int = 1) -> None:
        """Add to a counter to be shown."""
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + by

    def counter(self, key: str) -> int:
        """How far a counter has come."""
        return self._counts.get(key, 0)

    def problem(self, key: str, level: Level, text: str, for_s: float = float("inf")) -> None:
        """Report that something is wrong, until :meth:`clear_problem` or for a while.

        A problem with ``for_s`` is an event: it stands in at least one report, even where it
        was cleared or its time was over before that report was due.
        """
        problem = Problem(level, text, time.monotonic() + for_s)
        with self._lock:
            self._problems[key] = problem
            if for_s < float("inf"):
                self._unreported[key] = problem

    def clear_problem(self, key: str) -> None:
        """Withdraw a problem; nothing happens where there is none."""
        if key in self._problems:
            with self._lock:
                self._problems.pop(key, None)

    def set_active(self, yes: bool) -> None:
        """Set whether frames are expected at all."""
        self._active_since = time.monotonic() if yes else None

    def problems(self) -> list[Problem]:
        """What is wrong now, the worst first."""
        with self._lock:
            return _worst_first(self._standing().values())

    def report(self) -> Report:
        """The status now: that of the worst problem; the others are listed."""
        now = time.monotonic()
        with self._lock:
            counts = dict(self._counts)
            standing = self._standing()
            missed = [p for key, p in self._unreported.items() if key not in standing]
            self._unreported.clear()
        problems = _worst_first([*standing.values(), *missed])
        summary = self.frames.summary()
        if self._active_since is not None:
            silent = now - self._active_since
            if summary.age_s is not None:
                silent = min(silent, summary.age_s)
            if silent > self.stale_after_s and not problems:
                problems.append(Problem(Level.STALE, f"no frame for {silent:.1f} s", now))
        values = {
            "frames": str(summary.count),
            "rate_hz": f"{summary.rate_hz:.2f}",
            "age_s": "" if summary.age_s is None else f"{summary.age_s:.3f}",
        }
        if summary.p50_ms is not None and summary.p99_ms is not None:
            values["capture_to_result_p50_ms"] = f"{summary.p50_ms:.2f}"
            values["capture_to_result_p99_ms"] = f"{summary.p99_ms:.2f}"
        for name, stage in self.timings.summaries().items():
            values[f"{name}_p50_ms"] = f"{stage.p50_ms:.3f}"
            values[f"{name}_p99_ms"] = f"{stage.p99_ms:.3f}"
        values.update({key: str(n) for key, n in counts.items()})
        values.update(self._values)
        for i, problem in enumerate(problems):
            values[f"problem_{i}"] = problem.text
        if problems:
            return Report(problems[0].level, problems[0].text, values)
        return Report(Level.OK, "running" if self._active_since is not None else "idle", values)

    def _standing(self) -> dict[str, Problem]:
        """Problems that count now, with the lock held."""
        now = time.monotonic()
        self._problems = {k: p for k, p in self._problems.items() if p.until > now}
        return self._problems


def _worst_first(problems: Iterable[Problem]) -> list[Problem]:
    # A passing problem, such as a missed deadline, must not hide a lasting one.
    return sorted(problems, key=lambda p: (-p.level, p.until < float("inf")))


def to_status(report: Report, name: str, hardware_id: str = "") -> DiagnosticStatus:
    """A report as a message.

    Args:
        report: from :meth:`Health.report`.
        name: of the node, which heads the entry.
        hardware_id: what it runs on, where known.
    """
    return DiagnosticStatus(
        level=bytes([report.level]),
        name=name,
        message=report.message,
        hardware_id=hardware_id,
        values=[KeyValue(key=key, value=value) for key, value in report.values.items()],
    )
