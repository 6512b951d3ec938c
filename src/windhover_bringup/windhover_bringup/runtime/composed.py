"""All stages in one process: frames pass as arrays, only results cross DDS.

The nodes are those of a process per node; here they are linked. The camera's thread passes
frames on, one worker detects and tracks, and each node's executor serves its callbacks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from windhover.errors import RestartRequiredError, SourceError, WindhoverError
from windhover.geometry import Lens
from windhover.health.latency import LatencyStats
from windhover.pairing.intake import Intake
from windhover.sources import is_device
from windhover.types import Detections, Frame, Tracks
from windhover_bringup.monitor.node import MonitorNode
from windhover_bringup.overlay.node import OverlayNode
from windhover_bringup.runtime.cameras import (
    CameraSetup,
    check_inputs,
    pairing_values,
    with_common_start,
)
from windhover_bringup.runtime.config import Config
from windhover_bringup.runtime.plan import watched_of
from windhover_cameras.base import CameraNode
from windhover_cameras.rgb_camera import RgbCamera
from windhover_cameras.thermal_camera import ThermalCamera
from windhover_detector.node import DetectorNode
from windhover_pairing.node import PairingNode
from windhover_ros.clock import ros_time_ns, wait_for_clock
from windhover_ros.links import Link, make_link
from windhover_ros.runner import StopRequest
from windhover_tracker.node import TrackerNode

NODES: dict[str, type[RgbCamera] | type[ThermalCamera]] = {
    "rgb": RgbCamera,
    "thermal": ThermalCamera,
}

# From the start of two cameras that play recordings to their first frames.
_START_NS = 500_000_000

Tap = Callable[[Frame, Detections, Tracks, tuple[str, ...]], None]


class Pipeline:
    """The stages of one run, linked.

    Args:
        config: of all nodes.
        taps: called with each frame and its results, in order, in the worker's thread.

    Attributes:
        config: of all nodes, as they were started.
        modality: of the pictures that the detector is given: ``rgb``, ``thermal`` or ``rgbt``.
        cameras: the camera nodes; the first leads.
        pairing: the node between cameras and a detector for both; ``None`` for one camera's.
        total: latency from the moment a frame is taken to the moment its tracks are published.
        capture: latency from a frame's stamp to the same; meaningful where stamps are of now.

    Raises:
        WindhoverError: the bundle, the source or a parameter is wrong.
    """

    def __init__(self, config: Config, taps: list[Tap] | None = None) -> None:
        bringup = config.bringup()
        bundle = config.bundle()
        setup = CameraSetup.of(config, bundle)
        self.modality = setup.modality
        config, lead = check_inputs(config, setup.cameras)
        self.length, self.rate_hz = lead.length, lead.rate_hz
        rates = [float(config[node].get("rate", 1.0)) for node in setup.nodes]
        self.lossless = all(rate == 0.0 for rate in rates)
        self.link: Link[Frame] = make_link(self.lossless)
        space = bringup.namespace
        if len(setup.cameras) > 1:
            now_ns = ros_time_ns(config.uses_sim_time(), space)
            config = with_common_start(config, setup.cameras, now_ns + _START_NS)
        self.config = config
        self.cameras: tuple[CameraNode[Any], ...] = tuple(
            NODES[camera](config[f"{camera}_camera"], space) for camera in setup.cameras
        )
        self.pairing: PairingNode | None = None
        if setup.is_paired:
            self._pair(pairing_values(config, bundle, setup), space)
        else:
            self.camera.outputs.append(self.link)
        drone = self.pairing.drone if self.pairing else None
        values = config["detector"]
        if self.lossless:
            # Whom it looks at must not depend on how busy the machine is.
            values = {"second_look.budget_ms": 0.0, **values}
        self.detector = DetectorNode(values, space, frames=self.link, drone=drone)
        looking = self.detector.looking
        looking.is_tracked, looking.lens = True, self._lens
        self.tracker = TrackerNode(config["tracker"], space, linked=True, looks=looking)
        # Theirs, which ROS arguments may have changed.
        self.namespace = str(self.tracker.get_namespace())
        self.overlay = (
            OverlayNode(config["overlay"], space, linked=True) if bringup.overlay else None
        )
        self.monitor: MonitorNode | None = None
        if config.has_monitor(self.lossless):
            watch = watched_of(setup)
            stages = [*self.cameras, self.pairing, self.detector, self.tracker]
            linked = {stage.label: stage for stage in stages if stage is not None}
            self.monitor = MonitorNode({**config["monitor"], "watch": watch}, space, linked)
        self._taps = list(taps or [])
        # Enough for half an hour at 30 frames a second.
        self.total = LatencyStats(window=65_536)
        self.capture = LatencyStats(window=65_536)
        self.labels = bundle.labels
        self.bundle = bundle
        self.detector.on_result(self._track)

    @property
    def camera(self) -> CameraNode[Any]:
        """The camera that leads: frames carry its stamps."""
        return self.cameras[0]

    @property
    def nodes(self) -> list[Any]:
        """All nodes, in the order in which they are brought up."""
        between = [self.pairing] if self.pairing else []
        nodes: list[Any] = [self.tracker, self.detector, *between, *self.cameras]
        return [node for node in (self.overlay, *nodes, self.monitor) if node is not None]

    def tap(self, tap: Tap) -> None:
        """Call something with each frame and its results; to be added before :meth:`start`."""
        self._taps.append(tap)

    def start(self) -> None:
        """Bring all nodes up, the last stage first so that no frame is missed.

        Raises:
            WindhoverError: a node can't come up, and a retry would not help. A device that
                is absent is retried instead.
        """
        for node in self.nodes:
            wait_for_clock(node)
        for node in self.nodes:
            if not node.bring_up() and not self._may_come_later(node):
                raise node.last_error or WindhoverError(f"{node.label} did not come up")

    def finished(self) -> bool:
        """Whether a recorded source has ended and all its frames are processed."""
        return self.camera.ended.is_set() and self.detector.idle.is_set()

    def wait(self, stop: StopRequest, each: Callable[[], None] = lambda: None) -> None:
        """Wait until the run is over or is to stop.

        Args:
            stop: ends the wait.
            each: called ten times a second, to show progress.

        Raises:
            WindhoverError: the rest of a recorded source can't be read.
            RestartRequiredError: the monitor could not recover a stage.
        """
        recorded = [c for c in self.cameras if not is_device(c.params.source)]
        while not self.finished() and not stop.wait(0.1):
            each()
            for camera in recorded:
                if camera.last_error is not None:
                    # A truncated file would end at the same place again.
                    raise camera.last_error
            if self.monitor is not None and self.monitor.fatal_reason:
                raise RestartRequiredError(self.monitor.fatal_reason)
        each()

    def fault(self) -> str:
        """Why a stage is down now; empty while all are up."""
        down = [node for node in self.nodes if node.state != "active" and node.last_error]
        return f"{down[0].label}: {down[0].last_error}" if down else ""

    def check_lost_frames(self) -> None:
        """Check that no frame was unreadable or unusable.

        Raises:
            SourceError: how many were, and why the last one; all others were processed.
        """
        for node in (self.pairing, self.detector):
            refused = node.health.counter("frames_refused") if node else 0
            if node and refused:
                raise SourceError(f"{refused} frames could not be used; {node.refusal}")
        for camera in self.cameras:
            count = camera.health.counter("frames_unreadable")
            if count:
                raise SourceError(
                    f"{count} frames could not be read and were skipped; {camera.unreadable}"
                )

    def close(self) -> None:
        """Stop the stages from the first to the last and destroy the nodes."""
        for node in reversed(self.nodes):
            node.close()

    def _may_come_later(self, node: Any) -> bool:
        return node in self.cameras and is_device(node.params.source)

    def _pair(self, values: dict[str, Any], namespace: str) -> None:
        intake = Intake(self.lossless)
        sides = {"rgb": intake.rgb, "thermal": intake.thermal}
        for camera in self.cameras:
            camera.outputs.append(sides[camera.camera])
        self.pairing = PairingNode(values, namespace, intake)
        self.pairing.outputs.append(self.link)

    def _lens(self, frame: Frame) -> Lens | None:
        """Of the camera that a frame came from, for the scale of chips."""
        if self.pairing is not None:
            return self.pairing.rgb_lens
        calibration = self.camera.lens(frame)
        return Lens.of(calibration) if calibration else None

    def _track(self, frame: Frame, detections: Detections, taken_ns: int) -> None:
        tracks = self.tracker.track(frame, detections, self.labels)
        if tracks is None:
            return
        self.total.record(time.monotonic_ns() - taken_ns)
        self.capture.record(self.tracker.get_clock().now().nanoseconds - frame.stamp_ns)
        frame = frame.without_full()
        if self.overlay is not None:
            self.overlay.offer(frame, detections, tracks, self.labels)
        for tap in self._taps:
            tap(frame, detections, tracks, self.labels)
