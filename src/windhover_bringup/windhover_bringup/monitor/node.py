"""The health monitor node: ``health`` and ``heartbeat`` out, recovery of stalled stages.

Wiring only: ``windhover.health`` decides what is wrong and what to do about it. The node
subscribes to results as any other node does, so it sees what others see, and recovers stages
through the standard lifecycle services.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from sensor_msgs.msg import CameraInfo

from windhover.errors import ConfigError, DataError
from windhover.health.chain import ChainMonitor, ChainStage, worst_of
from windhover.health.level import NO_STATUS, Hysteresis, Level, Status
from windhover.health.machine_status import MachineLimits, read_machine_status
from windhover.health.recovery import RecoveryPolicy, Step
from windhover.health.stage import StageLimits, StageMonitor, StageReport
from windhover_bringup.monitor.params import MonitorParams
from windhover_bringup.monitor.recovery import RecoveryClient
from windhover_bringup.monitor.stages import CAMERAS, STAGE_OUTPUTS, inputs_of
from windhover_bringup.runtime.supervisor import notify
from windhover_ros import qos, topics
from windhover_ros.cdr import CdrReader
from windhover_ros.diagnostics import Report, to_status
from windhover_ros.lifecycle import StageNode
from windhover_ros.runner import run_node

CHECK_PERIOD_S = 0.25
HEARTBEAT_DEADLINE_S = 1.0


class MonitorNode(StageNode[MonitorParams]):
    """Watches results, reports health, and recovers stages that have stalled.

    Attributes:
        chain: the stages while active.
        overall: the worst status of all.
        fatal_reason: why the process should end, where ``end_process`` asks for that.
    """

    params_model = MonitorParams

    def __init__(self, overrides: Mapping[str, Any] | None = None, namespace: str = "") -> None:
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
        self._machine = Hysteresis(self.params.raise_delay_s, self.params.clear_delay_s)
        self._health = self.advertise(DiagnosticArray, topics.HEALTH, qos.latched())
        self._heartbeat = self.advertise(Time, topics.HEARTBEAT, qos.result(HEARTBEAT_DEADLINE_S))
        for name in self.params.watch:
            output = STAGE_OUTPUTS[name]
            profile = qos.image() if output.kind is CameraInfo else qos.result()
            self.listen(output.kind, output.topic, self._make_callback(name), profile, raw=True)
        self.create_subscription(
            DiagnosticArray, topics.DIAGNOSTICS, self._on_diagnostics, qos.result()
        )
        self.create_timer(CHECK_PERIOD_S, self._check)

    def start(self) -> None:
        """Begin to watch."""
        now_s = time.monotonic()
        self.chain = ChainMonitor({name: self._stage(name, now_s) for name in self.params.watch})
        self._known_publishers = {name: self._publishers_of(name) for name in self.chain}
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

    def _stage(self, name: str, now_s: float) -> ChainStage:
        params = self.params
        limits = StageLimits(
            params.camera_silence_s if name in CAMERAS else params.silence_s,
            params.min_rate_hz,
            params.max_latency_ms,
            params.max_drop_share,
        )
        topic = self.resolve_topic_name(STAGE_OUTPUTS[name].topic)
        return ChainStage(
            StageMonitor(name, topic, limits, now_s),
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
            self._notice_restart(name, now_s)
        self.chain.check(now_s)
        for name, client in self._recovery.items():
            if not client.advance():
                self.health.problem(
                    "service", Level.WARN, f"{name} does not answer; does its process run?",
                    for_s=5.0,
                )  # fmt: skip
            if self.params.recover and not is_late and not client.in_progress:
                self._recover(name, client, now_s)
        readings = read_machine_status()
        params = self.params
        limits = MachineLimits(params.warm_c, params.hot_c, params.min_free_memory_mib)
        machine = self._machine.update(readings.assess(limits), now_s)
        own = self.health.report()
        statuses = [machine, *(self.chain.status(name) for name in self.chain)]
        if own.level in {Level.WARN, Level.ERROR}:
            statuses.append(Status(own.level, own.message))
        self.overall = worst_of(statuses)
        self._publish(machine, readings.values(), now_s)
        # Its own entry in /diagnostics then shows what a check costs.
        self.health.frame(time.monotonic_ns() - int(now_s * 1e9))

    def _publishers_of(self, name: str) -> frozenset[bytes]:
        topic = self.resolve_topic_name(STAGE_OUTPUTS[name].topic)
        found = self.get_publishers_info_by_topic(topic)
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

    def _publish(self, machine: Status, readings: Mapping[str, str], now_s: float) -> None:
        own = self.get_fully_qualified_name().lstrip("/")
        entries = [to_status(Report(self.overall.level, self.overall.text, {}), own)]
        for name in self.chain:
            status = self.chain.status(name)
            values = self.chain[name].monitor.values(now_s)
            entries.append(to_status(Report(status.level, status.text, values), f"{own}/{name}"))
        entries.append(to_status(Report(machine.level, machine.text, readings), f"{own}/machine"))
        stamp = self.get_clock().now().to_msg()
        self._health.publish(_array(stamp, entries))
        if not self.fatal_reason:
            self._heartbeat.publish(stamp)
            notify("WATCHDOG=1", f"STATUS={self.overall.level.name}: {self.overall.text}")
        if now_s >= self._next_report - CHECK_PERIOD_S:
            self._diagnostics.publish(_array(stamp, entries[1:]))


def _array(stamp: Time, entries: list[DiagnosticStatus]) -> DiagnosticArray:
    message = DiagnosticArray(status=entries)
    message.header.stamp = stamp
    return message


def main() -> int:
    """Run the node in its own process."""
    return run_node(MonitorNode, until=MonitorNode.is_finished)


if __name__ == "__main__":
    raise SystemExit(main())
