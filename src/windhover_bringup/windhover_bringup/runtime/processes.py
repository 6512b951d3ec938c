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
from windhover_bringup.runtime.forker import Forker, forked_status, reap_others
from windhover_bringup.runtime.node_states import NodeStates
from windhover_bringup.runtime.plan import MODULES, Respawn, enclave_of, make_plan
from windhover_bringup.runtime.run_report import RunReport, frames_of
from windhover_ros.arguments import ros_arguments, without_parameters
from windhover_ros.runner import StopRequest, ros, spinning

# Between checks whether a process has crashed.
CHECK_PERIOD_S = 0.05
# A recording writes its index at the end; on a busy machine that takes its time.
STOP_S = 20.0


class Processes:
    """The child processes of one run.

    Args:
        forker: starts them.
        nodes: which nodes to run.
        parameters: the parameter file that all of them take.
        bringup: their namespace, and whether one that crashed is started again.
        values: parameters that are known only now.
    """

    def __init__(
        self,
        forker: Forker,
        nodes: Sequence[str],
        parameters: Path,
        bringup: BringupParams,
        values: Mapping[str, int] | None = None,
    ) -> None:
        self._forker = forker
        self._parameters = parameters
        self._values = dict(values or {})
        self._namespace = bringup.namespace
        self._respawn = {node: Respawn.of(bringup) for node in nodes}
        self._due: dict[str, float] = {}
        self._ended: dict[str, int] = {}
        self._pids = {node: self._spawn(node) for node in nodes}

    @property
    def pids(self) -> list[int]:
        """Process ids of those that run."""
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
        return self._forker.start(MODULES[node], arguments, node)

    def ended(self, node: str) -> bool:
        """Whether a child is done: it ended well, and won't be started again."""
        return self._status(node) == 0

    def check(self) -> None:
        """Start children again that crashed; call it many times a second.

        Raises:
            WindhoverError: one has ended in a way that a new start won't mend; it has
                said why on stderr.
        """
        for node, respawn in self._respawn.items():
            status = self._status(node)
            if status in {None, 0}:
                continue
            if node not in self._due:
                delay_s = respawn.after_exit(int(status or 0))
                text = f"{node} {respawn.told(int(status or 0), delay_s)}"
                if delay_s is None:
                    raise WindhoverError(text)
                sys.stderr.write(f"warning: {text}\n")
                self._due[node] = time.monotonic() + delay_s
            if time.monotonic() >= self._due[node]:
                del self._due[node], self._ended[node]
                self._pids[node] = self._spawn(node)

    def stop(self) -> None:
        """Ask the children to end, in the order in which they were started, and see to it."""
        self._signal(signal.SIGINT)
        deadline = time.monotonic() + STOP_S
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
            status = forked_status(self._pids[node])
            if status is not None:
                self._ended[node] = status
        return self._ended.get(node)


@contextmanager
def _parameter_file(config: Config) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="windhover-") as folder:
        yield config.write(Path(folder) / "parameters.yaml")


def run_processes(config: Config, out: Path | None) -> None:
    """Run every node in a process of its own until the source ends or Ctrl-C.

    Frames cross DDS here and the newest wins: where no frame may be lost, all nodes must be
    in one process.

    Args:
        config: of all nodes.
        out: folder to record into, and for ``metrics.json``, if at all.

    Raises:
        WindhoverError: an input is wrong, no frame may be lost, or a node did not come up.
    """
    plan = make_plan(config, out)
    nodes = [*plan.consumers, *plan.cameras]
    report = RunReport(plan, out)
    with (
        StopRequest(last=True) as stop,
        Forker([MODULES[node] for node in nodes]) as forker,
        ros(),
        _parameter_file(plan.config) as parameters,
    ):
        bringup = config.bringup()
        states = NodeStates(nodes, bringup.namespace, diagnostics=True)
        groups: list[Processes] = []

        def check() -> None:
            forker.keep_up()
            for group in groups:
                group.check()
            reap_others([forker.pid, *(pid for group in groups for pid in group.pids)])

        with spinning([states.node]):
            try:
                groups.append(Processes(forker, plan.consumers, parameters, bringup))
                # The cameras last, so that nobody misses their first frames.
                states.wait_active(plan.consumers, stop, check)
                cameras = Processes(forker, plan.cameras, parameters, bringup, plan.start_values())
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
