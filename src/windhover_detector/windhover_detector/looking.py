"""What the node adds to a second look: who is looked at, at which scale, and what is reported."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from pydantic import Field

from windhover.geometry import Lens
from windhover.model.detector import Detector
from windhover.pairing.drone_state import DroneState
from windhover.second_look.evidence import LookRates
from windhover.second_look.schedule import LookPolicy, LookScheduler
from windhover.second_look.second_pass import CameraPose, SecondPass
from windhover.tracking import make_tracker
from windhover.tracking.base import Tracker
from windhover.types import Detections, Frame, Tracks
from windhover_ros.diagnostics import Health, Level

_PROBLEM_S = 10.0
#: Ratio of a frame's and its lens's aspect from which one is not a resized picture of the other.
_OTHER_VIEW = 1.03


class SecondLookParams(LookPolicy):
    """Parameters of the second look."""

    enabled: bool = Field(
        default=True,
        description="Look twice, where the model has a second graph: at people in chips of the "
        "full frame, for what they carry.",
    )


class SecondLookControl:
    """Serves the second pass of a detector, which one worker runs.

    Where a tracker in this process observes, people are scheduled by its tracks. Alone, the
    detector tracks them for itself: its ids mean nothing to anybody else.

    Args:
        params: of the node.
        health: takes counts and problems.
        drone: altitude and attitude.

    Attributes:
        lens: gives the lens of the frame's camera; ``None`` while it is not known.
        is_tracked: whether a tracker in this process calls :meth:`observe`.
        limits: label of what is carried -> least score of the second look; kept when it is
            closed, and empty where there was none.
    """

    def __init__(self, params: SecondLookParams, health: Health, drone: DroneState) -> None:
        self.lens: Callable[[Frame], Lens | None] = _unknown_lens
        self.is_tracked = False
        self.limits: Mapping[str, float] = {}
        self._params = params
        self._health = health
        self._drone = drone
        self._pass: SecondPass | None = None
        self._scheduler: LookScheduler | None = None
        self._tracker: Tracker | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a second look now."""
        return self._pass is not None

    def open(self, detector: Detector) -> None:
        """Serve a detector that was opened; evidence of an earlier one is kept."""
        second = self._pass = detector.second_pass
        spec = detector.bundle.second_look
        if second is None or spec is None:
            self.limits = {}
            self._report_off(detector)
            return
        if self._scheduler is None:
            rates = LookRates(find=spec.find_rate, false=spec.false_rate)
            self._scheduler = LookScheduler(self._params, rates)
        second.scheduler = self._scheduler
        graph = second.bundle
        scores = zip(graph.labels, graph.thresholds.score_vector(graph.labels), strict=True)
        self.limits = {label: score for label, score in scores if label not in spec.look_at}
        self._health.clear_problem("second_look")
        self._health.set("second_look", "on")

    def prepare(self, frame: Frame) -> None:
        """Set the camera's pose for a frame; without one people's boxes give the scale."""
        if self._pass is None:
            return
        pose, lacks = self._pose(frame)
        self._pass.pose = pose
        self._health.set("chip_scale", f"people's boxes: {lacks}" if lacks else "altitude")

    def finish(self, frame: Frame, detections: Detections) -> None:
        """Report a frame's looks, and track people where nobody else does."""
        second = self._pass
        if second is None:
            return
        looks = second.looks
        self._health.count("looks", len(looks.boxes))
        self._health.count("chips_dropped", looks.dropped)
        if looks.by_boxes:
            self._health.count("altitude_doubted", looks.by_boxes)
            text = "people are giants or dwarfs at this altitude: their boxes give chips the scale"
            self._health.problem("chip_scale", Level.WARN, text, for_s=_PROBLEM_S)
        if looks.problem:
            self._health.set("second_look", f"failed: {looks.problem}")
            text = f"the second look failed, the first stands alone: {looks.problem}"
            self._health.problem("second_look", Level.WARN, text, for_s=_PROBLEM_S)
        else:
            self._health.set("second_look", "on")
            self._health.clear_problem("second_look")
        if not self.is_tracked:
            people = detections[np.isin(detections.class_ids, second.people)]
            if self._tracker is None:
                self._tracker = make_tracker()
            self.observe(self._tracker.update(people, frame.stamp_ns), frame.stamp_ns)

    def observe(self, tracks: Tracks, stamp_ns: int) -> None:
        """Give the looks of a frame to its tracks."""
        if self._pass is not None and self._scheduler is not None:
            self._scheduler.observe(tracks, self._pass.people, stamp_ns)

    def probabilities(self, stamp_ns: int) -> Mapping[int, float]:
        """Probability that each track's person carries something, by track id."""
        return {} if self._scheduler is None else self._scheduler.probabilities(stamp_ns)

    def _pose(self, frame: Frame) -> tuple[CameraPose | None, str]:
        """The camera's pose, or what it lacks."""
        altitude_m = self._drone.altitude_m
        if altitude_m is None:
            return None, "altitude unknown"
        if not self._drone.attitude_known:
            return None, "attitude unknown"
        lens = self.lens(frame)
        if lens is None:
            return None, "lens unknown"
        aspects = sorted((lens.width / lens.height, frame.width / frame.height))
        if aspects[1] > _OTHER_VIEW * aspects[0]:
            size = f"{frame.width}x{frame.height}"
            return None, f"the lens is of {lens.width}x{lens.height}, the frame of {size}"
        return CameraPose(lens, altitude_m, self._drone.pose().down), ""

    def _report_off(self, detector: Detector) -> None:
        name, reason = detector.bundle.name, detector.second_look_problem
        if reason:
            text = f"{name} looks once only: {reason}"
            self._health.problem("second_look", Level.WARN, text)
        elif detector.bundle.second_look is None:
            reason = f"{name} has no second graph"
        else:
            reason = "second_look.enabled is false"
        self._health.set("second_look", f"off: {reason}")


def _unknown_lens(_frame: Frame) -> Lens | None:
    return None
