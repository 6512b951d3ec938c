"""What nodes in other processes report: their lifecycle state and their health.

The node that asks is served by whoever uses it, with ``windhover_ros.runner.spin_in_threads``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import GetState

from windhover.errors import WindhoverError
from windhover_ros import qos, topics
from windhover_ros.runner import StopRequest

READY_S = 120.0
ANSWER_S = 2.0


class NodeStates:
    """Asks nodes for their lifecycle state and keeps their last diagnostics.

    Args:
        nodes: names of the nodes.
        namespace: theirs.
        diagnostics: whether to listen to ``/diagnostics``.

    Attributes:
        node: that asks; to be spun.
    """

    def __init__(
        self, nodes: Sequence[str], namespace: str = "", diagnostics: bool = False
    ) -> None:
        self.node = rclpy.create_node("windhover_up", namespace=namespace)
        self._clients: dict[str, Any] = {
            name: self.node.create_client(GetState, f"{name}/get_state") for name in nodes
        }
        self._reports: dict[str, dict[str, str]] = {}
        if diagnostics:
            self.node.create_subscription(
                DiagnosticArray, topics.DIAGNOSTICS, self._on_diagnostics, qos.result()
            )

    def state(self, name: str) -> str:
        """Lifecycle state of a node; empty where it does not answer."""
        client = self._clients[name]
        if not client.service_is_ready():
            return ""
        future = client.call_async(GetState.Request())
        deadline = time.monotonic() + ANSWER_S
        while not future.done() and time.monotonic() < deadline:
            time.sleep(0.01)
        if not future.done():
            client.remove_pending_request(future)
            return ""
        return str(future.result().current_state.label)

    def report(self, name: str) -> Mapping[str, str]:
        """Key-value pairs of a node's last diagnostics; empty before the first."""
        return self._reports.get(name, {})

    def wait_active(
        self,
        names: Sequence[str],
        stop: StopRequest,
        each: Callable[[], None] = lambda: None,
        timeout_s: float = READY_S,
    ) -> None:
        """Wait until nodes are active.

        Args:
            names: of nodes that were given to this object.
            stop: ends the wait.
            each: called some times a second.
            timeout_s: longest wait.

        Raises:
            WindhoverError: a node is not there, or not active, in time.
        """
        states = dict.fromkeys(names, "")
        deadline = time.monotonic() + timeout_s
        while not stop.wait(0.1):
            each()
            waiting = [name for name in names if states[name] != "active"]
            if not waiting:
                return
            states.update({name: self.state(name) for name in waiting})
            if time.monotonic() > deadline and set(states.values()) != {"active"}:
                raise WindhoverError(self._why_not(states, timeout_s))

    def close(self) -> None:
        """Destroy the node that asks."""
        self.node.destroy_node()

    def _why_not(self, states: Mapping[str, str], timeout_s: float) -> str:
        space = self.node.get_namespace()
        present = {name for name, where in self.node.get_node_names_and_namespaces()
                   if where == space}  # fmt: skip
        absent = [n for n, state in states.items() if not state and n not in present]
        down = [f"{n} is {state or 'silent'}" for n, state in states.items()
                if state != "active" and n not in absent]  # fmt: skip
        parts = []
        if absent:
            others = ", ".join(sorted(present - {self.node.get_name()})) or "none"
            parts.append(
                f"there is no node {' or '.join(absent)} in namespace {space} (nodes there: "
                f"{others}): check the name, ROS_DOMAIN_ID and the namespace (--ros-args -r "
                "__ns:=/drone1)"
            )
        if down:
            parts.append(f"{', '.join(down)}: /diagnostics says why")
        return f"not active after {timeout_s:g} s: {'; '.join(parts)}"

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        space = self.node.get_namespace().strip("/")
        for status in message.status:
            name = status.name.removeprefix(f"{space}/") if space else status.name
            self._reports[name] = {item.key: item.value for item in status.values}
