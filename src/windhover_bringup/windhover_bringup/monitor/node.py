"""The health monitor node: ``health`` and ``heartbeat`` out, recovery of what stands still.

Wiring only: what is thought of a stage and what is done about it are
``windhover.health``'s. It subscribes to results as any other node does, so it sees
what others see, and takes steps through the standard lifecycle services.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from pydantic import Field
from sensor_msgs.msg import CameraInfo
from vision_msgs.msg import Detection2DArray

from windhover.errors import ConfigError, DataError
from windhover.health.level import NO_STATUS, Hysteresis, Level, Status
from windhover.health.machine_status import MachineLimits, read_machine_status
from windhover.health.recovery import RecoveryPolicy, Step
from windhover.health.stage import StageLimits, StageMonitor, StageReport
from windhover_bringup.runtime.supervisor import notify
from windhover_ros import qos
from windhover_ros.cdr import CdrReader
from windhover_ros.diagnostics import Report, to_status
from windhover_ros.lifecycle import StageNode, StageParams
from windhover_ros.params import read_only
from windhover_ros.runner import run_node

LOOK_S = 0.25
# Longest wait for a node's answer to a lifecycle request before the next one is sent; a node
# takes them one after the other, and one whose process is new may have lost the answer.
ANSWER_S = 1.0
BEAT_DEADLINE_S = 1.0
CAMERAS = ("rgb_camera", "thermal_camera")


@dataclass(frozen=True, slots=True)
class Results:
    """What shows that a stage works.

    Attributes:
        topic: of its results; of pictures the camera_info that goes with each, for a
            subscription to the pictures themselves would cost as much as the stage.
        kind: type of the topic.
        feeds: nodes that it gets its input from.
    """

    topic: str
    kind: Any
    feeds: tuple[str, ...] = ()


RESULTS: Mapping[str, Results] = {
    "rgb_camera": Results("camera/rgb/camera_info", CameraInfo),
    "thermal_camera": Results("camera/thermal/camera_info", CameraInfo),
    # It goes on without thermal, so only RGB's silence excuses its own.
    "pairing": Results("rgbt/camera_info", CameraInfo, ("rgb_camera",)),
    "detector": Results("detections", Detection2DArray, ("pairing", *CAMERAS)),
    "tracker": Results("tracks", Detection2DArray, ("detector",)),
}


def feeds_of(name: str, watched: Sequence[str]) -> tuple[str, ...]:
    """Of the nodes that are watched, those that feed one; pairing stands for both cameras."""
    feeds = tuple(feed for feed in RESULTS[name].feeds if feed in watched)
    return ("pairing",) if "pairing" in feeds else feeds


_TRANSITIONS = {
    Step.REACTIVATE: (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE),
    Step.RECONFIGURE: (
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_CLEANUP,
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
    ),
}


class MonitorParams(StageParams):
    """Parameters of the health monitor."""

    former_names: ClassVar[Mapping[str, str]] = {
        "most_steps": "max_recovery_steps",
        "worse_after_s": "raise_delay_s",
        "better_after_s": "clear_delay_s",
        "least_memory_mib": "min_free_memory_mib",
    }

    watch: list[str] = read_only(
        ["thermal_camera", "detector", "tracker"], description="nodes whose results are watched"
    )
    silence_s: float = Field(
        0.75, ge=0.2, le=60.0, description="longest silence of a stage before it is STALE, seconds"
    )
    camera_silence_s: float = Field(
        2.5,
        ge=0.2,
        le=60.0,
        description="the same for a camera: longer than a thermal camera's shutter takes",
    )
    min_rate_hz: float = Field(
        0.0, ge=0.0, le=1000.0, description="least results a second of each stage; 0 = not judged"
    )
    max_latency_ms: float = Field(
        0.0,
        ge=0.0,
        le=60000.0,
        description="longest time from capture to result (p99); 0 = not judged",
    )
    max_drop_share: float = Field(
        0.5, ge=0.0, le=1.0, description="largest share of a stage's frames that may be dropped"
    )
    raise_delay_s: float = Field(
        0.5, ge=0.0, le=60.0, description="a level gets worse once it was so for so long"
    )
    clear_delay_s: float = Field(
        2.0, ge=0.0, le=60.0, description="a level gets better once it was so for so long"
    )
    warm_c: float = Field(85.0, ge=0.0, le=200.0, description="temperature that is a warning, °C")
    hot_c: float = Field(95.0, ge=0.0, le=200.0, description="temperature that is an error, °C")
    min_free_memory_mib: float = Field(
        200.0, ge=0.0, le=1e6, description="least memory left, MiB, before a warning"
    )
    recover: bool = Field(True, description="take steps to bring back a stage that stands still")
    max_recovery_steps: int = read_only(
        8, ge=1, le=1000, description="such steps a stage within ten minutes; then it is given up"
    )
    end_process: bool = read_only(
        False,
        description="end the process when its stages can't be brought back, so that systemd, "
        "Docker or launch starts it anew",
    )


@dataclass
class _Watched:
    """One stage, and what is known and done about it.

    Attributes:
        input_since_s: monotonic seconds of the first input since its last result; infinite
            where there was none.
    """

    watch: StageMonitor
    shown: Hysteresis
    policy: RecoveryPolicy
    feeds: tuple[str, ...]
    status: Status
    client: Any
    waiting: list[int]
    publishers: frozenset[bytes]
    input_since_s: float = float("inf")
    future: Any = None
    asked_s: float = 0.0

    @property
    def under_way(self) -> bool:
        """Whether a step's transitions are not through yet."""
        return bool(self.waiting) or self.future is not None


