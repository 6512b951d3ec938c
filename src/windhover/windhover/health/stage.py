"""Judges a stage by the results that it gives, seen from outside.

What a stage says of itself is taken in too, but cannot make a silent stage good:
a stage that hangs goes on saying that all is well, or says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from windhover.health.latency import NS_PER_S, LatencyStats, LatencySummary
from windhover.health.level import Level, Verdict

_SAID_FOR_S = 3.0
_FIRST_RESULT_S = 20.0


@dataclass(frozen=True, slots=True)
class StageLimits:
    """What is asked of a stage.

    Attributes:
        stale_after_s: longest silence.
        min_rate_hz: least results a second; 0 asks none.
        max_latency_ms: longest time from capture to result (99th percentile); 0 asks none.
        max_drop_share: largest share of frames that may be dropped, 0..1.
    """

    stale_after_s: float = 1.0
    min_rate_hz: float = 0.0
    max_latency_ms: float = 0.0
    max_drop_share: float = 0.5


@dataclass(frozen=True, slots=True)
class StageReport:
    """What a stage said of itself last, in /diagnostics.

    Attributes:
        level: its own.
        text: its own.
        at_s: monotonic seconds at which it was heard.
        values: its key-value pairs.
    """

    level: Level = Level.STALE
    text: str = ""
    at_s: float = float("-inf")
    values: Mapping[str, str] = field(default_factory=dict)


class StageWatch:
    """Counts and times one stage's results.

    Args:
        name: of its node.
        topic: on which its results come.
        limits: what is asked of it.
        now_s: monotonic seconds; silence counts from here.
    """

    def __init__(self, name: str, topic: str, limits: StageLimits, now_s: float) -> None:
        self.name = name
        self.topic = topic
        self.limits = limits
        self.results = LatencyStats(window=256)
        self.said = StageReport()
        self._began_s = self._up_s = now_s
        self._loading = True
        self._drops: list[tuple[float, int, int]] = []

    def result(self, latency_ns: int, at_ns: int) -> None:
        """Take in one result.

        Args:
            latency_ns: from its image's capture to its arrival here, on ROS time.
            at_ns: monotonic nanoseconds of its arrival.
        """
        self.results.record(latency_ns, at_ns)
        self._loading = False

    def hear(self, said: StageReport) -> None:
        """Take in what the stage says of itself.

        One that was down, and is active again, has its time to begin.
        """
        before, now = (s.values.get("state") for s in (self.said, said))
        self.said = said
        if now == "active" and before != "active":
            self._up_s = said.at_s
            self._loading = self.results.count == 0
        dropped = said.values.get("dropped", "")
        if dropped.isdecimal():
            self._drops.append((said.at_s, int(dropped), self.results.count))
            while len(self._drops) > 2 and said.at_s - self._drops[0][0] > 10.0:
                self._drops.pop(0)

    def new_start(self, now_s: float) -> None:
        """Its process was started anew, and may be loading."""
        self.said = StageReport()
        self._up_s = now_s
        self._loading = True

    def silent_s(self, now_s: float) -> float:
        """Seconds since the last result, or since the watch began."""
        age_s = self.results.summary(int(now_s * NS_PER_S)).age_s
        since = now_s - self._began_s
        return since if age_s is None else min(age_s, since)

    def stands_still(self, now_s: float, owes_s: float = float("inf")) -> bool:
        """Whether it has given nothing for longer than its results ever take.

        A stage that has given nothing since its start may be loading; one whose results
        take seconds, as on an emulator, is slow and does not stand still; and the silence of
        one that was without input counts from when that came back.

        Args:
            now_s: monotonic seconds.
            owes_s: seconds since the first input after its last result.
        """
        summary = self.results.summary(int(now_s * NS_PER_S))
        if summary.p99_ms is None or self._loading:
            patience_s = _FIRST_RESULT_S
        else:
            patience_s = min(3 * summary.p99_ms / 1000, _FIRST_RESULT_S)
        silent_s = min(self.silent_s(now_s), now_s - self._up_s, owes_s)
        return silent_s > max(self.limits.stale_after_s, patience_s)

    def drop_share(self) -> float:
        """Share of frames that were dropped within the last ten seconds or so, 0..1."""
        if len(self._drops) < 2:
            return 0.0
        (_, dropped_0, count_0), (_, dropped_1, count_1) = self._drops[0], self._drops[-1]
        dropped, passed = max(0, dropped_1 - dropped_0), max(0, count_1 - count_0)
        return dropped / (dropped + passed) if dropped else 0.0

    def judge(self, now_s: float) -> Verdict:
        """What is thought of the stage at this moment alone; the worst counts.

        Args:
            now_s: monotonic seconds.
        """
        verdicts = [*self._of_itself(now_s), *self._of_results(now_s)]
        if not verdicts:
            return Verdict(Level.OK, "results flow")
        worst = max(verdicts, key=lambda v: v.level)
        if worst.level is Level.STALE:
            # A stage that is silent often says itself why.
            said = [v.text for v in verdicts if v.level is Level.ERROR]
            return Verdict(Level.STALE, "; ".join([worst.text, *said]))
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
            "state": self.said.values.get("state", "unknown"),
            "says": self.said.text,
        }

    def _of_itself(self, now_s: float) -> list[Verdict]:
        if now_s - self.said.at_s > _SAID_FOR_S:
            return []
        if self.said.level in {Level.WARN, Level.ERROR}:
            return [Verdict(self.said.level, f"{self.name} says: {self.said.text}")]
        return []

    def _of_results(self, now_s: float) -> list[Verdict]:
        silent_s = self.silent_s(now_s)
        if silent_s > self.limits.stale_after_s:
            return [
                Verdict(
                    Level.STALE,
                    f"{self.name}: nothing on {self.topic} for {silent_s:.1f} s",
                )
            ]
        summary = self.results.summary(int(now_s * NS_PER_S))
        return [*self._too_slow(summary), *self._too_many_dropped()]

    def _too_slow(self, summary: LatencySummary) -> list[Verdict]:
        found = []
        least = self.limits.min_rate_hz
        if least and summary.count > 1 and summary.rate_hz < least:
            found.append(
                Verdict(
                    Level.WARN,
                    f"{self.name}: {summary.rate_hz:.1f} results a second, {least:g} are asked; "
                    "see whether the machine is throttled or busy",
                )
            )
        most = self.limits.max_latency_ms
        if most and summary.p99_ms is not None and summary.p99_ms > most:
            found.append(
                Verdict(
                    Level.WARN,
                    f"{self.name}: {summary.p99_ms:.0f} ms from capture to result (p99), {most:g} "
                    "are asked; see whether the machine is throttled, busy or its clocks differ",
                )
            )
        return found

    def _too_many_dropped(self) -> list[Verdict]:
        share = self.drop_share()
        if share <= self.limits.max_drop_share:
            return []
        return [
            Verdict(
                Level.WARN,
                f"{self.name}: {share:.0%} of its frames are dropped since it can't keep up; "
                "lower the camera's rate or take a faster backend",
            )
        ]


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
