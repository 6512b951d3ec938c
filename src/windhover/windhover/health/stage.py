"""Assesses a stage by its results, seen from outside.

A stage's own diagnostics count too, but cannot make a silent stage good: a stage that
hangs continues to report that it is well, or reports nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from windhover.health.latency import NS_PER_S, LatencyStats
from windhover.health.level import Level, Status

_REPORT_FRESH_S = 3.0
_FIRST_RESULT_S = 20.0
_DROP_WINDOW_S = 10.0
_SHORTEST_COUNT_S = 2.0


@dataclass(frozen=True, slots=True)
class StageLimits:
    """The limits that a stage must keep.

    Attributes:
        stale_after_s: longest silence.
        min_rate_hz: lowest rate of results; 0 = no limit.
        max_latency_ms: longest time from capture to result (99th percentile); 0 = no limit.
        max_drop_share: share of dropped frames from which it is a warning, 0..1.
    """

    stale_after_s: float = 1.0
    min_rate_hz: float = 0.0
    max_latency_ms: float = 0.0
    max_drop_share: float = 0.5


@dataclass(frozen=True, slots=True)
class StageReport:
    """The last entry of a stage in /diagnostics.

    Attributes:
        level: as the stage reports it.
        text: as the stage reports it.
        at_s: monotonic seconds at which it arrived.
        values: its key-value pairs.
    """

    level: Level = Level.STALE
    text: str = ""
    at_s: float = float("-inf")
    values: Mapping[str, str] = field(default_factory=dict)


class StageMonitor:
    """Counts and times one stage's results.

    Args:
        name: of its node.
        topic: on which its results come.
        limits: that it must keep.
        now_s: monotonic seconds; silence counts from here.
    """

    def __init__(self, name: str, topic: str, limits: StageLimits, now_s: float) -> None:
        self.name = name
        self.topic = topic
        self.limits = limits
        self.results = LatencyStats(window=256)
        self.report = StageReport()
        self._began_s = self._up_s = now_s
        self._loading = True
        self._drops: list[tuple[float, int, int]] = []
        self._frames: list[tuple[float, int]] = []
        self._input_frames: list[tuple[float, int]] = []

    def add_result(self, latency_ns: int, at_ns: int) -> None:
        """Take in one result.

        Args:
            latency_ns: from its image's capture to its arrival here, on ROS time.
            at_ns: monotonic nanoseconds of its arrival.
        """
        self.results.record(latency_ns, at_ns)
        self._loading = False

    def add_report(self, report: StageReport) -> None:
        """Take in the stage's own diagnostics.

        A stage that was down and is active again gets the time it needs to start.
        """
        before, now = (each.values.get("state") for each in (self.report, report))
        self.report = report
        if now == "active" and before != "active":
            self._up_s = report.at_s
            self._loading = self.results.count == 0
        dropped = report.values.get("dropped", "")
        if dropped.isdecimal():
            self._drops.append((report.at_s, int(dropped), self.results.count))
            while len(self._drops) > 2 and report.at_s - self._drops[0][0] > _DROP_WINDOW_S:
                self._drops.pop(0)
        _keep_count(self._frames, report)

    def add_input_report(self, report: StageReport) -> None:
        """Take in the diagnostics of the stage before this one: how many frames it gave."""
        _keep_count(self._input_frames, report)

    def on_restart(self, now_s: float) -> None:
        """Its process was restarted, and may be loading."""
        self.report = StageReport()
        self._up_s = now_s
        self._loading = True

    def silent_s(self, now_s: float) -> float:
        """Seconds since the last result, or since the monitor was made."""
        age_s = self.results.age_s(int(now_s * NS_PER_S))
        since = now_s - self._began_s
        return since if age_s is None else min(age_s, since)

    def is_stalled(self, now_s: float, input_age_s: float = float("inf")) -> bool:
        """Whether it has been silent for longer than its results ever take.

        A stage without a result since its start may be loading. One whose results take
        seconds, as on an emulator, is slow and not stalled. The silence of a stage that had
        no input counts from the moment its input returned.

        Args:
            now_s: monotonic seconds.
            input_age_s: seconds since the first input after its last result.
        """
        silent_s = min(self.silent_s(now_s), now_s - self._up_s, input_age_s)
        if silent_s <= self.limits.stale_after_s:
            return False
        p99_ms = self.results.summary(int(now_s * NS_PER_S)).p99_ms
        if p99_ms is None or self._loading:
            return silent_s > _FIRST_RESULT_S
        return silent_s > min(3 * p99_ms / 1000, _FIRST_RESULT_S)

    def drop_share(self) -> float:
        """Share of frames that were dropped within the last ten seconds or so, 0..1.

        Counted by the stage itself, or, where frames are lost on their way between two
        processes, by the difference between its rate and that of the stage before it.
        """
        return max(self._counted_drop_share(), self._missing_share())

    def _counted_drop_share(self) -> float:
        if len(self._drops) < 2:
            return 0.0
        (_, dropped_0, count_0), (_, dropped_1, count_1) = self._drops[0], self._drops[-1]
        dropped, passed = max(0, dropped_1 - dropped_0), max(0, count_1 - count_0)
        return dropped / (dropped + passed) if dropped else 0.0

    def _missing_share(self) -> float:
        own_hz, input_hz = _rate_hz(self._frames), _rate_hz(self._input_frames)
        if own_hz is None or input_hz is None or input_hz <= 0.0:
            return 0.0
        return max(0.0, 1.0 - own_hz / input_hz)

    def assess(self, now_s: float) -> Status:
        """The stage's status at this moment, without hysteresis; the worst counts.

        Args:
            now_s: monotonic seconds.
        """
        statuses = [*self._check_report(now_s), *self._check_results(now_s)]
        if not statuses:
            return Status(Level.OK, "results flow")
        worst = max(statuses, key=lambda each: each.level)
        if worst.level is Level.STALE:
            # The reason is often in the stage's own diagnostics.
            reasons = [each.text for each in statuses if each.level is Level.ERROR]
            return Status(Level.STALE, "; ".join([worst.text, *reasons]))
        return worst

    def values(self, now_s: float) -> dict[str, str]:
        """What was measured, for people and programs."""
        summary = self.results.summary(int(now_s * NS_PER_S))
        return {
            "topic": self.topic,
            "results": str(summary.count),
            "rate_hz": f"{summary.rate_hz:.2f}",
            "silent_s": f"{self.silent_s(now_s):.2f}",
            "latency_p50_ms": _shown(summary.p50_ms),
            "latency_p99_ms": _shown(summary.p99_ms),
            "drop_share": f"{self.drop_share():.2f}",
            "state": self.report.values.get("state", "unknown"),
            "says": self.report.text,
        }

    def _check_report(self, now_s: float) -> list[Status]:
        if now_s - self.report.at_s > _REPORT_FRESH_S:
            return []
        if self.report.level in {Level.WARN, Level.ERROR}:
            return [Status(self.report.level, f"{self.name} says: {self.report.text}")]
        return []

    def _check_results(self, now_s: float) -> list[Status]:
        silent_s = self.silent_s(now_s)
        if silent_s > self.limits.stale_after_s:
            return [
                Status(
                    Level.STALE,
                    f"{self.name}: nothing on {self.topic} for {silent_s:.1f} s",
                )
            ]
        return [*self._check_speed(now_s), *self._check_drops()]

    def _check_speed(self, now_s: float) -> list[Status]:
        if not self.limits.min_rate_hz and not self.limits.max_latency_ms:
            return []
        found = []
        summary = self.results.summary(int(now_s * NS_PER_S))
        lowest = self.limits.min_rate_hz
        if lowest and summary.count > 1 and summary.rate_hz < lowest:
            found.append(
                Status(
                    Level.WARN,
                    f"{self.name}: {summary.rate_hz:.1f} results a second, at least {lowest:g} are "
                    "required; see whether the machine is throttled or busy",
                )
            )
        longest = self.limits.max_latency_ms
        if longest and summary.p99_ms is not None and summary.p99_ms > longest:
            found.append(
                Status(
                    Level.WARN,
                    f"{self.name}: {summary.p99_ms:.0f} ms from capture to result (p99), at most "
                    f"{longest:g} are allowed; see whether the machine is throttled, busy or its "
                    "clocks differ",
                )
            )
        return found

    def _check_drops(self) -> list[Status]:
        share = self.drop_share()
        if share == 0.0 or share < self.limits.max_drop_share:
            return []
        return [
            Status(
                Level.WARN,
                f"{self.name}: {share:.0%} of its frames are dropped since it can't keep up; "
                "lower the camera's rate or take a faster backend",
            )
        ]


def _keep_count(counts: list[tuple[float, int]], report: StageReport) -> None:
    """Add a report's frame count to those of the last seconds; one that fell starts again."""
    frames = report.values.get("frames", "")
    if not frames.isdecimal():
        return
    if counts and int(frames) < counts[-1][1]:
        counts.clear()
    counts.append((report.at_s, int(frames)))
    while len(counts) > 2 and report.at_s - counts[0][0] > _DROP_WINDOW_S:
        counts.pop(0)


def _rate_hz(counts: list[tuple[float, int]]) -> float | None:
    """Frames a second; ``None`` while they were counted for less than two seconds."""
    if len(counts) < 2 or counts[-1][0] - counts[0][0] < _SHORTEST_COUNT_S:
        return None
    return (counts[-1][1] - counts[0][1]) / (counts[-1][0] - counts[0][0])


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
