"""Watches a chain of stages: which of them is at fault when results stop, and what to do.

A stage whose input dried up is not to blame, and one that is down and says so recovers by
itself; only a stage that has input, says that it runs and gives nothing is stalled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from windhover.health.level import NO_STATUS, Hysteresis, Level, Status
from windhover.health.recovery import RecoveryPolicy, Step
from windhover.health.stage import StageMonitor, StageReport


@dataclass
class ChainStage:
    """One stage of a chain, and what is known of it.

    Attributes:
        monitor: of its results.
        inputs: names of the stages that it gets its input from.
        shown: keeps its level from flickering.
        recovery: decides what is done about it.
        status: what is shown of it now.
        input_since_s: monotonic seconds of the first input since its last result; infinite
            where there was none.
    """

    monitor: StageMonitor
    inputs: tuple[str, ...]
    shown: Hysteresis
    recovery: RecoveryPolicy
    status: Status = NO_STATUS
    input_since_s: float = float("inf")


class ChainMonitor:
    """Watches the stages of one chain; times are monotonic.

    Args:
        stages: by name, in the order in which they are reported.
    """

    def __init__(self, stages: Mapping[str, ChainStage]) -> None:
        self._stages = dict(stages)

    def __getitem__(self, name: str) -> ChainStage:
        return self._stages[name]

    def __contains__(self, name: str) -> bool:
        return name in self._stages

    def __iter__(self) -> Iterator[str]:
        return iter(self._stages)

    def add_result(self, name: str, latency_ns: int, at_ns: int) -> None:
        """Take in one result of a stage, which is input of those behind it.

        Args:
            name: of the stage.
            latency_ns: from its image's capture to its arrival here, on ROS time.
            at_ns: of its arrival.
        """
        stage, now_s = self._stages[name], at_ns / 1e9
        stage.monitor.add_result(latency_ns, at_ns)
        stage.input_since_s = float("inf")
        for other in self._stages.values():
            if name in other.inputs:
                other.input_since_s = min(other.input_since_s, now_s)

    def add_report(self, name: str, report: StageReport) -> None:
        """Take in a stage's own diagnostics, which also count what the next stage was given."""
        self._stages[name].monitor.add_report(report)
        for other in self._stages.values():
            if other.inputs[:1] == (name,):
                other.monitor.add_input_report(report)

    def on_restart(self, name: str, now_s: float) -> None:
        """The process of a stage was started again."""
        self._stages[name].monitor.on_restart(now_s)

    def check(self, now_s: float) -> None:
        """Bring the status of every stage up to date."""
        for stage in self._stages.values():
            stage.status = stage.shown.update(stage.monitor.assess(now_s), now_s)

    def status(self, name: str) -> Status:
        """A stage's status, which names the stage that it waits for."""
        stage = self._stages[name]
        if stage.status.level is not Level.STALE:
            return stage.status
        waits = [one for one in stage.inputs if self._stages[one].status.level is Level.STALE]
        if waits:
            return Status(Level.STALE, f"{name} waits for {' and '.join(waits)}")
        if stage.recovery.exhausted:
            return Status(
                Level.ERROR,
                f"{stage.status.text}; given up after {stage.recovery.steps_taken} recovery steps: "
                "restart the process, and see 'windhover doctor'",
            )
        return stage.status

    def next_step(self, name: str, now_s: float) -> Step | None:
        """What to do about a stage now; ``None`` where nothing is due."""
        stage = self._stages[name]
        silent_s = stage.monitor.silent_s(now_s)
        # A stage whose input stopped when it did is not to blame.
        has_input = all(
            self._stages[one].monitor.silent_s(now_s) < silent_s / 2 for one in stage.inputs
        )
        input_age_s = now_s - stage.input_since_s if stage.inputs else silent_s
        # One without a report since its start is still starting, and would not take a step.
        values = stage.monitor.report.values
        is_running = values.get("state") == "active" and not values.get("source_state", "")
        stalled = is_running and stage.monitor.is_stalled(now_s, input_age_s)
        return stage.recovery.next_step(stalled and has_input, now_s)


def worst_of(statuses: Iterable[Status]) -> Status:
    """The worst of several; OK where all are well."""
    worst = max(statuses, key=lambda status: status.level)
    return worst if worst.level else Status(Level.OK, "all stages give results")
