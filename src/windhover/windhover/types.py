"""The values that pass between stages: columns of arrays, never lists of objects.

Coordinates: boxes are ``x1, y1, x2, y2`` in pixels of the *source* image, with
the origin at the outer corner of the top-left pixel, sub-pixel and unclipped
unless a docstring has it otherwise. Times are integer nanoseconds of ROS time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

BoxArray = NDArray[np.float32]
Image = NDArray[np.uint8] | NDArray[np.uint16]

#: What the relation of a carried object is called in messages: ``carried_by:<track id>``.
RELATION = "carried_by"

#: What the result of a person is called in messages that says how likely it carries a weapon.
ARMED = "armed"


def _rows(image: Image, encoding: str) -> int:
    """Rows of a picture; NV12 has half as many rows of chroma below them."""
    rows = int(image.shape[0])
    return rows * 2 // 3 if encoding == "nv12" else rows


@dataclass(frozen=True, slots=True)
class FullFrame:
    """The camera's own full-resolution picture, as it came.

    Attributes:
        image: ``(H, W, 3)`` or ``(H, W, 4)`` uint8, or ``(1.5 H, W)`` uint8 for ``nv12``: all
            rows of Y, then half as many of interleaved U and V.
        encoding: ``bgr8``, ``rgb8``, ``8UC4`` or ``nv12``.
    """

    image: NDArray[np.uint8]
    encoding: str

    @property
    def height(self) -> int:
        """Rows of the picture."""
        return _rows(self.image, self.encoding)

    @property
    def width(self) -> int:
        """Columns of the picture."""
        return int(self.image.shape[1])


@dataclass(frozen=True, slots=True)
class Frame:
    """One image and when it was taken.

    Attributes:
        image: ``(H, W)`` or ``(H, W, C)``, uint8 or uint16, native byte order.
        encoding: ROS name of the pixel format of ``image`` as it is held here:
            ``bgr8``, ``rgb8``, ``mono8``, ``mono16`` (raw Y16 counts) or
            ``8UC4`` (B, G, R, T registered). Between a source that was asked to keep it and
            its camera node also ``nv12``, as in :class:`FullFrame`.
        stamp_ns: capture time, nanoseconds of ROS time.
        frame_id: tf frame of the camera.
        index: count of frames from the source, 0 for its first.
        full: the same view at the camera's full resolution, where ``image`` was reduced;
            ``None`` where ``image`` is all there is.
    """

    image: Image
    encoding: str
    stamp_ns: int
    frame_id: str = "camera"
    index: int = 0
    full: FullFrame | None = None

    def without_full(self) -> Frame:
        """The frame alone, for whoever keeps it: a full one holds tens of megabytes."""
        return self if self.full is None else replace(self, full=None)

    @property
    def height(self) -> int:
        """Rows of the image."""
        return _rows(self.image, self.encoding)

    @property
    def width(self) -> int:
        """Columns of the image."""
        return int(self.image.shape[1])


@dataclass(frozen=True, slots=True)
class RgbtFrame:
    """An RGB frame and the thermal frame that belongs to it, if there is one.

    Attributes:
        rgb: the frame whose stamp and grid the pair takes.
        thermal: nearest thermal frame in time; ``None`` while that stream is stale.
    """

    rgb: Frame
    thermal: Frame | None


def _no_boxes() -> BoxArray:
    return np.empty((0, 4), np.float32)


def class_name(class_id: int, labels: Sequence[str]) -> str:
    """Name of a class, ``class 7`` where the labels have no such entry."""
    return labels[class_id] if 0 <= class_id < len(labels) else f"class {class_id}"


@dataclass(frozen=True, slots=True)
class Detections:
    """What a detector saw in one frame, as ``N`` rows of columns.

    Attributes:
        boxes: ``(N, 4)`` float32, ``x1, y1, x2, y2``, source pixels.
        scores: ``(N,)`` float32 in 0..1, highest first.
        class_ids: ``(N,)`` int32, indices into the bundle's labels.
        carriers: ``(N, 4)`` float32, box of the person that carries each object, NaN where
            there is none or it is not known; ``None`` where nothing is linked.
        labels: class names that ``class_ids`` index; empty where they are not known.
    """

    boxes: BoxArray = field(default_factory=_no_boxes)
    scores: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    class_ids: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    carriers: BoxArray | None = None
    labels: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Detections:
        """Select rows by mask, indices or slice."""
        carriers = None if self.carriers is None else self.carriers[rows]
        return Detections(
            self.boxes[rows], self.scores[rows], self.class_ids[rows], carriers, self.labels
        )

    @property
    def names(self) -> list[str]:
        """The class name of each row."""
        return [class_name(class_id, self.labels) for class_id in self.class_ids.tolist()]

    def to_dict(self) -> list[dict[str, Any]]:
        """One dictionary for each object, of plain values that JSON can hold.

        Returns:
            ``name``, ``class_id``, ``score`` and ``box`` (``[x1, y1, x2, y2]``, source
            pixels) of each; ``pandas.DataFrame`` takes the list as it is.
        """
        return _records(self)


def _no_ids() -> NDArray[np.int64]:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class Tracks:
    """The tracks that are visible in one frame, as ``N`` rows of columns.

    Attributes:
        boxes: ``(N, 4)`` float32, ``x1, y1, x2, y2``, source pixels.
        scores: ``(N,)`` float32, score of the detection last matched.
        class_ids: ``(N,)`` int32, indices into the bundle's labels.
        track_ids: ``(N,)`` int64, positive, unique in a run, never used again.
        carrier_ids: ``(N,)`` int64, track id of the person that carries this object,
            0 for none; left out where nothing is linked.
        carrier_scores: ``(N,)`` float32 in 0..1, share of what was seen of a carried
            object that speaks for its carrier; 0 where there is none.
        labels: class names that ``class_ids`` index; empty where they are not known.
        armed: ``(N,)`` float32 in 0..1, probability that this person carries a weapon, by the
            looks at it so far; NaN where that is not known or not to be reported. Left out
            where nothing is.
    """

    boxes: BoxArray = field(default_factory=_no_boxes)
    scores: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    class_ids: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    track_ids: NDArray[np.int64] = field(default_factory=_no_ids)
    carrier_ids: NDArray[np.int64] = field(default_factory=_no_ids)
    carrier_scores: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    labels: tuple[str, ...] = ()
    armed: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))

    def __post_init__(self) -> None:
        """Fill in the relations that were left out."""
        if len(self.armed) != len(self.scores):
            object.__setattr__(self, "armed", np.full(len(self.scores), np.nan, np.float32))
        if len(self.carrier_ids) != len(self.scores):
            object.__setattr__(self, "carrier_ids", np.zeros(len(self.scores), np.int64))
            object.__setattr__(self, "carrier_scores", np.zeros(len(self.scores), np.float32))

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Tracks:
        """Select rows by mask, indices or slice."""
        return Tracks(
            self.boxes[rows],
            self.scores[rows],
            self.class_ids[rows],
            self.track_ids[rows],
            self.carrier_ids[rows],
            self.carrier_scores[rows],
            self.labels,
            self.armed[rows],
        )

    @property
    def names(self) -> list[str]:
        """The class name of each row."""
        return [class_name(class_id, self.labels) for class_id in self.class_ids.tolist()]

    def to_dict(self) -> list[dict[str, Any]]:
        """One dictionary for each track, of plain values that JSON can hold.

        Returns:
            What :meth:`Detections.to_dict` gives, with ``track_id`` and ``carried_by``: the
            track id of the person that carries the object, ``None`` where there is none.
        """
        rows = zip(_records(self), self.track_ids.tolist(), self.carrier_ids.tolist(), strict=True)
        return [
            {"track_id": track_id, **record, "carried_by": carrier or None}
            for record, track_id, carrier in rows
        ]


def _records(results: Detections | Tracks) -> list[dict[str, Any]]:
    columns = zip(
        results.names,
        results.class_ids.tolist(),
        results.scores.tolist(),
        results.boxes.tolist(),
        strict=True,
    )
    return [
        {"name": name, "class_id": class_id, "score": score, "box": box}
        for name, class_id, score, box in columns
    ]
