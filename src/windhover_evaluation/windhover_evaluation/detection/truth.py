"""Detection truth as columns; :mod:`.truth_file` reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from windhover.errors import DataError
from windhover_evaluation.detection.coco_values import Identifier

#: Label of boxes that hide objects of any class, in :attr:`Truth.label_ids`.
ANY_LABEL = -1

#: Track id of boxes that have none, in :attr:`Truth.track_ids`.
NO_TRACK = -1

# A sentence names this many of the flawed items; ``items`` has more.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class TruthImage:
    """One image of a truth file.

    Attributes:
        image_id: as the file gives it; results carry it unchanged.
        file_name: relative to the images' folder, with ``/`` between its parts.
        width: pixels; 0 where the file does not give it.
        height: pixels; 0 where the file does not give it.
        groups: by which scores are broken down, such as ``{"time": "night"}``.
        cameras: files by camera, ``rgb`` and ``thermal``, where the file names the camera;
            with both, a pair on one grid. Empty where it names one file without a camera.
    """

    image_id: int | str
    file_name: str
    width: int
    height: int
    groups: Mapping[str, str] = field(default_factory=dict)
    cameras: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of flaw in a truth file.

    Attributes:
        text: the flaw and how it was handled, without the count.
        count: how often.
        items: the first ids or names that have it.
    """

    text: str
    count: int
    items: tuple[str, ...]

    def __str__(self) -> str:
        more = ", ..." if self.count > _NAMED else ""
        return f"{self.count} x {self.text}: {', '.join(self.items[:_NAMED])}{more}"


@dataclass(frozen=True, slots=True)
class Truth:
    """What is in a set of images, as ``N`` rows of columns.

    Attributes:
        path: the file it was read from.
        labels: the model's labels, which ``label_ids`` index.
        images: in the file's order.
        image_rows: ``(N,)`` int64, indices into ``images``.
        boxes: ``(N, 4)`` float64, ``x1, y1, x2, y2``, source pixels.
        label_ids: ``(N,)`` int32; :data:`ANY_LABEL` for a region that hides
            objects of every label.
        ignored: ``(N,)`` bool, regions that are not scored: a detection there is
            neither right nor wrong.
        categories: the truth's category names that make up each label.
        category_ids: the one category id that results of a label carry: of
            the category with the label's own name, else the first in the file.
        problems: flaws that were counted and not scored.
        ignored_categories: categories whose boxes are ignored regions.
        annotations: how many the file has, those that were left out included.
        track_ids: ``(N,)`` int64, number of the object that each box is of,
            :data:`NO_TRACK` where the file gives none; ``None`` where it gives none at all.
    """

    path: str
    labels: tuple[str, ...]
    images: tuple[TruthImage, ...]
    image_rows: NDArray[np.int64]
    boxes: NDArray[np.float64]
    label_ids: NDArray[np.int32]
    ignored: NDArray[np.bool_]
    categories: Mapping[str, tuple[str, ...]]
    category_ids: Mapping[str, Identifier]
    problems: tuple[Problem, ...] = ()
    ignored_categories: tuple[str, ...] = ()
    annotations: int = 0
    track_ids: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.label_ids)

    def require_objects(self, labels: Sequence[str] | None = None) -> None:
        """Refuse a truth that has boxes of which none can be scored.

        A file without any annotation is accepted: false alarms are what it scores.

        Args:
            labels: those that are to be scored; default all.

        Raises:
            DataError: it has annotations, and none is an object of ``labels``.
        """
        wanted = self.labels if labels is None else tuple(labels)
        numbers = [number for number, label in enumerate(self.labels) if label in wanted]
        of_labels = np.isin(self.label_ids, numbers)
        if not self.annotations or (of_labels & ~self.ignored).any():
            return
        known = any(self.categories.get(label) for label in wanted)
        ignored = int(np.count_nonzero(self.ignored))
        if known and not self.problems and not ignored:
            return
        reasons = [str(problem) for problem in self.problems]
        reasons += [f"{ignored} x ignored region"] if ignored else []
        raise DataError(
            f"{self.path}: none of its {self.annotations} annotations is an object of "
            f"{', '.join(wanted)}, so there is nothing to score "
            f"({'; '.join(reasons) or 'they are of other categories'})"
        )

    def of_images(self, rows: Sequence[int]) -> Truth:
        """The truth of some of the images, in the order given."""
        place = np.full(len(self.images), -1, np.int64)
        place[list(rows)] = np.arange(len(rows))
        chosen = self._select(place[self.image_rows] >= 0)
        return replace(
            chosen,
            images=tuple(self.images[row] for row in rows),
            image_rows=place[chosen.image_rows],
        )

    def boxes_of(self, row: int) -> Truth:
        """The same truth with the boxes of one image only, for drawing it."""
        return self._select(self.image_rows == row)

    def _select(self, rows: NDArray[np.bool_]) -> Truth:
        return replace(
            self,
            image_rows=self.image_rows[rows],
            boxes=self.boxes[rows],
            label_ids=self.label_ids[rows],
            ignored=self.ignored[rows],
            track_ids=None if self.track_ids is None else self.track_ids[rows],
        )
