"""The detector's second pass: who is looked at, where, and what that adds to the first."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from windhover.boxes import iou_matrix
from windhover.errors import BackendError, EncodingError
from windhover.geometry import Floats, Lens
from windhover.model.manifest import SecondLookSpec
from windhover.model.nms import nms
from windhover.second_look.chips import ENCODINGS, chip_spans, chip_spans_from_boxes
from windhover.second_look.runner import Carried, SecondLook
from windhover.second_look.schedule import Choice, FrameView, LookScheduler
from windhover.types import BoxArray, Detections, Frame, FullFrame


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
        dropped: people that were due for a look and were left out.
        by_boxes: chips that people's boxes gave the scale although there was a pose: it made
            those people giants or dwarfs.
        problem: why the second pass did not run; "" where it did.
    """

    boxes: BoxArray = field(default_factory=lambda: np.empty((0, 4), np.float32))
    found: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))
    dropped: int = 0
    by_boxes: int = 0
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
        #: The second graph's.
        self.bundle = second.bundle
        self._spec = spec
        #: Class ids of those that are looked at.
        self.people = np.array([labels.index(label) for label in spec.look_at], np.int32)
        self._iou = iou
        self._max_detections = max_detections
        #: Chooses whom to look at; everybody where it is ``None``, as for single pictures.
        self.scheduler: LookScheduler | None = None
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
        # The rows of a reduced frame are even, so that both axes may differ a little.
        scale = np.array([full.width / frame.width, full.height / frame.height])
        view = FrameView(
            (frame.width, frame.height),
            float(np.sqrt(scale.prod())),
            frame.stamp_ns,
            self._second.batch,
            self._second.batch_ns / 1e6,
        )
        people = first.boxes[np.isin(first.class_ids, self.people)]
        choice = self._choose(people, view)
        boxes = people[choice.rows]
        # The scale is that of everybody in the frame, whoever of them is looked at.
        spans, is_doubted = self._spans(people, view)
        spans = spans[choice.rows] * view.scale
        centers = (boxes[:, :2] + boxes[:, 2:]).astype(np.float64) / 2 * scale
        try:
            carried = self._second.look(full, centers, spans)
        except (BackendError, EncodingError) as error:
            self.looks = Looks(dropped=choice.dropped, problem=str(error))
            return first
        # The second graph may know people too; the first look has found them.
        carried = carried[~np.isin(carried.class_ids, self.people)]
        found = np.zeros(len(boxes), bool)
        found[carried.person_rows] = True
        self.looks = Looks(boxes, found, choice.dropped, int(is_doubted[choice.rows].sum()))
        if self.scheduler is not None:
            self.scheduler.looked(boxes, found)
        return self._merged(first, carried, boxes, scale)

    @property
    def longest_ms(self) -> float:
        """Time that the most scheduled looks of a frame take, by the last batch, milliseconds."""
        chips = 0 if self.scheduler is None else self.scheduler.policy.max_chips
        return -(-chips // self._second.batch) * self._second.batch_ns / 1e6

    def use_limits(self, iou: float, max_detections: int) -> None:
        """Merge both looks' objects by other limits from the next frame on."""
        self._iou, self._max_detections = iou, max_detections

    def close(self) -> None:
        """Release the backend; calling it twice is fine."""
        self._second.close()

    def _choose(self, boxes: BoxArray, view: FrameView) -> Choice:
        if self.scheduler is not None:
            return self.scheduler.choose(boxes, view)
        return Choice(np.arange(len(boxes)))

    def _spans(self, boxes: BoxArray, view: FrameView) -> tuple[Floats, NDArray[np.bool_]]:
        """Sides of people's chips, pixels of the detector's frame, and whose pose is doubted."""
        from_boxes = chip_spans_from_boxes(boxes, self._spec.span_m)
        if self.pose is None:
            return from_boxes, np.zeros(len(boxes), bool)
        lens = self.pose.lens.scaled(*view.size)
        spans = chip_spans(boxes, lens, self.pose.altitude_m, self.pose.down, self._spec.span_m)
        # An altitude that makes a person a giant or a dwarf is not believed.
        ratio = spans / from_boxes
        believed = np.isfinite(ratio) & (ratio > 1 / _BELIEVED) & (ratio < _BELIEVED)
        return np.asarray(np.where(believed, spans, from_boxes), np.float64), ~believed

    def _merged(
        self, first: Detections, carried: Carried, people: BoxArray, scale: Floats
    ) -> Detections:
        if not len(carried):
            return first
        nobody = np.full((len(first), 4), np.nan, np.float32)
        found = np.asarray(carried.boxes / np.tile(scale, 2), np.float32)
        boxes = np.concatenate((first.boxes, found))
        scores = np.concatenate((first.scores, carried.scores))
        class_ids = np.concatenate((first.class_ids, carried.class_ids))
        carriers = np.concatenate((nobody, people[carried.person_rows]))
        # What both looks found is where the one that saw more pixels has it.
        same = iou_matrix(first.boxes, found) >= _SAME_OBJECT_IOU
        same &= first.class_ids[:, None] == carried.class_ids
        fresh = np.concatenate((~same.any(axis=1), np.ones(len(found), bool)))
        boxes, scores, class_ids, carriers = (
            column[fresh] for column in (boxes, scores, class_ids, carriers)
        )
        keep = nms(boxes, scores, class_ids, self._iou, self._max_detections)
        return Detections(boxes, scores, class_ids, carriers, first.labels)[keep]


#: Overlap from which a thing found by the first look is one found by the second: boxes of a
#: few pixels agree no better.
_SAME_OBJECT_IOU = 0.2

#: Ratio of the scales by altitude and by the person's box up to which the altitude counts.
_BELIEVED = 3.0


def _image_as_full(frame: Frame) -> FullFrame | None:
    if frame.encoding not in ENCODINGS or frame.image.dtype != np.uint8:
        return None
    return FullFrame(np.asarray(frame.image, np.uint8), frame.encoding)
