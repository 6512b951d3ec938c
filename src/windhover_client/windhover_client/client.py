"""The client itself: subscribes to a running Windhover and keeps what came last."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from vision_msgs.msg import Detection2DArray, LabelInfo

from windhover_client.health import Health, HealthLevel, read_health
from windhover_client.tracks import TracksUpdate, read_tracks

TracksCallback = Callable[[TracksUpdate], None]

_RESULTS = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)
_LATCHED = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
# How long one turn of the executor may block, so that a wait ends when it should.
_SPIN_S = 0.1


class WindhoverClient:
    """What a mission node needs of Windhover, in the manner of nav2_simple_commander.

    Without a node of yours it makes its own and spins it while you wait. With one, spin that
    node in another thread, or use :meth:`on_tracks` and the properties only.

    DDS finds a restarted Windhover by itself: ``session`` of the updates then counts on, and
    ids of the earlier session are not related to new ones.

    Args:
        node: to subscribe with; ``None`` makes a node ``windhover_client``.
        namespace: of Windhover's topics, such as ``/drone1``; "" is the node's own.
        fresh_for_s: longest age of the last tracks that still counts as fresh, seconds.
        heartbeat_s: longest silence of the heartbeat that still counts as alive, seconds.

    Raises:
        ValueError: a time is not positive.
    """

    def __init__(
        self,
        node: Node | None = None,
        namespace: str = "",
        fresh_for_s: float = 1.0,
        heartbeat_s: float = 1.0,
    ) -> None:
        if fresh_for_s <= 0.0 or heartbeat_s <= 0.0:
            raise ValueError(f"fresh_for_s {fresh_for_s} and heartbeat_s {heartbeat_s}: above 0")
        self._own = node is None
        self.node = node or Node("windhover_client", namespace=namespace)
        self._executor = SingleThreadedExecutor() if self._own else None
        if self._executor is not None:
            self._executor.add_node(self.node)
        self._fresh_for_s = fresh_for_s
        self._heartbeat_s = heartbeat_s
        self._changed = threading.Condition()
        self._callbacks: list[TracksCallback] = []
        self._update: TracksUpdate | None = None
        self._updates = 0
        self._returned = 0
        self._tracks_at: float | None = None
        self._beat_at: float | None = None
        self._health: Health | None = None
        self._labels: tuple[str, ...] = ()
        self._publisher: bytes | None = None
        self._session = 0
        prefix = f"{namespace.rstrip('/')}/" if namespace and not self._own else ""
        self._subscriptions = [
            self.node.create_subscription(kind, prefix + topic, callback, profile)
            for kind, topic, callback, profile in (
                (Detection2DArray, "tracks", self._on_tracks, _RESULTS),
                (LabelInfo, "label_info", self._on_labels, _LATCHED),
                (DiagnosticArray, "health", self._on_health, _LATCHED),
                (Time, "heartbeat", self._on_heartbeat, _RESULTS),
            )
        ]
        self._tracks_topic = self._subscriptions[0].topic_name

    @property
    def tracks(self) -> TracksUpdate | None:
        """The newest tracks, ``None`` before the first."""
        return self._update

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names of the model, in its order; empty until the detector has published them."""
        return self._labels

    @property
    def health(self) -> Health:
        """The monitor's last summary; STALE while the heartbeat is silent."""
        if not self.is_alive():
            return Health(HealthLevel.STALE, "no heartbeat")
        return self._health or Health(HealthLevel.STALE, "the monitor has not reported yet")

    def is_alive(self) -> bool:
        """Whether the heartbeat came within ``heartbeat_s``."""
        return _within(self._beat_at, self._heartbeat_s)

    def is_fresh(self) -> bool:
        """Whether tracks came within ``fresh_for_s`` and the health is OK or WARN.

        An image in which nothing is seen counts: it has tracks, namely none.
        """
        return _within(self._tracks_at, self._fresh_for_s) and self.health.trusted

    def on_tracks(self, callback: TracksCallback) -> None:
        """Call ``callback`` with each update, on the thread that spins the node."""
        self._callbacks.append(callback)

    def next_tracks(self, timeout_s: float = 1.0) -> TracksUpdate | None:
        """Wait for an update that this method has not returned before.

        Updates that came in between are skipped: the newest counts.

        Args:
            timeout_s: longest wait, seconds.

        Returns:
            The update, or ``None`` where none came in time.
        """
        if not self._wait(lambda: self._updates > self._returned, timeout_s):
            return None
        self._returned = self._updates
        return self._update

    def wait_until_active(self, timeout_s: float = 30.0) -> bool:
        """Wait until tracks are published and the monitor reports OK or WARN.

        Returns:
            Whether that was so within ``timeout_s`` seconds.
        """
        return self._wait(self.is_fresh, timeout_s)

    def close(self) -> None:
        """Unsubscribe, and destroy the node if it is the client's own."""
        for subscription in self._subscriptions:
            self.node.destroy_subscription(subscription)
        self._subscriptions = []
        if self._executor is not None:
            self._executor.shutdown()
            self.node.destroy_node()
            self._executor = None

    def __enter__(self) -> WindhoverClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        until = time.monotonic() + timeout_s
        while not condition():
            left = until - time.monotonic()
            if left <= 0.0:
                return False
            if self._executor is not None:
                self._executor.spin_once(timeout_sec=min(left, _SPIN_S))
            else:
                with self._changed:
                    self._changed.wait(min(left, _SPIN_S))
        return True

    def _on_tracks(self, message: Any) -> None:
        try:
            update = read_tracks(message, self._current_session())
        except ValueError as error:
            self.node.get_logger().warning(f"tracks are not Windhover's: {error}")
            return
        self._update = update
        self._tracks_at = time.monotonic()
        self._updates += 1
        with self._changed:
            self._changed.notify_all()
        for callback in self._callbacks:
            callback(update)

    def _current_session(self) -> int:
        """Counts a new publisher of tracks as a new session."""
        publishers = self.node.get_publishers_info_by_topic(self._tracks_topic)
        gids = {bytes(info.endpoint_gid) for info in publishers}
        if self._publisher not in gids and gids:
            self._publisher = min(gids)
            self._session += 1
        return max(self._session, 1)

    def _on_labels(self, message: Any) -> None:
        ordered = sorted(message.class_map, key=lambda entry: entry.class_id)
        self._labels = tuple(entry.class_name for entry in ordered)

    def _on_health(self, message: Any) -> None:
        self._health = read_health(message)

    def _on_heartbeat(self, _message: Any) -> None:
        self._beat_at = time.monotonic()


def _within(moment: float | None, limit_s: float) -> bool:
    return moment is not None and time.monotonic() - moment <= limit_s
