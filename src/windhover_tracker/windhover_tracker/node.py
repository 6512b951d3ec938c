"""The tracker node: ``detections`` in, ``tracks`` out.

Wiring only. It subscribes to no images, so that its traffic does not grow with the
image size: in one process with the detector it gets the frame and measures the
camera's motion on it; in its own process it uses the attitude's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import create_model
from sensor_msgs.msg import CameraInfo
from vision_msgs.msg import Detection2DArray

from windhover.boxes import clip_results
from windhover.errors import CalibrationError, ConfigError, DataError
from windhover.geometry import Lens, Quaternion
from windhover.second_look.evidence import with_armed
from windhover.second_look.schedule import TrackObserver
from windhover.tracking import TRACKERS, make_tracker
from windhover.tracking.attitude import AttitudeHistory
from windhover.tracking.base import Tracker
from windhover.tracking.carriers import CarrierLinks, CarrierParams
from windhover.types import Detections, Frame, Tracks
from windhover_ros import qos, topics
from windhover_ros.diagnostics import Level
from windhover_ros.drone import AttitudeParams, listen_to_attitude
from windhover_ros.lenses import lens_of
from windhover_ros.lifecycle import StageNode, StageParams
from windhover_ros.messages import LabelTable, deserialize_results, serialize_results, to_detections
from windhover_ros.params import read_only
from windhover_ros.runner import run_node

_log = logging.getLogger(__name__)

if TYPE_CHECKING:
    TrackerName = str
else:
    TrackerName = Literal[tuple(TRACKERS)]


class TrackerParams(AttitudeParams, StageParams):
    """Parameters of the tracker node."""

    tracker: TrackerName = read_only("bytetrack", description="which tracker")
    deadline_s: float = read_only(
        0.5, ge=0.0, le=60.0, description="longest time between two messages; 0 = none offered"
    )
    clip_boxes: bool = read_only(
        False,
        description="clip the boxes of the topic to the image and leave out those outside; only "
        "in one process with the detector, where the image's size is known",
    )
    camera_info_topic: str = read_only(
        "",
        description="sensor_msgs/CameraInfo of the detector's camera, calibrated: with it the "
        "attitude gives the image's motion, where there is no image to measure it on; empty = "
        "off",
    )
    carriers: CarrierParams = read_only(CarrierParams())
    report_armed: bool = read_only(
        False,
        description="give each person that was looked at twice a second result 'armed' with the "
        "probability, in one process with a detector that looks twice",
    )


def with_trackers(base: type[TrackerParams]) -> type[TrackerParams]:
    """The node's parameters with a section for each tracker that is installed.

    A tracker of another package that cannot be imported is left out with a warning.
    """
    sections: dict[str, Any] = {}
    for name in TRACKERS:
        try:
            params = TRACKERS[name].params
        except ConfigError as error:
            _log.warning("%s", error)
            continue
        # Fixed while the node runs: a new tracker would hand out old ids again.
        sections[name] = (params, read_only(params()))
    return create_model("TrackerParams", __base__=base, **sections)


class TrackerNode(StageNode[TrackerParams]):
    """Tracks what the detector sees.

    Args:
        overrides: parameter values from a config.
        namespace: ROS namespace.
        linked: the detector is in this process and calls :meth:`track`; nothing
            is subscribed.
        looks: of the detector in this process, which schedules people by these tracks.
    """

    params_model = with_trackers(TrackerParams)
    stages = ("convert", "tracking", "publish")

    def __init__(
        self,
        overrides: Mapping[str, Any] | None = None,
        namespace: str = "",
        linked: bool = False,
        looks: TrackObserver | None = None,
    ) -> None:
        super().__init__("tracker", overrides, namespace)
        self._looks = looks
        if self.params.report_armed and looks is None:
            self.health.problem(
                "armed",
                Level.WARN,
                "report_armed has no effect: it needs the detector in the same process",
            )
        self._tracker: Tracker | None = None
        self._table = LabelTable()
        self._last_stamp: int | None = None
        self._carriers = CarrierLinks(self.params.carriers)
        self._attitudes = AttitudeHistory(self.params.camera_pitch_deg)
        self._lens: Lens | None = None
        if self.params.camera_info_topic and self.params.attitude_topic:
            self.listen(CameraInfo, self.params.camera_info_topic, self._on_camera, qos.image())
            listen_to_attitude(self, self.params, self._on_attitude)
        self._tracks = self.advertise(
            Detection2DArray, topics.TRACKS, qos.result(self.params.deadline_s)
        )
        self._linked = linked
        if not linked:
            # No deadline is asked here: a publisher without one would not match,
            # and nothing would ever arrive. Silence is seen by this stage's age.
            self.listen(
                Detection2DArray, topics.DETECTIONS, self._on_detections, qos.result(), raw=True
            )

    def configure(self) -> None:
        """Make the tracker, unless an earlier one is kept so that ids go on."""
        if self.params.clip_boxes and not self._linked:
            raise ConfigError(
                "clip_boxes needs the image's size: run the tracker in one process with the "
                "detector, or clip in the subscriber"
            )
        if self._tracker is None:
            name = self.params.tracker
            self._tracker = make_tracker(name, getattr(self.params, name))
        self.health.set("tracker", self.params.tracker)

    def track(self, frame: Frame, detections: Detections, labels: Sequence[str]) -> Tracks | None:
        """Track one frame's detections and publish; ``None`` while the stage is not active."""
        if self.state != "active":
            return None
        return self._advance(frame.stamp_ns, frame.frame_id, detections, labels, frame)

    def _on_camera(self, message: CameraInfo) -> None:
        try:
            self._lens = lens_of(message)
        except CalibrationError as error:
            self._lens = None
            self.health.problem("camera_info", Level.WARN, str(error), for_s=10.0)

    def _on_attitude(self, stamp_ns: int, quaternion: Quaternion) -> None:
        if not self._attitudes.add(stamp_ns, quaternion):
            self.health.count("attitudes_refused")

    def _turn(self, stamp_ns: int) -> NDArray[np.float64] | None:
        """How the image moved since the last frame because the camera turned."""
        if self._lens is None or self._last_stamp is None:
            return None
        return self._attitudes.motion(self._last_stamp, stamp_ns, self._lens)

    def _on_detections(self, data: bytes) -> None:
        if self.state != "active":
            return
        before = time.monotonic_ns()
        try:
            message = deserialize_results(data)
            detections = to_detections(message, self._table)
        except DataError as error:
            self.health.count("messages_refused")
            self.health.problem("message", Level.ERROR, f"detections: {error}", for_s=10.0)
            return
        self.health.timings.record("convert", time.monotonic_ns() - before)
        self._advance(
            message.stamp_ns, message.frame_id, detections, self._table.labels, frame=None
        )

    def _advance(
        self,
        stamp_ns: int,
        frame_id: str,
        detections: Detections,
        labels: Sequence[str],
        frame: Frame | None,
    ) -> Tracks:
        if self._last_stamp is not None and stamp_ns <= self._last_stamp:
            self.health.count("stamps_backwards")
            self.health.problem(
                "stamp",
                Level.WARN,
                f"stamps of detections go backwards ({self._last_stamp} then {stamp_ns} ns)",
                for_s=10.0,
            )
        turn = self._turn(stamp_ns)
        self._last_stamp = stamp_ns
        before = time.monotonic_ns()
        if self._tracker is None:
            raise ConfigError("the tracker was not configured; configure it first")
        tracks = self._tracker.update(detections, stamp_ns, frame.image if frame else None, turn)
        tracks = self._carriers.update(tracks, labels, stamp_ns, detections)
        if self._looks is not None:
            self._looks.observe(tracks, stamp_ns)
            if self.params.report_armed:
                tracks = with_armed(tracks, self._looks.probabilities(stamp_ns))
        tracked = time.monotonic_ns()
        shown = tracks
        if self.params.clip_boxes and frame is not None:
            shown = clip_results(tracks, frame.width, frame.height)
        self._tracks.publish(serialize_results(stamp_ns, frame_id, shown, labels))
        self.health.timings.record("tracking", tracked - before)
        self.health.timings.record("publish", time.monotonic_ns() - tracked)
        self.health.frame(self.get_clock().now().nanoseconds - stamp_ns)
        return tracks


def main() -> int:
    """Run the node in its own process."""
    return run_node(TrackerNode)


if __name__ == "__main__":
    raise SystemExit(main())
