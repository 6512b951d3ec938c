"""The base of every Windhover node.

A :class:`StageNode` is a managed (lifecycle) node with checked parameters and a health
report. Its subclass acquires and releases its resources (:meth:`configure`, :meth:`release`)
and runs (:meth:`start`, :meth:`stop`). A failure, there or in a worker thread, never ends the
process: the node goes to unconfigured, reports the error in /diagnostics, and retries after
a back-off.

Publishers and subscriptions live as long as the node, so that a recovery needs no new
discovery; lifecycle publishers are silent while the node is not active.

Threads: one thread runs the node's callbacks (``windhover_ros.runner``); heavy work is done by
the node's worker threads. (With rclpy's MultiThreadedExecutor, cancelling a timer from another
thread can hang the process.)
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from diagnostic_msgs.msg import DiagnosticArray
from pydantic import Field
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSPolicyKind, QoSProfile

from windhover.errors import ConfigError, WindhoverError
from windhover_ros import qos, topics
from windhover_ros.clock import NO_CLOCK, ClockWatch, has_time
from windhover_ros.diagnostics import Health, Level, Report, to_status
from windhover_ros.params import NodeParams, declare, read_only

TICK_S = 0.25
REPORT_S = 1.0
# Longer than until the next look whether it goes on.
FLOOD_S = 15.0
FLOOD = (
    "messages come faster than this node takes them: the newest are taken and the others dropped; "
    "see who publishes on its topics ('ros2 topic info --verbose')"
)


class StageParams(NodeParams):
    """Parameters that every node has."""

    autostart: bool = read_only(
        True, description="configure and activate at start; false where a manager does it"
    )
    retry_min_s: float = Field(
        0.25, ge=0.1, le=60.0, description="wait before the first retry after a failure, seconds"
    )
    retry_max_s: float = Field(
        1.5, ge=0.1, le=600.0, description="longest wait between retries, seconds"
    )
    stale_after_s: float = Field(
        2.0,
        ge=0.1,
        le=600.0,
        description="silence after which the stage is reported STALE, seconds",
    )


P = TypeVar("P", bound=StageParams)


class StageNode(LifecycleNode, Generic[P]):
    """A managed node that recovers by itself.

    Args:
        name: node name.
        overrides: parameter values from a config; those from the ROS command
            line apply as well.
        namespace: ROS namespace.

    Attributes:
        label: the node's name, also after it was destroyed.
        health: counts, times and problems, from which diagnostics are made.
        on_report: called with each report that is published, in the executor's thread.
        last_error: why the stage failed last.
    """

    params_model: ClassVar[type[StageParams]] = StageParams
    stages: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, name: str, overrides: Mapping[str, Any] | None = None, namespace: str = ""
    ) -> None:
        super().__init__(
            name,
            namespace=namespace,
            parameter_overrides=[Parameter(k, value=v) for k, v in (overrides or {}).items()],
        )
        self.label = name
        self._declared = declare(self, self.params_model)
        self._declared.on_change(lambda _: self.changed())
        self.health = Health(self.stages, self._declared.value.stale_after_s)
        self.on_report: Callable[[Report], None] | None = None
        self._diagnostics = self.create_publisher(DiagnosticArray, topics.DIAGNOSTICS, 10)
        self._target_state = "active" if self._declared.value.autostart else "unconfigured"
        self._own_transition = False
        self._failure: str | None = None
        self.last_error: Exception | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._up_since = 0.0
        self._next_report = 0.0
        self._transitions = threading.RLock()
        self._clock_watch = ClockWatch(self)
        self.every(TICK_S, self.tick)

    @property
    def params(self) -> P:
        """The parameters as they are now."""
        return self._declared.value  # type: ignore[return-value]

    @property
    def state(self) -> str:
        """Lifecycle state: unconfigured, inactive, active or finalized."""
        return str(self._state_machine.current_state[1])

    # For subclasses to override.

    def configure(self) -> None:
        """Acquire the stage's resources; raise WindhoverError if that fails."""

    def start(self) -> None:
        """Begin to work."""

    def stop(self) -> None:
        """Stop working; must not fail."""

    def release(self) -> None:
        """Release the resources; must not fail; may be called twice."""

    def changed(self) -> None:
        """Parameters have changed."""

    def refresh(self) -> None:
        """Update health values; called before each report."""

    def every(self, period_s: float, callback: Callable[[], None]) -> None:
        """Call something again and again, also while ``/clock`` stands still.

        Args:
            period_s: seconds.
            callback: runs in the executor's thread.
        """
        self.create_timer(period_s, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))

    # Lifecycle.

    def on_configure(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback."""
        return self._attempt(self._configure, self.release)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback."""
        if not self._own_transition:
            self._target_state = "active"
        super().on_activate(state)
        result = self._attempt(self.start, self.stop)
        if result == TransitionCallbackReturn.SUCCESS:
            self._up_since = time.monotonic()
            self.health.set_active(True)
            self.health.clear_problem("stage")
            self._announce()
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback."""
        if not self._own_transition:
            self._target_state = "inactive"
        self.stop()
        self.health.set_active(False)
        return super().on_deactivate(state)

    def on_cleanup(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback."""
        if not self._own_transition:
            self._target_state = "unconfigured"
        self.release()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback."""
        self._target_state = "finalized"
        self.stop()
        self.health.set_active(False)
        # The last counts, for whoever sums up the run.
        self.report()
        self.release()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Lifecycle callback: back to unconfigured, from where it is retried."""
        self.stop()
        self.release()
        return TransitionCallbackReturn.SUCCESS

    def fail(self, error: Exception) -> None:
        """Report that a worker has failed; the stage is taken down and retried.

        Called from any thread; the transition is made by the executor's.
        """
        self.last_error = error
        self._failure = _text(error)
        self.health.problem("stage", Level.ERROR, self._failure)

    def tick(self) -> None:
        """Recover after a failure, and publish diagnostics when they are due."""
        stopped = self._clock_watch.problem()
        if stopped:
            self.health.problem("clock", Level.WARN, stopped)
        else:
            self.health.clear_problem("clock")
        with self._transitions:
            if self._failure is not None and self._target_state == "active":
                self._take_down()
            elif self._target_state == "active" and self.state in {"unconfigured", "inactive"}:
                if time.monotonic() >= self._retry_at:
                    self.bring_up()
            elif self._failures and time.monotonic() - self._up_since > self.params.retry_max_s:
                self._failures = 0
        if time.monotonic() >= self._next_report:
            self.report()

    def bring_up(self) -> bool:
        """Configure and activate; on failure a retry is scheduled.

        Returns:
            Whether the node is active now.
        """
        with self._transitions:
            self._target_state = "active"
            self._own_transition = True
            try:
                if self.state == "unconfigured":
                    self.trigger_configure()
                if self.state == "inactive":
                    self.trigger_activate()
            finally:
                self._own_transition = False
            if self.state == "active":
                self.report()
            return self.state == "active"

    def report(self) -> None:
        """Publish this node's diagnostics now."""
        self._next_report = time.monotonic() + REPORT_S
        self.health.stale_after_s = self.params.stale_after_s
        self.health.set("state", self.state)
        self.refresh()
        report = self.health.report()
        if self.on_report is not None:
            self.on_report(report)
        status = to_status(report, self.get_fully_qualified_name().lstrip("/"))
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def on_flood(self) -> None:
        """Report that messages come faster than the node takes them; in the executor's thread."""
        self.health.count("floods")
        self.health.problem("flood", Level.WARN, FLOOD, for_s=FLOOD_S)
        self.get_logger().warning(FLOOD, throttle_duration_sec=60.0)

    def close(self) -> None:
        """Stop, release and destroy the node, at the end of the process."""
        with self._transitions:
            if self.state in {"unconfigured", "inactive", "active"}:
                self.trigger_shutdown()
        self.destroy_node()

    def _configure(self) -> None:
        if not has_time(self):
            raise ConfigError(NO_CLOCK)
        self.configure()

    def _take_down(self) -> None:
        self._failure = None
        self._schedule_retry()
        self._own_transition = True
        try:
            if self.state == "active":
                self.trigger_deactivate()
            if self.state == "inactive":
                self.trigger_cleanup()
        finally:
            self._own_transition = False
        # At once, so that the monitor does not take it for a stalled stage.
        self.report()

    def _schedule_retry(self) -> None:
        params = self.params
        delay = min(params.retry_max_s, params.retry_min_s * 2 ** min(self._failures, 16))
        self._failures += 1
        self._retry_at = time.monotonic() + delay
        self.health.set("failures", self._failures)

    def _attempt(
        self, action: Callable[[], None], undo: Callable[[], None]
    ) -> TransitionCallbackReturn:
        try:
            action()
        except Exception as error:
            if not isinstance(error, WindhoverError):
                self.get_logger().error(f"unexpected: {error!r}")
            text = _text(error)
            self.last_error = error
            self.health.problem("stage", Level.ERROR, text)
            self.get_logger().error(text, throttle_duration_sec=10.0)
            undo()
            self._schedule_retry()
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def _announce(self) -> None:
        if self._failures:
            self.get_logger().info("recovered")

    # Topics.

    def advertise(self, kind: Any, topic: str, profile: QoSProfile) -> Any:
        """A lifecycle publisher with QoS overrides; QoS mismatches appear in diagnostics.

        Args:
            kind: message type.
            topic: relative name.
            profile: from ``windhover_ros.qos``.
        """
        events = PublisherEventCallbacks(
            incompatible_qos=lambda e: self._incompatible(topic, "subscriber", e),
            deadline=lambda _: self._late(topic),
        )
        return self.create_lifecycle_publisher(
            kind,
            topic,
            profile,
            event_callbacks=events,
            qos_overriding_options=qos.overridable(),
        )

    def listen(
        self,
        kind: Any,
        topic: str,
        callback: Callable[[Any], None],
        profile: QoSProfile,
        raw: bool = False,
    ) -> Any:
        """A subscription with QoS overrides; QoS mismatches appear in diagnostics.

        Args:
            kind: message type.
            topic: relative name.
            callback: takes the message, or its bytes with ``raw``.
            profile: from ``windhover_ros.qos``.
            raw: hand over the serialised bytes.
        """
        events = SubscriptionEventCallbacks(
            incompatible_qos=lambda e: self._incompatible(topic, "publisher", e),
        )
        return self.create_subscription(
            kind,
            topic,
            callback,
            profile,
            event_callbacks=events,
            qos_overriding_options=qos.overridable(),
            raw=raw,
        )

    def _incompatible(self, topic: str, peer: str, event: Any) -> None:
        policy = QoSPolicyKind(event.last_policy_kind).name
        text = (
            f"a {peer} of {topic} does not match this node's {policy}: nothing flows between "
            f"them; set its QoS as the contract says, or override "
            f"qos_overrides.{self.resolve_topic_name(topic)} here"
        )
        self.health.count(f"qos_incompatible_{topic}")
        self.health.problem(f"qos:{topic}", Level.WARN, text, for_s=60.0)
        self.get_logger().warning(text, throttle_duration_sec=60.0)

    def _late(self, topic: str) -> None:
        self.health.count(f"deadline_missed_{topic}")
        if self.state == "active":
            self.health.problem(
                f"deadline:{topic}", Level.WARN, f"{topic} missed its deadline", for_s=5.0
            )


def _text(error: Exception) -> str:
    if isinstance(error, WindhoverError):
        return str(error)
    return f"internal error: {type(error).__name__}: {error}"
