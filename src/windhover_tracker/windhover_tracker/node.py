"""The tracker node: ``detections`` in, ``tracks`` out.

Wiring only. It needs no images: association goes by boxes and time, so the
node's cost and its traffic do not grow with the picture.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from vision_msgs.msg import Detection2DArray

from windhover.errors import ConfigError, DataError
from windhover.tracking import make_tracker
from windhover.tracking.base import Tracker
from windhover.tracking.bytetrack import ByteTrackParams
from windhover.types import Detections, Frame, Tracks
from windhover_ros import qos
from windhover_ros.diagnostics import Level
from windhover_ros.lifecycle import StageNode, StageParams
from windhover_ros.messages import LabelTable, read_results, to_detections, write_results
from windhover_ros.params import read_only
from windhover_ros.runner import run_node

Listener = Callable[[Frame, Detections, Tracks], None]


class TrackerParams(StageParams):
    """Parameters of the tracker node."""

    tracker: Literal["bytetrack"] = read_only("bytetrack", description="which tracker")
    deadline_s: float = read_only(
        0.5, ge=0.0, le=60.0, description="longest time between two messages; 0 = none offered"
    )
    # Fixed while it runs: a tracker made anew would hand out old ids again.
    bytetrack: ByteTrackParams = read_only(ByteTrackParams())


class TrackerNode(StageNode[TrackerParams]):
    """Tracks what the detector sees.

    Args:
        overrides: parameter values from a config.
        namespace: ROS namespace.
        linked: the detector is in this process and calls :meth:`track`; nothing
            is subscribed.
    """

    params_model = TrackerParams
    stages = ("convert", "tracking", "publish")

    def __init__(
        self,
        overrides: Mapping[str, Any] | None = None,
        namespace: str = "",
        linked: bool = False,
    ) -> None:
        super().__init__("tracker", overrides, namespace)
        self._tracker: Tracker | None = None
        self._table = LabelTable()
        self._listeners: list[Listener] = []
        self._last_stamp: int | None = None
        self._tracks = self.advertise(
            Detection2DArray, "tracks", qos.result(self.params.deadline_s)
        )
        if not linked:
            # No deadline is asked here: a publisher without one would not match,
            # and nothing would ever arrive. Silence is seen by this stage's age.
            self.listen(Detection2DArray, "detections", self._on_detections, qos.result(), raw=True)

    def on_result(self, listener: Listener) -> None:
        """Hand each frame's results to a stage in this process."""
        self._listeners.append(listener)

    def configure(self) -> None:
        """Make the tracker, unless an earlier one is kept so that ids go on."""
        if self._tracker is None:
            name = self.params.tracker
            self._tracker = make_tracker(name, getattr(self.params, name))
        self.health.set("tracker", self.params.tracker)

    def track(self, frame: Frame, detections: Detections, labels: Sequence[str]) -> None:
        """Track one frame's detections, publish, and hand on."""
        if self.state != "active":
            return
        tracks = self._advance(frame.stamp_ns, frame.frame_id, detections, labels, frame)
        for listener in self._listeners:
            listener(frame, detections, tracks)

    def _on_detections(self, data: bytes) -> None:
        if self.state != "active":
            return
        before = time.monotonic_ns()
        try:
            message = read_results(data)
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
        self._last_stamp = stamp_ns
        before = time.monotonic_ns()
        if self._tracker is None:
            raise ConfigError("the tracker was not configured; configure it first")
        tracks = self._tracker.update(detections, stamp_ns, frame.image if frame else None)
        tracked = time.monotonic_ns()
        self._tracks.publish(write_results(stamp_ns, frame_id, tracks, labels))
        self.health.timings.record("tracking", tracked - before)
        self.health.timings.record("publish", time.monotonic_ns() - tracked)
        self.health.frame(self.get_clock().now().nanoseconds - stamp_ns)
        return tracks


def main() -> int:
    """Run the node as a process of its own."""
    return run_node(TrackerNode)


if __name__ == "__main__":
    raise SystemExit(main())
