"""Truth of a rendered frame: boxes, classes, ids and visibility."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from windhover.types import BoxArray
from windhover_sim.config import SCENE_LABELS


def _boxes() -> BoxArray:
    return np.empty((0, 4), np.float32)


def _ids() -> NDArray[np.int64]:
    return np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class SceneTruth:
    """Objects that one camera sees, as ``N`` rows of columns, nearest first.

    Attributes:
        boxes: ``(N, 4)`` float32 ``x1, y1, x2, y2``, pixels of the image, round
            the visible part of the drawn silhouette, clipped to the image.
        amodal: ``(N, 4)`` float32, the same around the complete silhouette, hidden
            parts too, not clipped.
        class_ids: ``(N,)`` int32, indices into ``SCENE_LABELS``.
        track_ids: ``(N,)`` int64, positive; one object keeps its id in every
            frame and in both cameras.
        visibility: ``(N,)`` float32, visible share of the complete silhouette,
            0..1; hidden by others, by the carrier and by the image's edge alike.
        carrier_ids: ``(N,)`` int64, track id of the person who carries a weapon, or of
            the two-wheeler that carries a person; 0 for all else.
    """

    boxes: BoxArray = field(default_factory=_boxes)
    amodal: BoxArray = field(default_factory=_boxes)
    class_ids: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    track_ids: NDArray[np.int64] = field(default_factory=_ids)
    visibility: NDArray[np.float32] = field(default_factory=lambda: np.empty(0, np.float32))
    carrier_ids: NDArray[np.int64] = field(default_factory=_ids)

    def __len__(self) -> int:
        return len(self.class_ids)

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.intp] | slice) -> SceneTruth:
        """Select rows by mask, indices or slice."""
        return SceneTruth(
            self.boxes[rows],
            self.amodal[rows],
            self.class_ids[rows],
            self.track_ids[rows],
            self.visibility[rows],
            self.carrier_ids[rows],
        )

    def scaled(self, factor: float) -> SceneTruth:
        """The same in pixels of an image that was enlarged by ``factor``."""
        f = np.float32(factor)
        return SceneTruth(
            self.boxes * f,
            self.amodal * f,
            self.class_ids,
            self.track_ids,
            self.visibility,
            self.carrier_ids,
        )

    @property
    def labels(self) -> list[str]:
        """Class name of each row."""
        return [SCENE_LABELS[index] for index in self.class_ids]
