"""Runs the second graph on chips and maps what it finds back to the full frame."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windhover.errors import BundleError
from windhover.geometry import Floats
from windhover.inference import choose_backend
from windhover.inference.base import Backend
from windhover.model.bundle import Bundle
from windhover.model.decode import Decoder
from windhover.model.nms import nms
from windhover.second_look.chips import chip_to_frame, cut_chips, whole_pixels
from windhover.types import BoxArray, FullFrame

#: What is found further from a chip's middle than this share of its side belongs to another
#: person's chip.
_REACH = 0.325


@dataclass(frozen=True, slots=True)
class Carried:
    """What the second look found, as ``M`` rows of columns.

    Attributes:
        boxes: ``(M, 4)`` float32, ``x1, y1, x2, y2``, pixels of the full frame.
        scores: ``(M,)`` float32, best first.
        class_ids: ``(M,)`` int32, indices into the first look's labels.
        person_rows: ``(M,)`` intp, which of the given people carries it.
        looked: people whose chips were run, which may be fewer than were given.
    """

    boxes: BoxArray = field(default_factory=lambda: np.empty((0, 4), np.float32))
    scores: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    class_ids: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    person_rows: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))
    looked: int = 0

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Carried:
        """Select rows by mask or indices."""
        return Carried(
            self.boxes[rows],
            self.scores[rows],
            self.class_ids[rows],
            self.person_rows[rows],
            self.looked,
        )


class SecondLook:
    """The second graph of a bundle, open on a backend.

    One instance serves one stream from one thread.

    Args:
        bundle: of the second graph; its input's batch is how many chips run at once.
        labels: of the first look.
        backend: a name as :func:`~windhover.inference.choose_backend` takes it, or one that
            is open.
        options: of a backend that is opened here.

    Raises:
        BundleError: the graph takes no square B, G, R chips, or has a label that the first
            look has not.
        BackendError: the backend cannot be opened, or a run on blank chips fails.
    """

    def __init__(
        self,
        bundle: Bundle,
        labels: Sequence[str],
        backend: Backend | str = "auto",
        **options: Any,
    ) -> None:
        spec = bundle.input
        if bundle.modality != "rgb" or spec.height != spec.width:
            raise BundleError(
                f"the second look of {bundle.root} takes {bundle.modality} images of "
                f"{spec.width}x{spec.height}; it must take square RGB chips"
            )
        unknown = [label for label in bundle.labels if label not in labels]
        if unknown:
            raise BundleError(
                f"the second look of {bundle.root} finds {', '.join(unknown)}, which the model "
                "has no label for"
            )
        self.bundle = bundle
        self._classes = np.array([labels.index(label) for label in bundle.labels], np.int32)
        self._limits = bundle.thresholds
        tall = spec.model_copy(update={"height": spec.batch * spec.height, "batch": 1})
        self._decoder = Decoder(
            bundle.model_copy(update={"input": tall}), self._limits.score_vector(bundle.labels)
        )
        self._chips = np.zeros(spec.shape, np.uint8)
        self.backend = (
            choose_backend(bundle, backend, **options).backend
            if isinstance(backend, str)
            else backend
        )
        #: Time of one batch in the last call that ran any, all that belongs to it, nanoseconds.
        self.batch_ns = self._warm_up()

    @property
    def batch(self) -> int:
        """Chips that one run takes."""
        return len(self._chips)

    def look(self, frame: FullFrame, centers: Floats, spans: Floats) -> Carried:
        """Look at people.

        Args:
            frame: the camera's full frame.
            centers: ``(N, 2)`` of the people, pixels of ``frame``.
            spans: ``(N,)`` sides of their chips, pixels of ``frame``.

        Returns:
            What they carry. An object that lies in several people's chips is given once, to
            the person whose chip's middle is nearest.

        Raises:
            BackendError: the run failed.
            EncodingError: the frame is damaged, or of an encoding that chips are not cut from.
        """
        if not len(centers):
            return Carried()
        started = time.perf_counter_ns()
        centers, spans = whole_pixels(centers, spans)
        starts = range(0, len(centers), self.batch)
        parts = [self._look_at_batch(frame, centers, spans, first) for first in starts]
        found = _joined(parts, len(centers))
        keep = nms(
            found.boxes, _nearness(found, centers, spans), found.class_ids, self._limits.iou,
            self._limits.max_detections,
        )  # fmt: skip
        keep = keep[np.argsort(-found.scores[keep], kind="stable")]
        self.batch_ns = (time.perf_counter_ns() - started) // len(starts)
        return found[keep]

    def close(self) -> None:
        """Release the backend; calling it twice is fine."""
        self.backend.close()

    def _warm_up(self) -> int:
        """Run blank chips; the time of a run, which the first is no measure of."""
        self.backend.run(self._chips)
        started = time.perf_counter_ns()
        self.backend.run(self._chips)
        return time.perf_counter_ns() - started

    def _look_at_batch(
        self, frame: FullFrame, centers: Floats, spans: Floats, first: int
    ) -> Carried:
        """Look at the people from row ``first`` on, as many as one run takes."""
        rows = slice(first, first + self.batch)
        centers, spans = centers[rows], spans[rows]
        cut_chips(frame, centers, spans, self._chips[: len(centers)])
        # What is left of an earlier batch is run again and not looked at.
        outputs = self.backend.run(self._chips)
        # Chips below each other are one tall picture, which is decoded in one go.
        found = self._decoder.decode(
            [output.reshape(1, -1, *output.shape[2:]) for output in outputs]
        )
        size = self._chips.shape[1]
        middles = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
        chips = (middles[:, 1] // size).astype(np.intp)
        middles[:, 1] -= chips * size
        near = np.abs(middles - size / 2).max(axis=1, initial=0.0) <= _REACH * size
        near &= (chips >= 0) & (chips < len(centers))
        found, chips = found[near], chips[near]
        boxes = found.boxes - (chips * size)[:, None] * np.array([0, 1, 0, 1], np.float32)
        # Of one chip's class each, so that chips do not suppress each other's.
        kinds = found.class_ids + np.int32(len(self._classes)) * chips.astype(np.int32)
        limits = self._limits
        keep = nms(boxes, found.scores, kinds, limits.iou, limits.max_detections * len(centers))
        chips = chips[keep]
        return Carried(
            chip_to_frame(boxes[keep], centers[chips], spans[chips], size),
            found.scores[keep],
            self._classes[found.class_ids[keep]],
            first + chips,
        )


def _joined(parts: Sequence[Carried], looked: int) -> Carried:
    return Carried(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.class_ids for part in parts]),
        np.concatenate([part.person_rows for part in parts]),
        looked,
    )


def _nearness(found: Carried, centers: Floats, spans: Floats) -> NDArray[np.float32]:
    """1 in the middle of the person's chip, falling to 0: what NMS prefers."""
    middles = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    away = np.linalg.norm(middles - centers[found.person_rows], axis=1)
    return np.asarray(1.0 / (1.0 + away / spans[found.person_rows]), np.float32)
