"""All stages in one process: frames pass as arrays, only results cross DDS.

The nodes are the very nodes of the other way to run; here they are linked. The
camera's thread hands frames over, one worker detects and tracks, one executor
serves the callbacks of all nodes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from windhover.errors import ConfigError, NewStartError, SourceError, WindhoverError
from windhover.evaluation.latency import LatencyStats
from windhover.model.bundle import Bundle
from windhover.sources import open_source
from windhover.types import Detections, Frame, Tracks
from windhover_bringup.config import Config
from windhover_bringup.monitor import MonitorNode
from windhover_bringup.overlay import OverlayNode
from windhover_cameras.base import CameraNode
from windhover_cameras.rgb_camera import RgbCamera
from windhover_cameras.thermal_camera import ThermalCamera
from windhover_detector.node import DetectorNode
from windhover_ros.links import Link, make_link
from windhover_ros.runner import StopRequest
from windhover_tracker.node import TrackerNode

CAMERAS: dict[str, type[RgbCamera] | type[ThermalCamera]] = {
    "rgb": RgbCamera,
    "thermal": ThermalCamera,
}

# Sources that may be absent now and come back.
DEVICES = ("v4l2:", "gst:", "/dev/")

Tap = Callable[[Frame, Detections, Tracks, tuple[str, ...]], None]


def camera_for(config: Config, bundle: Bundle) -> str:
    """Which camera feeds the detector.

    Raises:
        ConfigError: the bundle is for two cameras at once.
    """
    chosen = config.bringup().camera
    if chosen != "auto":
        return chosen
    if bundle.channels not in CAMERAS:
        raise ConfigError(
            f"model {bundle.name} takes {bundle.channels} images, which need the pairing node; "
            "choose a model for one camera"
        )
    return bundle.channels


def check_inputs(config: Config, camera: str) -> tuple[int | None, float]:
    """Find out before anything starts whether the source can be opened at all.

    A camera may come later, so devices are left to the node, which retries.

    Returns:
        How many frames will come, where known, and at which nominal rate.

    Raises:
        SourceError: a recorded source is missing, empty or of no known kind.
        ConfigError: no source is set.
    """
    values = config[f"{camera}_camera"]
    uri = str(values.get("source", ""))
    if not uri:
        raise ConfigError(
            f"no source for the {camera} camera; give --source (a folder, video, bag, "
            "v4l2:///dev/video0, scene:demo) or set it in the config"
        )
    most = int(values.get("max_frames", 0)) or None
    if uri.startswith(DEVICES):
        return most, 30.0
    source = open_source(uri, camera=camera, on_bad="skip")
    length, rate_hz = source.length, source.rate_hz
    source.close()
    return (min(length, most) if length and most else length or most), rate_hz


class Pipeline:
    """The stages of one run, linked.

    Args:
        config: of all nodes.
        taps: get each frame with its results, in order, in the worker's thread.

    Attributes:
        total: from the moment a frame is taken to the moment its tracks are out.

    Raises:
        WindhoverError: the bundle, the source or a parameter is wrong.
    """

    def __init__(self, config: Config, taps: list[Tap] | None = None) -> None:
        bringup = config.bringup()
        bundle = Bundle.load(config.model)
        self.camera_name = camera_for(config, bundle)
        section = f"{self.camera_name}_camera"
        self.length, self.rate_hz = check_inputs(config, self.camera_name)
        self.lossless = float(config[section].get("rate", 1.0)) == 0.0
        self.link: Link[Frame] = make_link(self.lossless)
        space = bringup.namespace
        self.camera: CameraNode = CAMERAS[self.camera_name](config[section], space)
        self.camera.outputs.append(self.link)
        self.detector = DetectorNode(config["detector"], space, frames=self.link)
        self.tracker = TrackerNode(config["tracker"], space, linked=True)
        # Where they are, which ROS arguments may have changed.
        self.namespace = str(self.tracker.get_namespace())
        self.overlay = (
            OverlayNode(config["overlay"], space, linked=True) if bringup.overlay else None
        )
        self.monitor: MonitorNode | None = None
        if bringup.monitor:
            watch = [section, "detector", "tracker"]
            self.monitor = MonitorNode({**config["monitor"], "watch": watch}, space)
        self._taps = list(taps or [])
        self.total = LatencyStats()
        self.labels = bundle.labels
        self.bundle = bundle
        self.detector.on_result(self._track)
        self.tracker.on_result(self._hand_on)

    @property
    def nodes(self) -> list[Any]:
        """All nodes, in the order in which they are brought up."""
        nodes: list[Any] = [self.tracker, self.detector, self.camera]
        return [node for node in (self.overlay, *nodes, self.monitor) if node is not None]

    def tap(self, tap: Tap) -> None:
        """Give a stage outside ROS each frame with its results; before :meth:`start`."""
        self._taps.append(tap)

    def start(self) -> None:
        """Bring all nodes up, the last stage first so that no frame is missed.

        Raises:
            WindhoverError: a node can't come up for a reason that a person has
                to mend. A device that is absent is retried instead.
        """
        for node in self.nodes:
            if not node.bring_up() and not self._may_come_later(node):
                raise node.last_error or WindhoverError(f"{node.label} did not come up")

    def finished(self) -> bool:
        """Whether a recorded source has ended and all of it went through."""
        return self.camera.ended.is_set() and self.detector.idle.is_set()

    def wait(self, stop: StopRequest, each: Callable[[], None] = lambda: None) -> None:
        """Wait until the run is over or someone says stop.

        Args:
            stop: ends the wait.
            each: called ten times a second, to show progress.

        Raises:
            WindhoverError: a recorded source can't be read on.
            NewStartError: the monitor could not bring a stage back.
        """
        recorded = not self.camera.params.source.startswith(DEVICES)
        while not self.finished() and not stop.wait(0.1):
            each()
            if recorded and self.camera.last_error is not None:
                # A file that broke off would break off at the same place again.
                raise self.camera.last_error
            if self.monitor is not None and self.monitor.hopeless:
                raise NewStartError(self.monitor.hopeless)
        each()

    def trouble(self) -> str:
        """Why a stage is down now; empty while all are up."""
        down = [node for node in self.nodes if node.state != "active" and node.last_error]
        return f"{down[0].label}: {down[0].last_error}" if down else ""

    def complain_of_lost(self) -> None:
        """Raise if frames could not be read or not be used.

        Raises:
            SourceError: how many, and why the last; all the others went through.
        """
        refused = self.detector.health.counter("frames_refused")
        if refused:
            raise SourceError(f"{refused} frames could not be used; {self.detector.refusal}")
        count = self.camera.health.counter("frames_unreadable")
        if count:
            raise SourceError(
                f"{count} frames could not be read and were left out; {self.camera.unreadable}"
            )

    def close(self) -> None:
        """Stop the stages from the first to the last and destroy the nodes."""
        for node in reversed(self.nodes):
            node.close()

    def _may_come_later(self, node: Any) -> bool:
        return node is self.camera and node.params.source.startswith(DEVICES)

    def _track(self, frame: Frame, detections: Detections) -> None:
        self.tracker.track(frame, detections, self.labels)

    def _hand_on(self, frame: Frame, detections: Detections, tracks: Tracks) -> None:
        self.total.record(time.monotonic_ns() - self.detector.taken_ns)
        if self.overlay is not None:
            self.overlay.offer(frame, detections, tracks, self.labels)
        for tap in self._taps:
            tap(frame, detections, tracks, self.labels)
