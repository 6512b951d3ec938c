"""A process for each node, started and stopped together from one config.

What ``ros2 launch`` does with ``nodes.launch.py``, for machines without it.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from windhover.errors import WindhoverError
from windhover_bringup.cli.show import progress
from windhover_bringup.composed import camera_for, check_inputs
from windhover_bringup.config import Config
from windhover_ros.environment import child_environment
from windhover_ros.runner import StopRequest, ros

MODULES = {
    "rgb_camera": "windhover_cameras.rgb_camera",
    "thermal_camera": "windhover_cameras.thermal_camera",
    "detector": "windhover_detector.node",
    "tracker": "windhover_tracker.node",
    "overlay": "windhover_bringup.overlay",
    "recorder": "windhover_bringup.recorder",
}
READY_S = 60.0
STOP_S = 10.0


class Processes:
    """The child processes of one run.

    Args:
        nodes: which nodes to run.
        parameters: the parameter file that all of them take.
        namespace: ROS namespace.
    """

    def __init__(self, nodes: Sequence[str], parameters: Path, namespace: str) -> None:
        self._parameters = parameters
        self._namespace = namespace
        self._children = {node: self._spawn(node) for node in nodes}

    def _spawn(self, node: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", MODULES[node], "--ros-args"]
        command += ["--params-file", str(self._parameters)]
        if self._namespace:
            command += ["-r", f"__ns:=/{self._namespace.strip('/')}"]
        # A session of its own: Ctrl-C reaches the parent, which stops the
        # children in order.
        return subprocess.Popen(command, env=child_environment(), start_new_session=True)

    def ended(self, node: str) -> bool:
        """Whether a child is no longer there."""
        return self._children[node].poll() is not None

    def check(self) -> None:
        """Raise if a child has ended with an error.

        Raises:
            WindhoverError: names the node; it has said why on stderr.
        """
        for node, child in self._children.items():
            status = child.poll()
            if status not in {None, 0}:
                raise WindhoverError(f"{node} ended with status {status}; see its message above")

    def stop(self) -> None:
        """Ask the children to end, in the order in which frames flow, and see to it."""
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

    def wait_active(self, nodes: Sequence[str], processes: Processes, stop: StopRequest) -> None:
        """Wait until nodes are active.

        Raises:
            WindhoverError: a process ended, or a node is not active in time.
        """
        waiting = set(nodes)
        deadline = time.monotonic() + READY_S
        while waiting and not stop.wait(0.1):
            processes.check()
            waiting = {node for node in waiting if self.state(node) != "active"}
            if time.monotonic() > deadline:
                names = ", ".join(sorted(waiting))
                raise WindhoverError(
                    f"{names} not active after {READY_S:.0f} s; /diagnostics says why"
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
    from windhover.model.bundle import Bundle

    bringup = config.bringup()
    camera = camera_for(config, Bundle.load(config.model))
    total, _ = check_inputs(config, camera)
    camera_node = f"{camera}_camera"
    config = config.replaced(camera_node, end_process=True)
    behind = ["detector", "tracker", *(["overlay"] if bringup.overlay else [])]
    if out is not None:
        config = config.replaced("recorder", path=str(out / "bag"), cameras=[camera])
        behind.append("recorder")
    with StopRequest() as stop, ros([]), _parameter_file(config) as parameters:
        states = States([*behind, camera_node], bringup.namespace)
        consumers = Processes(behind, parameters, bringup.namespace)
        source: Processes | None = None
        try:
            # The camera last, so that nobody misses its first frames.
            states.wait_active(behind, consumers, stop)
            source = Processes([camera_node], parameters, bringup.namespace)
            with progress("running", total):
                while not source.ended(camera_node) and not stop.wait(0.2):
                    consumers.check()
            source.check()
        finally:
            if source is not None:
                source.stop()
            consumers.stop()
            states.close()