class MonitorNode(StageNode[MonitorParams]):
    """Watches results, tells how all do, and brings back what stands still.

    Attributes:
        hopeless: why the process should end, where ``end_process`` asks for that.
    """

    params_model = MonitorParams

    def __init__(self, overrides: Mapping[str, Any] | None = None, namespace: str = "") -> None:
        super().__init__("monitor", overrides, namespace)
        unknown = [name for name in self.params.watch if name not in RESULTS]
        if unknown:
            raise ConfigError(
                f"monitor can't watch {', '.join(unknown)}; it knows {', '.join(RESULTS)}"
            )
        self.hopeless = ""
        self._looked = 0.0
        self._stages: dict[str, _Watched] = {}
        self._machine = Hysteresis(self.params.raise_delay_s, self.params.clear_delay_s)
        self._all = NO_STATUS
        self._health = self.advertise(DiagnosticArray, "health", qos.latched())
        self._beats = self.advertise(Time, "heartbeat", qos.result(BEAT_DEADLINE_S))
        for name in self.params.watch:
            results = RESULTS[name]
            profile = qos.image() if results.kind is CameraInfo else qos.result()
            self.listen(results.kind, results.topic, self._make_callback(name), profile, raw=True)
        self.create_subscription(
            DiagnosticArray, "/diagnostics", self._on_diagnostics, qos.result()
        )
        self.create_timer(LOOK_S, self._check)

    def start(self) -> None:
        """Begin to watch."""
        params = self.params
        now = time.monotonic()
        for name in params.watch:
            topic = self.resolve_topic_name(RESULTS[name].topic)
            limits = StageLimits(
                params.camera_silence_s if name in CAMERAS else params.silence_s,
                params.min_rate_hz,
                params.max_latency_ms,
                params.max_drop_share,
            )
            client = self.create_client(ChangeState, f"{name}/change_state")
            self._stages[name] = _Watched(
                watch=StageMonitor(name, topic, limits, now),
                shown=Hysteresis(params.raise_delay_s, params.clear_delay_s),
                policy=RecoveryPolicy(max_steps=params.max_recovery_steps),
                feeds=feeds_of(name, params.watch),
                status=NO_STATUS,
                client=client,
                waiting=[],
                publishers=self._senders(topic),
            )
        notify("READY=1")

    def stop(self) -> None:
        """Stop watching."""
        notify("STOPPING=1")
        stages, self._stages = self._stages, {}
        for stage in stages.values():
            self.destroy_client(stage.client)

    def over(self) -> bool:
        """Whether the node's own process should end now."""
        return bool(self.hopeless)

    def _make_callback(self, name: str) -> Any:
        def take(data: bytes) -> None:
            stage = self._stages.get(name)
            if stage is None:
                return
            try:
                stamp_ns = CdrReader(data).header()[0]
            except DataError as error:
                self.health.count("messages_refused")
                self.health.problem("message", Level.ERROR, f"{name}: {error}", for_s=10.0)
                return
            latency_ns = self.get_clock().now().nanoseconds - stamp_ns
            stage.watch.add_result(latency_ns, time.monotonic_ns())
            stage.input_since_s = float("inf")
            now = time.monotonic()
            for other in self._stages.values():
                if name in other.feeds:
                    other.input_since_s = min(other.input_since_s, now)

        return take

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        space = self.get_namespace().strip("/")
        for status in message.status:
            name = status.name.removeprefix(f"{space}/") if space else status.name
            stage = self._stages.get(name)
            if stage is not None:
                values = {item.key: item.value for item in status.values}
                level = Level(min(status.level[0], Level.STALE))
                stage.watch.add_report(StageReport(level, status.message, time.monotonic(), values))

    def _check(self) -> None:
        if self.state != "active":
            return
        now = time.monotonic()
        # After a pause of the whole process, what has arrived is taken in first.
        late, self._looked = now - self._looked > 4 * LOOK_S, now
        for stage in self._stages.values():
            self._see_new_start(stage, now)
            stage.status = stage.shown.update(stage.watch.assess(now), now)
        for name, stage in self._stages.items():
            self._advance_recovery(name, stage)
            if self.params.recover and not late and not stage.under_way:
                self._recover(name, stage, now)
        readings = read_machine_status()
        params = self.params
        limits = MachineLimits(params.warm_c, params.hot_c, params.min_free_memory_mib)
        machine = self._machine.update(readings.assess(limits), now)
        own = self.health.report()
        statuses = [machine, *(self._told(name) for name in self._stages)]
        if own.level in {Level.WARN, Level.ERROR}:
            statuses.append(Status(own.level, own.message))
        worst = max(statuses, key=lambda v: v.level)
        self._all = worst if worst.level else Status(Level.OK, "all stages give results")
        self._publish(machine, readings.values(), now)
        # What it gives is its looks, so its own entry tells what one costs.
        self.health.frame(time.monotonic_ns() - int(now * 1e9))

    def _senders(self, topic: str) -> frozenset[bytes]:
        found = self.get_publishers_info_by_topic(topic)
        return frozenset(bytes(end.endpoint_gid) for end in found)

    def _see_new_start(self, stage: _Watched, now: float) -> None:
        """Leave a stage alone whose process was started anew, as its new publisher tells."""
        publishers = self._senders(stage.watch.topic)
        if publishers - stage.publishers:
            stage.watch.on_restart(now)
            stage.waiting = []
        stage.publishers = publishers

    def _told(self, name: str) -> Status:
        """A stage's status, which names the stage that it waits for."""
        stage = self._stages[name]
        status = stage.status
        waits = [feed for feed in stage.feeds if self._stages[feed].status.level is Level.STALE]
        if status.level is Level.STALE and waits:
            return Status(Level.STALE, f"{name} waits for {' and '.join(waits)}")
        if status.level is Level.STALE and stage.policy.exhausted:
            return Status(
                Level.ERROR,
                f"{status.text}; given up after {stage.policy.steps_taken} steps: restart the "
                "process, and see 'windhover doctor'",
            )
        return status

    def _recover(self, name: str, stage: _Watched, now: float) -> None:
        silent_s = stage.watch.silent_s(now)
        # A stage whose input dried up when it did is not to blame.
        fed = all(self._stages[feed].watch.silent_s(now) < silent_s / 2 for feed in stage.feeds)
        input_age_s = now - stage.input_since_s if stage.feeds else silent_s
        # A stage that is down says so and retries by itself; one that has said nothing since its
        # start, which takes its time on a busy machine, would not hear of a step either.
        is_stalled = (
            stage.watch.is_stalled(now, input_age_s)
            and stage.watch.report.values.get("state") == "active"
            and stage.watch.report.values.get("source_state", "") == ""
        )
        step = stage.policy.next_step(is_stalled and fed, now)
        if step is None:
            return
        self.health.count(f"recoveries_{name}")
        if step is Step.RESTART:
            if self.params.end_process:
                self.hopeless = (
                    f"{name} has given nothing for {silent_s:.1f} s, and steps to bring it back "
                    "did not help: the process ends for its supervisor to start it anew"
                )
            return
        self.get_logger().warning(
            f"{name} has given nothing for {silent_s:.1f} s: {step.value} (see /diagnostics)"
        )
        self.health.set(f"last_step_{name}", step.value)
        stage.waiting = list(_TRANSITIONS[step])
        stage.future = None

    def _advance_recovery(self, name: str, stage: _Watched) -> None:
        """Go on with a step's transitions, each once the one before was answered."""
        if stage.future is not None and not stage.future.done():
            if time.monotonic() - stage.asked_s < ANSWER_S:
                return
            # As where the transition is none of the state that it is in: on to the next.
            stage.client.remove_pending_request(stage.future)
        if not stage.waiting:
            stage.future = None
            return
        if not stage.client.service_is_ready():
            self.health.problem(
                "service", Level.WARN, f"{name} does not answer; is its process there?", for_s=5.0
            )
            stage.waiting = []
            return
        request = ChangeState.Request()
        request.transition.id = stage.waiting.pop(0)
        stage.future, stage.asked_s = stage.client.call_async(request), time.monotonic()

    def _publish(self, machine: Status, readings: Mapping[str, str], now: float) -> None:
        space = self.get_fully_qualified_name().lstrip("/")
        entries = [to_status(Report(self._all.level, self._all.text, {}), space)]
        for name, stage in self._stages.items():
            told = self._told(name)
            report = Report(told.level, told.text, stage.watch.values(now))
            entries.append(to_status(report, f"{space}/{name}"))
        entries.append(to_status(Report(machine.level, machine.text, readings), f"{space}/machine"))
        stamp = self.get_clock().now().to_msg()
        self._health.publish(_array(stamp, entries))
        if not self.hopeless:
            self._beats.publish(stamp)
            notify("WATCHDOG=1", f"STATUS={self._all.level.name}: {self._all.text}")
        if now >= self._next_report - LOOK_S:
            self._diagnostics.publish(_array(stamp, entries[1:]))


def _array(stamp: Time, entries: list[DiagnosticStatus]) -> DiagnosticArray:
    message = DiagnosticArray(status=entries)
    message.header.stamp = stamp
    return message


def main() -> int:
    """Run the node as a process of its own."""
    return run_node(MonitorNode, until=MonitorNode.over)


if __name__ == "__main__":
    raise SystemExit(main())
