"""A process for each node, started and stopped together from one config.

What ``ros2 launch`` does with ``nodes.launch.py``, for machines without it.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from windhover.errors import WindhoverError
from windhover.progress import progress
from windhover_bringup.runtime.config import BringupParams, Config
from windhover_bringup.runtime.fork_server import ForkServer, exit_status, reap_orphans
from windhover_bringup.runtime.node_states import NodeStates
from windhover_bringup.runtime.plan import (
    NODE_MODULES,
    STOP_TIMEOUT_S,
    RestartPolicy,
    RunPlan,
    enclave_of,
    plan_run,
)
from windhover_bringup.runtime.run_messages import look_at
from windhover_bringup.runtime.run_report import RunReport, frames_of
from windhover_bringup.start_block import start_block
from windhover_detector.params import DetectorParams
from windhover_ros import topics
from windhover_ros.arguments import ros_arguments, without_parameters
from windhover_ros.runner import StopRequest, ros, spin_in_threads

# Between checks whether a process has crashed.
CHECK_PERIOD_S = 0.05


class Processes:
    """The child processes of one run.

    Args:
        fork_server: starts them.
        nodes: which nodes to run.
        parameters: the parameter file that all of them take.
        bringup: their namespace, and whether one that crashed is restarted.
        values: parameters that are known only when they start.
    """

    def __init__(
        self,
        fork_server: ForkServer,
        nodes: Sequence[str],
        parameters: Path,
        bringup: BringupParams,
        values: Mapping[str, int] | None = None,
    ) -> None:
        self._fork_server = fork_server
        self._parameters = parameters
        self._values = dict(values or {})
        self._namespace = bringup.namespace
        self._restart = {node: RestartPolicy.of(bringup) for node in nodes}
        self._due: dict[str, float] = {}
        self._ended: dict[str, int] = {}
        self._pids = {node: self._spawn(node) for node in nodes}

    @property
    def pids(self) -> list[int]:
        """Process ids of the children that run."""
        return [pid for node, pid in self._pids.items() if node not in self._ended]

    def _spawn(self, node: str) -> int:
        # All parameters, those of the arguments as well, are in the file.
        arguments = ["--ros-args", *without_parameters(ros_arguments())]
        arguments += ["--params-file", str(self._parameters)]
        arguments += ["--enclave", enclave_of(node)]
        for name, value in self._values.items():
            arguments += ["-p", f"{name}:={value}"]
        if self._namespace:
            arguments += ["-r", f"__ns:=/{self._namespace.strip('/')}"]
        return self._fork_server.start(NODE_MODULES[node], arguments, node)

    def ended(self, node: str) -> bool:
        """Whether a child has ended with status 0, after which it is not restarted."""
        return self._status(node) == 0

    def check(self) -> None:
        """Restart children that crashed; call it many times a second.

        Raises:
            WindhoverError: one has failed in a way that a restart does not help; its
                message is on stderr.
        """
        for node, restart in self._restart.items():
            status = self._status(node)
            if status in {None, 0}:
                continue
            if node not in self._due:
                delay_s = restart.delay_after(int(status or 0))
                text = f"{node} {restart.describe(int(status or 0), delay_s)}"
                if delay_s is None:
                    raise WindhoverError(text)
                sys.stderr.write(f"warning: {text}\n")
                self._due[node] = time.monotonic() + delay_s
            if time.monotonic() >= self._due[node]:
                del self._due[node], self._ended[node]
                self._pids[node] = self._spawn(node)

    def stop(self) -> None:
        """Ask the children to end, in the order in which they were started; then kill them."""
        self._signal(signal.SIGINT)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self._running() and time.monotonic() < deadline:
            time.sleep(0.02)
        self._signal(signal.SIGKILL)
        while self._running():
            time.sleep(0.02)

    def _running(self) -> list[str]:
        return [node for node in self._pids if self._status(node) is None]

    def _signal(self, number: int) -> None:
        for node in self._running():
            os.kill(self._pids[node], number)

    def _status(self, node: str) -> int | None:
        """Exit status of a child that has ended; negative after a signal."""
        if node not in self._ended:
            status = exit_status(self._pids[node])
            if status is not None:
                self._ended[node] = status
        return self._ended.get(node)


@contextmanager
def _parameter_file(config: Config) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="windhover-") as folder:
        yield config.write(Path(folder) / "parameters.yaml")


def _start_rows(plan: RunPlan, states: NodeStates) -> dict[str, str]:
    """What is shown at the start, from the config and the nodes' names."""
    detector, resolve = plan.config["detector"], states.node.resolve_topic_name
    sources = [str(plan.config[camera].get("source", "")) for camera in plan.cameras]
    tracks = resolve(topics.TRACKS)
    shown = [resolve(topics.DETECTIONS), tracks]
    if "overlay" in plan.consumers:
        shown.append(resolve(topics.OVERLAY))
    return {
        "model": str(detector.get("model", DetectorParams().model)),
        "backend": str(detector.get("backend", DetectorParams().backend)),
        "input": ", ".join(dict.fromkeys(sources)),
        "topics": ", ".join(shown),
        "domain": os.environ.get("ROS_DOMAIN_ID", "0"),
        "next": look_at(tracks),
    }


def run_processes(config: Config, out: Path | None) -> None:
    """Run each node in its own process until the source ends or Ctrl-C.

    Frames cross DDS here and the newest wins: where no frame may be lost, all nodes must be
    in one process.

    Args:
        config: of all nodes.
        out: folder to record into, and for ``metrics.json``, if at all.

    Raises:
        WindhoverError: an input is wrong, no frame may be lost, or a node did not come up.
    """
    plan = plan_run(config, out)
    nodes = [*plan.consumers, *plan.cameras]
    report = RunReport(plan, out)
    with (
        StopRequest(last=True) as stop,
        ForkServer([NODE_MODULES[node] for node in nodes]) as fork_server,
        ros(),
        _parameter_file(plan.config) as parameters,
    ):
        bringup = config.bringup()
        states = NodeStates(nodes, bringup.namespace, diagnostics=True)
        groups: list[Processes] = []

        def check() -> None:
            fork_server.restart_if_ended()
            for group in groups:
                group.check()
            reap_orphans([fork_server.pid, *(pid for group in groups for pid in group.pids)])

        with spin_in_threads([states.node]):
            try:
                groups.append(Processes(fork_server, plan.consumers, parameters, bringup))
                # The cameras last, so that no node misses their first frames.
                states.wait_active(plan.consumers, stop, check)
                sys.stderr.write(f"{start_block(_start_rows(plan, states))}\n")
                values = plan.start_values()
                cameras = Processes(fork_server, plan.cameras, parameters, bringup, values)
                groups.append(cameras)
                with progress("frames", plan.frames) as bar:
                    while not stop.wait(CHECK_PERIOD_S) and not all(
                        map(cameras.ended, plan.cameras)
                    ):
                        check()
                        bar.update(frames_of(states.report("tracker")), plan.frames)
            finally:
                for group in reversed(groups):
                    group.stop()
        report.take({node: states.report(node) for node in nodes})
        states.close()
    report.write()
