"""The health monitor node: ``health`` and ``heartbeat`` out, recovery of stalled stages.

Wiring only: ``windhover.health`` decides what is wrong and what to do about it. The results of
stages in other processes are heard as any other node hears them; those of stages in this
process are counted where they are published, and now and then it is checked that they arrive
(:mod:`~windhover_bringup.monitor.wire`). Stages are recovered through the standard lifecycle
services.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import CameraInfo
from vision_msgs.msg import Detection2DArray

from windhover.errors import ConfigError, DataError
from windhover.health.chain import ChainMonitor, ChainStage, worst_of
from windhover.health.level import NO_STATUS, Hysteresis, Level, Status
from windhover.health.machine_status import MachineLimits, MachineStatus, read_machine_status
from windhover.health.recovery import RecoveryPolicy, Step
from windhover.health.stage import StageLimits, StageMonitor, StageReport
from windhover_bringup.monitor.params import MonitorParams
from windhover_bringup.monitor.recovery import RecoveryClient
from windhover_bringup.monitor.stages import CAMERAS, STAGE_OUTPUTS, inputs_of
from windhover_bringup.monitor.wire import WireCheck
from windhover_bringup.runtime.supervisor import notify
from windhover_ros import qos, topics
from windhover_ros.cdr import CdrReader
from windhover_ros.diagnostics import Report, to_status
from windhover_ros.lifecycle import StageNode
from windhover_ros.runner import run_node

CHECK_PERIOD_S = 0.25
HEARTBEAT_DEADLINE_S = 1.0
FIGURES_PERIOD_S = 1.0
# A process that was killed is known to the others until its lease ends, after 20 s.
TWO_CHAINS_S = 25.0


class MonitorNode(StageNode[MonitorParams]):
    """Watches results, reports health, and recovers stages that have stalled.

    Args:
        overrides: parameter values from a config.
        namespace: ROS namespace.
        linked: the stages that are in this process, by name.

    Attributes:
        chain: the stages while active.
        overall: the worst status of all.
        fatal_reason: why the process should end, where ``end_process`` asks for that.
    """

    params_model = MonitorParams

    def __init__(
        self,
        overrides: Mapping[str, Any] | None = None,
        namespace: str = "",
        linked: Mapping[str, StageNode[Any]] | None = None,
    ) -> None:
        super().__init__("monitor", overrides, namespace)
        unknown = [name for name in self.params.watch if name not in STAGE_OUTPUTS]
        if unknown:
            raise ConfigError(
                f"monitor can't watch {', '.join(unknown)}; it knows {', '.join(STAGE_OUTPUTS)}"
            )
        self.chain = ChainMonitor({})
        self.overall = NO_STATUS
        self.fatal_reason = ""
        self._last_check_s = 0.0
        self._recovery: dict[str, RecoveryClient] = {}
        self._known_publishers: dict[str, frozenset[bytes]] = {}
        self._next_figures_s = 0.0
        self._shared_since_s: float | None = None
        self._readings = MachineStatus()
        self._shown: tuple[Status, ...] = ()
        self._entries: list[DiagnosticStatus] = []
        self._machine = Hysteresis(self.params.raise_delay_s, self.params.clear_delay_s)
        self._health = self.advertise(DiagnosticArray, topics.HEALTH, qos.latched())
        self._heartbeat = self.advertise(Time, topics.HEARTBEAT, qos.result(HEARTBEAT_DEADLINE_S))
        self._linked = dict(linked or {})
        self._wire = WireCheck(self.get_namespace(), self.params.silence_s)
        for name in self.params.watch:
            if name in self._linked:
                self._count_in_process(name, self._linked[name])
            else:
                self._hear(name)
        if not self._linked.keys() >= set(self.params.watch):
            self.create_subscription(
                DiagnosticArray, topics.DIAGNOSTICS, self._on_diagnostics, qos.result()
            )
        self.every(CHECK_PERIOD_S, self._check)

    def start(self) -> None:
        """Begin to watch."""
        now_s = time.monotonic()
        self.chain = ChainMonitor({name: self._stage(name, now_s) for name in self.params.watch})
        self._known_publishers = {
            name: self._publishers_of(name) for name in self.chain if name not in self._linked
        }
        self._recovery = {name: RecoveryClient(self, name) for name in self.chain}
        notify("READY=1")

    def stop(self) -> None:
        """Stop watching."""
        notify("STOPPING=1")
        self.chain = ChainMonitor({})
        clients, self._recovery = self._recovery, {}
        for client in clients.values():
            client.close()

    def is_finished(self) -> bool:
        """Whether the node's own process should end now."""
        return bool(self.fatal_reason)

    def destroy_node(self) -> None:
        """Let go of the stages as well."""
        for stage in self._linked.values():
            stage.health.on_frame = stage.on_report = None
        self._wire.close()
        super().destroy_node()

    def _hear(self, name: str) -> None:
        output = STAGE_OUTPUTS[name]
        profile = qos.image() if output.kind is CameraInfo else qos.result()
        self.listen(output.kind, output.topic, self._make_callback(name), profile, raw=True)

    def _count_in_process(self, name: str, stage: StageNode[Any]) -> None:
        stage.health.on_frame = partial(self._on_published, name)
        stage.on_report = partial(self._on_report, name)
        output = STAGE_OUTPUTS[name]
        # Images pass to the next stage here; camera_info is published where somebody listens.
        if output.kind is not CameraInfo:
            self._wire.add(name, output.kind, stage.resolve_topic_name(output.topic))

    def _topic_of(self, name: str) -> str:
        node = self._linked.get(name, self)
        return str(node.resolve_topic_name(STAGE_OUTPUTS[name].topic))

    def _stage(self, name: str, now_s: float) -> ChainStage:
        params = self.params
        limits = StageLimits(
            params.camera_silence_s if name in CAMERAS else params.silence_s,
            params.min_rate_hz,
            params.max_latency_ms,
            params.max_drop_share,
        )
        return ChainStage(
            StageMonitor(name, self._topic_of(name), limits, now_s),
            inputs_of(name, params.watch),
            Hysteresis(params.raise_delay_s, params.clear_delay_s),
            RecoveryPolicy(max_steps=params.max_recovery_steps),
        )

    def _make_callback(self, name: str) -> Callable[[bytes], None]:
        def on_result(data: bytes) -> None:
            if name not in self.chain:
                return
            try:
                stamp_ns = CdrReader(data).header()[0]
            except DataError as error:
                self.health.count("messages_refused")
                self.health.problem("message", Level.ERROR, f"{name}: {error}", for_s=10.0)
                return
            latency_ns = self.get_clock().now().nanoseconds - stamp_ns
            self.chain.add_result(name, latency_ns, time.monotonic_ns())

        return on_result

    def _on_published(self, name: str, latency_ns: int) -> None:
        """A stage in this process published a result; in that stage's thread."""
        self._wire.published(name)
        if name in self.chain and not self._wire.is_silent(name):
            self.chain.add_result(name, latency_ns, time.monotonic_ns())

    def _on_report(self, name: str, report: Report) -> None:
        if name in self.chain:
            self.chain.add_report(
                name, StageReport(report.level, report.message, time.monotonic(), report.values)
            )

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        space = self.get_namespace().strip("/")
        for status in message.status:
            name = status.name.removeprefix(f"{space}/") if space else status.name
            if name in self.chain:
                values = {item.key: item.value for item in status.values}
                level = Level(min(status.level[0], Level.STALE))
                report = StageReport(level, status.message, time.monotonic(), values)
                self.chain.add_report(name, report)

    def _check(self) -> None:
        if self.state != "active":
            return
        now_s = time.monotonic()
        # After a pause of the process, messages that have arrived are read first.
        is_late, self._last_check_s = now_s - self._last_check_s > 4 * CHECK_PERIOD_S, now_s
        for name in self.chain:
            if name not in self._linked:
                self._notice_restart(name, now_s)
        self._check_wire(now_s)
        self.chain.check(now_s)
        for name, client in self._recovery.items():
            if not client.advance():
                self.health.problem(
                    "service", Level.WARN, f"{name} does not answer; does its process run?",
                    for_s=5.0,
                )  # fmt: skip
            if self.params.recover and not is_late and not client.in_progress:
                self._recover(name, client, now_s)
        if now_s >= self._next_figures_s:
            self._readings = read_machine_status()
            self._check_alone(now_s)
        params = self.params
        limits = MachineLimits(params.warm_c, params.hot_c, params.min_free_memory_mib)
        machine = self._machine.update(self._readings.assess(limits), now_s)
        statuses = [machine, *(self.chain.status(name) for name in self.chain)]
        statuses += [Status(each.level, each.text) for each in self.health.problems()]
        self.overall = worst_of(statuses)
        self._publish(machine, now_s)
        # Its own entry in /diagnostics then shows what a check costs.
        self.health.frame(time.monotonic_ns() - int(now_s * 1e9))

    def _check_wire(self, now_s: float) -> None:
        self._wire.check(now_s)
        for name in self._linked:
            if self._wire.is_silent(name):
                self.health.problem(
                    f"wire_{name}",
                    Level.WARN,
                    f"{name} publishes results that do not arrive on {self._topic_of(name)}; see "
                    "'windhover doctor'",
                )
            else:
                self.health.clear_problem(f"wire_{name}")

    def _check_alone(self, now_s: float) -> None:
        """Warn of another chain whose results mix with this one's."""
        shared = {
            self._topic_of(name)
            for name in self.params.watch
            if STAGE_OUTPUTS[name].kind is Detection2DArray
            and self.count_publishers(self._topic_of(name)) > 1
        }
        if not shared:
            self._shared_since_s = None
            self.health.clear_problem("two_chains")
            return
        if self._shared_since_s is None:
            self._shared_since_s = now_s
        if now_s - self._shared_since_s > TWO_CHAINS_S:
            domain = os.environ.get("ROS_DOMAIN_ID", "0")
            self.health.problem(
                "two_chains",
                Level.WARN,
                f"several nodes publish {', '.join(sorted(shared))}: two chains run in ROS domain "
                f"{domain}; give one of them another ROS_DOMAIN_ID or namespace",
            )

    def _publishers_of(self, name: str) -> frozenset[bytes]:
        found = self.get_publishers_info_by_topic(self._topic_of(name))
        return frozenset(bytes(end.endpoint_gid) for end in found)

    def _notice_restart(self, name: str, now_s: float) -> None:
        """Leave a stage alone whose process was restarted: it has a new publisher."""
        publishers = self._publishers_of(name)
        if publishers - self._known_publishers[name]:
            self.chain.on_restart(name, now_s)
            self._recovery[name].cancel()
        self._known_publishers[name] = publishers

    def _recover(self, name: str, client: RecoveryClient, now_s: float) -> None:
        step = self.chain.next_step(name, now_s)
        if step is None:
            return
        self.health.count(f"recoveries_{name}")
        silent_s = self.chain[name].monitor.silent_s(now_s)
        if step is not Step.RESTART:
            self.get_logger().warning(
                f"{name}: no result for {silent_s:.1f} s: {step.value} (see /diagnostics)"
            )
            self.health.set(f"last_step_{name}", step.value)
            client.begin(step)
        elif self.params.end_process:
            self.fatal_reason = (
                f"{name}: no result for {silent_s:.1f} s, and recovery steps did not help: the "
                "process ends so that its supervisor restarts it"
            )

    def _publish(self, machine: Status, now_s: float) -> None:
        stages = {name: self.chain.status(name) for name in self.chain}
        shown = (self.overall, machine, *stages.values())
        stamp = self.get_clock().now().to_msg()
        # Levels are those of now; figures are a second old at most, for they cost more.
        is_due = now_s >= self._next_figures_s
        if is_due or shown != self._shown:
            self._shown = shown
            self._entries = self._entries_of(machine, stages, now_s)
        self._health.publish(_array(stamp, self._entries))
        if not self.fatal_reason:
            self._heartbeat.publish(stamp)
            notify("WATCHDOG=1", f"STATUS={self.overall.level.name}: {self.overall.text}")
        if is_due:
            self._next_figures_s = now_s + FIGURES_PERIOD_S - CHECK_PERIOD_S / 2
            self._diagnostics.publish(_array(stamp, self._entries[1:]))

    def _entries_of(
        self, machine: Status, stages: Mapping[str, Status], now_s: float
    ) -> list[DiagnosticStatus]:
        own = self.get_fully_qualified_name().lstrip("/")
        entries = [to_status(Report(self.overall.level, self.overall.text, {}), own)]
        for name, status in stages.items():
            values = self.chain[name].monitor.values(now_s)
            entries.append(to_status(Report(status.level, status.text, values), f"{own}/{name}"))
        readings = self._readings.values()
        entries.append(to_status(Report(machine.level, machine.text, readings), f"{own}/machine"))
        return entries


def _array(stamp: Time, entries: list[DiagnosticStatus]) -> DiagnosticArray:
    message = DiagnosticArray(status=entries)
    message.header.stamp = stamp
    return message


def main() -> int:
    """Run the node in its own process."""
    return run_node(MonitorNode, until=MonitorNode.is_finished)


if __name__ == "__main__":
    raise SystemExit(main())
