"""Which nodes run as processes, in which order, and when one is restarted.

The same for ``windhover up --node-per-process`` and for ``ros2 launch``.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from windhover.errors import ConfigError, WindhoverError
from windhover_bringup.runtime.cameras import (
    CameraSetup,
    check_inputs,
    pairing_values,
)
from windhover_bringup.runtime.config import BringupParams, Config

NODE_MODULES = {
    "rgb_camera": "windhover_cameras.rgb_camera",
    "thermal_camera": "windhover_cameras.thermal_camera",
    "pairing": "windhover_pairing.node",
    "detector": "windhover_detector.node",
    "tracker": "windhover_tracker.node",
    "overlay": "windhover_bringup.overlay.node",
    "recorder": "windhover_bringup.recording.recorder",
    "monitor": "windhover_bringup.monitor.node",
}
# From the start of two cameras' processes to their first frames, where they play recordings.
START_NS = 4_000_000_000
# A recording writes its index at the end, which takes a while on a busy machine.
STOP_TIMEOUT_S = 20.0
# Exit status of a program whose config or input is wrong: a restart would not help.
EXIT_USER_ERROR = WindhoverError.exit_status


def executable_of(node: str) -> tuple[str, str]:
    """The ROS package and executable of a node."""
    return NODE_MODULES[node].partition(".")[0], node


def enclave_of(node: str) -> str:
    """The SROS2 enclave of a node in its own process; see config/sros2/."""
    return f"/windhover/{node}"


def watched_of(setup: CameraSetup) -> list[str]:
    """The nodes of a run whose results the monitor watches."""
    pairing = ["pairing"] if setup.is_paired else []
    return [*setup.nodes, *pairing, "detector", "tracker"]


@dataclass(frozen=True, slots=True)
class RunPlan:
    """The processes of one run.

    Attributes:
        consumers: nodes that start first, so that they miss no frame.
        cameras: nodes that start once the consumers are active.
        config: of all of them.
        frames: how many frames will come, where known.
        metrics_file: name of the file for the run's figures, which no earlier run has taken.
    """

    consumers: tuple[str, ...]
    cameras: tuple[str, ...]
    config: Config
    frames: int | None = None
    metrics_file: str = ""

    def start_values(self) -> dict[str, int]:
        """Parameters that synchronise two cameras which start now; none for one camera."""
        if len(self.cameras) < 2:
            return {}
        return {"start_time_ns": time.time_ns() + START_NS}


def plan_run(config: Config, out: str | Path | None) -> RunPlan:
    """The processes to run for a config.

    Args:
        config: of all nodes.
        out: folder to record into, if at all.

    Raises:
        WindhoverError: the model or the source can't be used.
    """
    bundle = config.bundle()
    setup = CameraSetup.of(config, bundle)
    config, lead = check_inputs(config, setup.cameras)
    if any(float(config[node].get("rate", 1.0)) == 0.0 for node in setup.nodes):
        raise ConfigError(
            "at rate 0 no frame may be lost, and between processes the newest frame wins; run all "
            "nodes in one process (without --node-per-process, or with composed.launch.py), or "
            "give a rate above 0"
        )
    if len(setup.cameras) > 1 and lead.recorded and config.uses_sim_time():
        raise ConfigError(
            "two recorded cameras in processes of their own can't keep step by /clock; run them "
            "in one process (without --node-per-process, or with composed.launch.py)"
        )
    for node in setup.nodes:
        config = config.with_values(node, end_process=True)
    consumers = ["tracker", "detector", *(["overlay"] if config.bringup().overlay else [])]
    if not config["detector"].get("image_topic"):
        config = config.with_values("detector", image_topic=setup.image_topic)
    if setup.is_paired:
        config = config.with_values("pairing", **pairing_values(config, bundle, setup))
        consumers.append("pairing")
    metrics_file = ""
    if out is not None:
        bag, metrics_file = free_names(Path(out))
        values = recorder_values(config)
        values |= {"path": str(Path(out) / bag), "cameras": list(setup.cameras)}
        config = config.with_values("recorder", **values)
        consumers.append("recorder")
    if config.has_monitor():
        config = config.with_values("monitor", watch=watched_of(setup))
        consumers.append("monitor")
    return RunPlan(tuple(consumers), setup.nodes, config, lead.length, metrics_file)


def free_names(folder: Path) -> tuple[str, str]:
    """Names of bag and metrics that no earlier run has taken, with the same number."""
    number = 0
    while True:
        suffix = f"_{number}" if number else ""
        names = f"bag{suffix}", f"metrics{suffix}.json"
        if not any((folder / name).exists() for name in names):
            return names
        number += 1


def recorder_values(config: Config) -> dict[str, Any]:
    """Overrides of the recorder, which listens to the drone where the other nodes do."""
    wanted = {"altitude_topic": "detector", "attitude_topic": "tracker", "attitude_type": "tracker"}
    given = {name: config[node].get(name) for name, node in wanted.items()}
    if given["attitude_topic"] is None:
        given |= {name: config["pairing"].get(name) for name in ("attitude_topic", "attitude_type")}
    known = {name: value for name, value in given.items() if value is not None}
    return {**known, **config["recorder"]}


@dataclass
class RestartPolicy:
    """Whether, and when, a process that ended is restarted.

    Attributes:
        enabled: whether it is restarted at all.
        max_restarts: restarts within ``window_s``; more failures than that are permanent.
        window_s: seconds.
        delay_s: wait before the second restart within the window, for the first one is
            immediate; the wait doubles with each further one.
        clock: monotonic seconds.
    """

    enabled: bool = True
    max_restarts: int = 5
    window_s: float = 60.0
    delay_s: float = 0.2
    clock: Callable[[], float] = time.monotonic
    _exits: deque[float] = field(default_factory=deque)

    @classmethod
    def of(cls, bringup: BringupParams) -> RestartPolicy:
        """As the config says."""
        return cls(enabled=bringup.respawn)

    def delay_after(self, status: int) -> float | None:
        """How long to wait before the restart, seconds; ``None`` where there is none.

        Args:
            status: the exit status, negative where a signal ended the process.
        """
        if not self.enabled or status in {0, EXIT_USER_ERROR}:
            return None
        now = self.clock()
        while self._exits and now - self._exits[0] > self.window_s:
            self._exits.popleft()
        self._exits.append(now)
        if len(self._exits) > self.max_restarts:
            return None
        count = len(self._exits)
        return self.delay_s * 2.0 ** (count - 2) if count > 1 else 0.0

    def describe(self, status: int, delay_s: float | None) -> str:
        """One line, after the process's name: how it ended and what happens now."""
        ended = f"ended with status {status}"
        if delay_s is not None:
            return f"{ended}; it is restarted {f'in {delay_s:g} s' if delay_s else 'at once'}"
        if status == EXIT_USER_ERROR or not self.enabled:
            return f"{ended}; see its message above"
        return (
            f"{ended} for the {len(self._exits)}th time in {self.window_s:.0f} s; it is not "
            "restarted: see its messages above and 'windhover doctor'"
        )
