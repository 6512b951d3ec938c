"""A process for each node, started and stopped together from one config.

What ``ros2 launch`` does with ``nodes.launch.py``, for machines without it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from windhover.errors import WindhoverError
from windhover_bringup.cli.show import progress
from windhover_bringup.config import BringupParams, Config
from windhover_bringup.plan import MODULES, Respawn, enclave_of, make_plan
from windhover_ros.environment import child_environment
from windhover_ros.runner import StopRequest, ros, ros_arguments

READY_S = 60.0
STOP_S = 10.0


class Processes:
    """The child processes of one run.

    Args:
        nodes: which nodes to run.
        parameters: the parameter file that all of them take.
        bringup: their namespace, and whether one that crashed is started again.
        values: parameters that are known only now.
    """

    def __init__(
        self,
        nodes: Sequence[str],
        parameters: Path,
        bringup: BringupParams,
        values: Mapping[str, int] | None = None,
    ) -> None:
        self._parameters = parameters
        self._values = dict(values or {})
        self._namespace = bringup.namespace
        self._respawn = {node: Respawn.of(bringup) for node in nodes}
        self._due: dict[str, float] = {}
        self._children = {node: self._spawn(node) for node in nodes}

    def _spawn(self, node: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", MODULES[node], "--ros-args", *ros_arguments()]
        command += ["--params-file", str(self._parameters), "--enclave", enclave_of(node)]
        for name, value in self._values.items():
            command += ["-p", f"{name}:={value}"]
        if self._namespace:
            command += ["-r", f"__ns:=/{self._namespace.strip('/')}"]
        # A session of its own: Ctrl-C reaches the parent, which stops the
        # children in order.
        return subprocess.Popen(command, env=child_environment(), start_new_session=True)

    def ended(self, node: str) -> bool:
        """Whether a child is done: it ended well, and won't be started again."""
        return self._children[node].poll() == 0

    def check(self) -> None:
        """Start children again that crashed; call it a few times a second.

        Raises:
            WindhoverError: one has ended in a way that a new start won't mend; it has
                said why on stderr.
        """
        now = time.monotonic()
        for node in [node for node, due in self._due.items() if now >= due]:
            del self._due[node]
            self._children[node] = self._spawn(node)
        for node, child in self._children.items():
            status = child.poll()
            if node in self._due or status in {None, 0}:
                continue
            respawn = self._respawn[node]
            delay_s = respawn.after_exit(int(status or 0))
            text = f"{node} {respawn.told(int(status or 0), delay_s)}"
            if delay_s is None:
                raise WindhoverError(text)
            sys.stderr.write(f"warning: {text}\n")
            self._due[node] = now + delay_s

    def stop(self) -> None:
        """Ask the children to end, in the order in which they were started, and see to it."""
        for child in self._children.values():
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
        deadline = time.monotonic() + STOP_S
        for child in self._children.values():
            while child.poll() is None and time.monotonic() < deadline:
                time.sleep(0.02)
            if child.poll() is None:
                child.kill()
            child.wait()


@contextmanager
def _parameter_file(config: Config) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="windhover-") as folder:
        yield config.write(Path(folder) / "parameters.yaml")


class States:
    """Asks nodes for their lifecycle state."""

    def __init__(self, nodes: Sequence[str], namespace: str) -> None:
        import rclpy
        from lifecycle_msgs.srv import GetState

        self._node = rclpy.create_node("windhover_up", namespace=namespace)
        self._request = GetState.Request()
        self._clients: dict[str, Any] = {
            node: self._node.create_client(GetState, f"{node}/get_state") for node in nodes
        }

    def state(self, node: str) -> str:
        """State of a node; empty while it does not answer."""
        import rclpy

        client = self._clients[node]
        if not client.service_is_ready():
            rclpy.spin_once(self._node, timeout_sec=0.05)
            return ""
        future = client.call_async(self._request)
        rclpy.spin_until_future_complete(self._node, future, timeout_sec=2.0)
        answer = future.result() if future.done() else None
        return str(answer.current_state.label) if answer is not None else ""

    def wait_active(
        self,
        nodes: Sequence[str],
        stop: StopRequest,
        each: Callable[[], None] = lambda: None,
        timeout_s: float = READY_S,
    ) -> None:
        """Wait until nodes are active.

        Args:
            nodes: their names.
            stop: ends the wait.
            each: called some times a second.
            timeout_s: longest wait.

        Raises:
            WindhoverError: a node is not active in time.
        """
        waiting = set(nodes)
        deadline = time.monotonic() + timeout_s
        while waiting and not stop.wait(0.1):
            each()
            waiting = {node for node in waiting if self.state(node) != "active"}
            if time.monotonic() > deadline:
                names = ", ".join(sorted(waiting))
                raise WindhoverError(
                    f"{names} not active after {timeout_s:.0f} s; /diagnostics says why"
                )

    def close(self) -> None:
        """Destroy the node that asks."""
        self._node.destroy_node()


def run_processes(config: Config, out: Path | None) -> None:
    """Run every node in a process of its own until the source ends or Ctrl-C.

    Frames cross DDS here: with recorded sources at ``rate`` 0 the newest wins
    all the same. Use the composed process where no frame may be lost.

    Args:
        config: of all nodes.
        out: folder to record into, if at all.

    Raises:
        WindhoverError: an input is wrong, or a node did not come up.
    """
    plan = make_plan(config, out)
    bringup = config.bringup()
    with StopRequest(last=True) as stop, ros(), _parameter_file(plan.config) as parameters:
        states = States(plan.consumers, bringup.namespace)
        consumers = Processes(plan.consumers, parameters, bringup)
        cameras: Processes | None = None
        try:
            # The cameras last, so that nobody misses their first frames.
            states.wait_active(plan.consumers, stop, consumers.check)
            cameras = Processes(plan.cameras, parameters, bringup, plan.start_values())
            with progress("running", plan.frames):
                while not stop.wait(0.2) and not all(map(cameras.ended, plan.cameras)):
                    consumers.check()
                    cameras.check()
        finally:
            if cameras is not None:
                cameras.stop()
            consumers.stop()
            states.close()
