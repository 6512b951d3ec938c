"""The detector's second pass: who is looked at, where, and what that adds to the first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from windhover.errors import BackendError, EncodingError
from windhover.geometry import Floats, Lens
from windhover.model.manifest import SecondLookSpec
from windhover.model.nms import nms
from windhover.second_look.chips import ENCODINGS, chip_spans, chip_spans_from_boxes
from windhover.second_look.runner import Carried, SecondLook
from windhover.types import BoxArray, Detections, Frame, FullFrame

#: Chips of one frame where nothing else chooses.
MAX_CHIPS = 8

Chooser = Callable[[BoxArray, "FrameView"], NDArray[np.intp]]
"""From people's boxes in the frame and the frame's view to the rows that are looked at."""


@dataclass(frozen=True, slots=True)
class FrameView:
    """How the frame was seen.

    Attributes:
        size: ``(width, height)`` of the detector's frame, pixels.
        scale: pixels of the full frame to one of it.
        stamp_ns: of the frame.
        chip_ms: time that one look took last, milliseconds; 0 = not known yet.
    """

    size: tuple[int, int]
    scale: float
    stamp_ns: int
    chip_ms: float


@dataclass(frozen=True, slots=True)
class CameraPose:
    """What gives chips their metric scale.

    Attributes:
        lens: of the camera, on any grid of its view.
        altitude_m: above ground, metres.
        down: ``(3,)`` unit vector straight down in the camera's optical frame.
    """

    lens: Lens
    altitude_m: float
    down: Floats


@dataclass(frozen=True, slots=True)
class Looks:
    """The looks of one frame.

    Attributes:
        boxes: ``(N, 4)`` of the people looked at, pixels of the detector's frame.
        found: ``(N,)`` whether something was found in each chip.
        problem: why the second pass did not run; "" where it did.
    """

    boxes: BoxArray = field(default_factory=lambda: np.empty((0, 4), np.float32))
    found: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))
    problem: str = ""


class SecondPass:
    """Adds what people carry to a frame's detections.

    Its failure leaves the first look's result as it is; :attr:`looks` says why.

    Args:
        second: the second graph, open.
        spec: what the bundle declares of it.
        labels: of the first look.
        iou: of the first look's NMS, with which both looks' objects are merged.
        max_detections: likewise.
    """

    def __init__(
        self,
        second: SecondLook,
        spec: SecondLookSpec,
        labels: tuple[str, ...],
        iou: float,
        max_detections: int,
    ) -> None:
        self._second = second
        self._spec = spec
        self._people = np.array([labels.index(label) for label in spec.look_at], np.int32)
        self._iou = iou
        self._max_detections = max_detections
        #: Chooses whom to look at; the most certain people where it is ``None``.
        self.chooser: Chooser | None = None
        #: Altitude and attitude of the camera; the people's boxes give the scale where ``None``.
        self.pose: CameraPose | None = None
        #: Of the last frame.
        self.looks = Looks()

    def add_to(self, frame: Frame, first: Detections) -> Detections:
        """Both looks' detections of a frame, in its pixels, best score first.

        Args:
            frame: chips are cut from ``frame.full``, or from its image where there is none.
            first: of the first look.
        """
        full = frame.full or _image_as_full(frame)
        if full is None:
            self.looks = Looks(problem=f"chips cannot be cut from {frame.encoding} frames")
            return first
        scale = full.width / frame.width
        people = np.flatnonzero(np.isin(first.class_ids, self._people))
        view = FrameView(
            (frame.width, frame.height), scale, frame.stamp_ns, self._second.chip_ns / 1e6
        )
        boxes = first.boxes[people]
        rows = self.chooser(boxes, view) if self.chooser else np.arange(len(boxes))[:MAX_CHIPS]
        boxes = boxes[rows]
        spans = self._spans(boxes, view) * scale
        centers = (boxes[:, :2] + boxes[:, 2:]).astype(np.float64) / 2 * scale
        try:
            carried = self._second.look(full, centers, spans)
        except (BackendError, EncodingError) as error:
            self.looks = Looks(problem=str(error))
            return first
        # The second graph may know people too; the first look has found them.
        carried = carried[~np.isin(carried.class_ids, self._people)]
        found = np.zeros(len(boxes), bool)
        found[carried.person_rows] = True
        self.looks = Looks(boxes, found)
        return self._merged(first, carried, boxes, scale)

    def close(self) -> None:
        """Release the backend; calling it twice is fine."""
        self._second.close()

    def _spans(self, boxes: BoxArray, view: FrameView) -> Floats:
        """Sides of the chips, pixels of the detector's frame."""
        from_boxes = chip_spans_from_boxes(boxes, self._spec.span_m)
        if self.pose is None:
            return from_boxes
        lens = self.pose.lens.scaled(*view.size)
        spans = chip_spans(boxes, lens, self.pose.altitude_m, self.pose.down, self._spec.span_m)
        # An altitude that makes a person a giant or a dwarf is not believed.
        ratio = spans / from_boxes
        believed = np.isfinite(ratio) & (ratio > 1 / _BELIEVED) & (ratio < _BELIEVED)
        return np.asarray(np.where(believed, spans, from_boxes), np.float64)

    def _merged(
        self, first: Detections, carried: Carried, people: BoxArray, scale: float
    ) -> Detections:
        if not len(carried):
            return first
        nobody = np.full((len(first), 4), np.nan, np.float32)
        boxes = np.concatenate((first.boxes, carried.boxes / np.float32(scale)))
        scores = np.concatenate((first.scores, carried.scores))
        class_ids = np.concatenate((first.class_ids, carried.class_ids))
        carriers = np.concatenate((nobody, people[carried.person_rows]))
        keep = nms(boxes, scores, class_ids, self._iou, self._max_detections)
        return Detections(boxes, scores, class_ids, carriers, first.labels)[keep]


#: Ratio of the scales by altitude and by the person's box up to which the altitude counts.
_BELIEVED = 3.0


def _image_as_full(frame: Frame) -> FullFrame | None:
    if frame.encoding not in ENCODINGS or frame.image.dtype != np.uint8:
        return None
    return FullFrame(np.asarray(frame.image, np.uint8), frame.encoding)
