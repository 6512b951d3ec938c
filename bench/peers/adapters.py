"""Other projects' trackers behind our interface.

Each takes the same detections in the same order and returns boxes, ids and classes of
the frame. Score thresholds are ours, because they depend on the detector only, and
lost tracks are kept for three seconds at the sequence's rate, as ours are; all other
settings are their defaults. Ours were chosen on the tuning flights, which the table
leaves out.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from windhover.tracking import make_tracker
from windhover.types import Detections, Tracks

HIGH_SCORE, LOW_SCORE, NEW_SCORE = 0.25, 0.1, 0.25
LOST_SECONDS = 3.0

Bgr = NDArray[np.uint8]


class TrackerUnderTest(Protocol):
    """A tracker under test."""

    def update(self, rows: Detections, _stamp_ns: int, image: Bgr) -> Tracks:
        """Take in one frame."""
        ...


@dataclass(frozen=True, slots=True)
class Peer:
    """A tracker that can be compared.

    Attributes:
        name: in the table.
        make: builds it for a rate in frames a second, with settings over its defaults.
        package: that it comes from, for the version.
    """

    name: str
    make: Callable[..., TrackerUnderTest]
    package: str

    @property
    def title(self) -> str:
        """Name with the version."""
        return f"{self.name} ({self.package} {importlib.metadata.version(self.package)})"

    def build(self, rate_hz: float, **settings: Any) -> TrackerUnderTest:
        """Make a new one."""
        return self.make(rate_hz, **settings)


class _Ours:
    def __init__(self, _rate_hz: float, **settings: Any) -> None:
        self._tracker = make_tracker(params=settings)

    def update(self, rows: Detections, stamp_ns: int, image: Bgr) -> Tracks:
        return self._tracker.update(rows, stamp_ns, image)


class UltralyticsRows:
    """The part of Ultralytics' ``Boxes`` that its trackers read, without torch tensors."""

    def __init__(self, rows: Detections) -> None:
        self._rows = rows
        self.conf = rows.scores
        self.cls = rows.class_ids.astype(np.float32)
        self.xyxy = rows.boxes
        sides = rows.boxes[:, 2:] - rows.boxes[:, :2]
        self.xywh = np.concatenate((rows.boxes[:, :2] + sides / 2, sides), axis=1)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: NDArray[np.bool_]) -> UltralyticsRows:
        return UltralyticsRows(self._rows[rows])


class _Ultralytics:
    def __init__(self, kind: str, rate_hz: float, **settings: Any) -> None:
        from ultralytics.trackers import BOTSORT, BYTETracker
        from ultralytics.utils import YAML
        from ultralytics.utils.checks import check_yaml

        chosen = {
            **YAML.load(check_yaml(f"{kind}.yaml")),
            "track_high_thresh": HIGH_SCORE,
            "track_low_thresh": LOW_SCORE,
            "new_track_thresh": NEW_SCORE,
            "track_buffer": round(LOST_SECONDS * rate_hz),
            **settings,
        }
        make = BOTSORT if kind == "botsort" else BYTETracker
        self._tracker = make(SimpleNamespace(**chosen))

    def update(self, rows: Detections, _stamp_ns: int, image: Bgr) -> Tracks:
        found = np.asarray(self._tracker.update(UltralyticsRows(rows), image)).reshape(-1, 8)
        return Tracks(
            found[:, :4].astype(np.float32),
            found[:, 5].astype(np.float32),
            found[:, 6].astype(np.int32),
            found[:, 4].astype(np.int64),
        )


class _Roboflow:
    def __init__(self, kind: str, rate_hz: float, **settings: Any) -> None:
        import trackers

        chosen: dict[str, Any] = {
            # Its buffer counts frames at 30 Hz, whatever the rate is.
            "lost_track_buffer": round(LOST_SECONDS * 30),
            "frame_rate": rate_hz,
            "high_conf_det_threshold": HIGH_SCORE,
        }
        if kind != "OCSORT":
            chosen["track_activation_threshold"] = NEW_SCORE
        self._tracker = getattr(trackers, f"{kind}Tracker")(**{**chosen, **settings})

    def update(self, rows: Detections, _stamp_ns: int, image: Bgr) -> Tracks:
        import supervision

        found = self._tracker.update(
            supervision.Detections(rows.boxes, None, rows.scores, rows.class_ids), image
        )
        ids = np.asarray(found.tracker_id, np.int64)
        known = ids >= 0
        return Tracks(
            np.asarray(found.xyxy, np.float32)[known],
            np.asarray(found.confidence, np.float32)[known],
            np.asarray(found.class_id, np.int32)[known],
            ids[known] + 1,
        )


class _Norfair:
    def __init__(self, rate_hz: float, threshold: float = 0.8, delay_s: float = 0.1) -> None:
        from norfair import Tracker
        from norfair.camera_motion import HomographyTransformationGetter, MotionEstimator

        self._motion = MotionEstimator(transformations_getter=HomographyTransformationGetter())
        self._tracker = Tracker(
            distance_function="iou",
            distance_threshold=threshold,
            hit_counter_max=round(LOST_SECONDS * rate_hz),
            initialization_delay=round(delay_s * rate_hz),
        )

    def update(self, rows: Detections, _stamp_ns: int, image: Bgr) -> Tracks:
        from norfair import Detection

        sure = rows[rows.scores >= HIGH_SCORE]
        given = [
            Detection(
                box.reshape(2, 2).astype(np.float64), np.full(2, score), data=index, label=label
            )
            for index, (box, score, label) in enumerate(
                zip(sure.boxes, sure.scores, sure.class_ids.tolist(), strict=True)
            )
        ]
        mask = np.ones(image.shape[:2], np.uint8)
        for x1, y1, x2, y2 in np.clip(sure.boxes, 0, None).astype(int).tolist():
            mask[y1:y2, x1:x2] = 0
        found = self._tracker.update(given, coord_transformations=self._motion.update(image, mask))
        # Predicted tracks are left out, as the other trackers do.
        now = [each for each in found if any(each.last_detection is one for one in given)]
        picked = np.array([each.last_detection.data for each in now], np.intp)
        boxes = np.array([each.last_detection.points.ravel() for each in now], np.float32)
        return Tracks(
            boxes.reshape(-1, 4),
            sure.scores[picked],
            sure.class_ids[picked],
            np.array([each.global_id for each in now], np.int64),
        )


OURS = Peer("Windhover", _Ours, "windhover")
OURS_WITHOUT_MOTION = Peer(
    "Windhover without camera motion",
    lambda *a, **k: _Ours(*a, **{"camera_motion": False, **k}),
    "windhover",
)

PEERS = (
    Peer(
        "Ultralytics ByteTrack", lambda *a, **k: _Ultralytics("bytetrack", *a, **k), "ultralytics"
    ),
    Peer("Ultralytics BoT-SORT", lambda *a, **k: _Ultralytics("botsort", *a, **k), "ultralytics"),
    Peer("Roboflow ByteTrack", lambda *a, **k: _Roboflow("ByteTrack", *a, **k), "trackers"),
    Peer("Roboflow OC-SORT", lambda *a, **k: _Roboflow("OCSORT", *a, **k), "trackers"),
    Peer("Roboflow BoT-SORT", lambda *a, **k: _Roboflow("BoTSORT", *a, **k), "trackers"),
    Peer("norfair", _Norfair, "norfair"),
)
