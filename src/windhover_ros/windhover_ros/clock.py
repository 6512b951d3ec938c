"""ROS time: the machine's, or that of ``/clock`` where ``use_sim_time`` is set.

Until the first message on ``/clock`` ROS time is 0, and a frame that is stamped with it
would be decades old a moment later: nothing starts before the time is known.
"""

from __future__ import annotations

import time

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter

from windhover.errors import ConfigError

CLOCK_TIMEOUT_S = 30.0
CLOCK_SILENCE_S = 2.0
NO_CLOCK = (
    "use_sim_time is set and nothing has come on /clock: play the bag with 'ros2 bag play "
    "--clock', start the simulator, or set use_sim_time to false"
)


def has_time(node: Node) -> bool:
    """Whether a node knows what time it is."""
    clock = node.get_clock()
    return not clock.ros_time_is_active or clock.now().nanoseconds > 0


class ClockWatch:
    """Notices that ``/clock`` has stopped.

    Args:
        node: with or without ``use_sim_time``.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._last_ns = 0
        self._since_s = time.monotonic()

    def problem(self) -> str:
        """What is wrong now, "" where time goes on; call it some times a second."""
        now_ns, now_s = self._node.get_clock().now().nanoseconds, time.monotonic()
        if now_ns != self._last_ns:
            self._last_ns, self._since_s = now_ns, now_s
        if not now_ns or now_s - self._since_s < CLOCK_SILENCE_S:
            return ""
        return (
            f"/clock stopped {now_s - self._since_s:.0f} s ago, and stamps stand still: start the "
            "player or the simulator again, or set use_sim_time to false"
        )


def wait_for_clock(node: Node, timeout_s: float | None = None) -> None:
    """Serve a node that nobody else spins until it knows the time.

    Args:
        node: with or without ``use_sim_time``.
        timeout_s: longest wait; ``None`` takes :data:`CLOCK_TIMEOUT_S`.

    Raises:
        ConfigError: nothing came on ``/clock`` in time.
    """
    if has_time(node):
        return
    deadline = time.monotonic() + (CLOCK_TIMEOUT_S if timeout_s is None else timeout_s)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        while not has_time(node):
            if time.monotonic() > deadline:
                raise ConfigError(NO_CLOCK)
            executor.spin_once(timeout_sec=0.1)
    finally:
        executor.remove_node(node)
        executor.shutdown(timeout_sec=5.0)


def ros_time_ns(sim: bool, namespace: str = "") -> int:
    """ROS time now, nanoseconds.

    Args:
        sim: take it from ``/clock``.
        namespace: of the node that asks.

    Raises:
        ConfigError: nothing comes on ``/clock``.
    """
    if not sim:
        return time.time_ns()
    node = Node(
        "windhover_clock",
        namespace=namespace,
        parameter_overrides=[Parameter("use_sim_time", value=True)],
    )
    try:
        wait_for_clock(node)
        return int(node.get_clock().now().nanoseconds)
    finally:
        node.destroy_node()
