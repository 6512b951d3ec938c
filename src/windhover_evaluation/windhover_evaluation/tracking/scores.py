"""Scores of tracks against truth: HOTA, MOTA, IDF1, identity switches.

Each label is scored apart and the labels are then added up by their boxes, so a
track of the wrong class is a false alarm and a miss. The definitions are in
:mod:`.mot_counts`; they agree with TrackEval.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from windhover.boxes import iou_matrix
from windhover.errors import DataError
from windhover.types import Tracks
from windhover_evaluation.tracking.mot_counts import (
    MATCH_IOU,
    ClearCounts,
    HotaCounts,
    IdentityCounts,
    MatchFrame,
    clear,
    hota,
    identity,
)

#: Class of a region in which no track is scored, in :attr:`TrackTable.class_ids`.
ANY_CLASS = -1


@dataclass(frozen=True, slots=True)
class TrackTable:
    """Boxes with ids over a sequence, ``N`` rows in any order.

    Attributes:
        frames: ``(N,)`` int64, frame numbers.
        ids: ``(N,)`` int64, object or track ids.
        boxes: ``(N, 4)`` float64, ``x1, y1, x2, y2``, pixels.
        class_ids: ``(N,)`` int32, indices into the labels; :data:`ANY_CLASS` in an
            ignored row of truth for a region that hides tracks of every class.
        ignored: ``(N,)`` bool, truth only: objects that need not be tracked, such
            as those too far away to be recognised; a track on one is not scored.
    """

    frames: NDArray[np.int64]
    ids: NDArray[np.int64]
    boxes: NDArray[np.float64]
    class_ids: NDArray[np.int32]
    ignored: NDArray[np.bool_]

    @classmethod
    def collect(cls, frames: Iterable[tuple[int, Tracks]]) -> TrackTable:
        """Join the tracks of many frames.

        Args:
            frames: frame number and what was tracked in it.
        """
        numbers: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
        parts: list[Tracks] = [Tracks()]
        for number, tracks in frames:
            numbers.append(np.full(len(tracks), number, np.int64))
            parts.append(tracks)
        joined = np.concatenate(numbers)
        return cls(
            frames=joined,
            ids=np.concatenate([part.track_ids for part in parts]).astype(np.int64),
            boxes=np.concatenate([part.boxes for part in parts]).astype(np.float64),
            class_ids=np.concatenate([part.class_ids for part in parts]).astype(np.int32),
            ignored=np.zeros(len(joined), np.bool_),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> TrackTable:
        """Select rows by mask or indices."""
        return TrackTable(
            self.frames[rows],
            self.ids[rows],
            self.boxes[rows],
            self.class_ids[rows],
            self.ignored[rows],
        )


@dataclass(frozen=True, slots=True)
class TrackCounts:
    """Scores of one label, or of all labels added up.

    Attributes:
        label: which; ``all`` for the sum.
        objects: different objects there were.
        tracks: different tracks reported.
        clear: CLEAR MOT counts.
        ids: identity counts.
        hota_counts: HOTA counts.
    """

    label: str
    objects: int
    tracks: int
    clear: ClearCounts
    ids: IdentityCounts
    hota_counts: HotaCounts

    @property
    def mota(self) -> float:
        """1 - (misses + false alarms + switches) / object boxes; NaN without any."""
        counts = self.clear
        errors = counts.false_positives + counts.switches
        return _ratio(
            counts.true_positives - errors, counts.true_positives + counts.false_negatives
        )

    @property
    def motp(self) -> float:
        """Mean IoU of matched boxes; NaN without any."""
        return _ratio(self.clear.iou_sum, self.clear.true_positives)

    @property
    def idf1(self) -> float:
        """Share of boxes with the right identity; NaN where nothing is there or found."""
        right = 2 * self.ids.true_positives
        return _ratio(right, right + self.ids.false_positives + self.ids.false_negatives)

    @property
    def det_a(self) -> float:
        """HOTA's detection accuracy, mean over its thresholds; NaN as for ``idf1``."""
        return self._mean(self._detection())

    @property
    def ass_a(self) -> float:
        """HOTA's association accuracy, mean over its thresholds; NaN as for ``idf1``."""
        return self._mean(self._association())

    @property
    def hota(self) -> float:
        """Mean over thresholds of sqrt(DetA * AssA); NaN as for ``idf1``."""
        return self._mean(np.sqrt(self._detection() * self._association()))

    def _boxes(self) -> NDArray[np.float64]:
        counts = self.hota_counts
        return counts.true_positives + counts.false_positives + counts.false_negatives

    def _detection(self) -> NDArray[np.float64]:
        return self.hota_counts.true_positives / np.maximum(1, self._boxes())

    def _association(self) -> NDArray[np.float64]:
        counts = self.hota_counts
        return counts.association_sum / np.maximum(1, counts.true_positives)

    def _mean(self, values: NDArray[np.float64]) -> float:
        return float(values.mean()) if self._boxes().any() else float("nan")


@dataclass(frozen=True, slots=True)
class TrackScores:
    """Scores of a sequence.

    Attributes:
        frames: how many frames the sequence has.
        overall: all labels added up.
        classes: of each label.
    """

    frames: int
    overall: TrackCounts
    classes: tuple[TrackCounts, ...]


def evaluate_tracks(
    truth: TrackTable, result: TrackTable, labels: Sequence[str], frames: int
) -> TrackScores:
    """Score tracks against truth over one sequence.

    Args:
        truth: the objects that are there.
        result: the tracks reported.
        labels: what ``class_ids`` index; each is scored.
        frames: how many frames the sequence has, for the record.

    Raises:
        DataError: an id occurs twice in one frame and class, or a box is not finite.
        ValueError: there are no labels.
    """
    if not labels:
        raise ValueError("tracks can't be scored without labels")
    for name, table in (("truth", truth), ("result", result)):
        _check(name, table)
    regions = truth[truth.class_ids == ANY_CLASS]
    classes = tuple(
        _score(truth[truth.class_ids == n], result[result.class_ids == n], regions, label)
        for n, label in enumerate(labels)
    )
    return TrackScores(frames, _sum(classes), classes)


def add_scores(sequences: Sequence[TrackScores]) -> TrackCounts:
    """Scores of several sequences, all their boxes added up as TrackEval combines them.

    Args:
        sequences: at least one; ids of different sequences are different objects.
    """
    return _sum([each.overall for each in sequences])


def _score(truth: TrackTable, result: TrackTable, regions: TrackTable, label: str) -> TrackCounts:
    truth, result = _without_ignored(truth, result, regions)
    objects, truth_numbers = np.unique(truth.ids, return_inverse=True)
    tracks, result_numbers = np.unique(result.ids, return_inverse=True)
    frames = [
        MatchFrame(
            truth_numbers[t].astype(np.int64),
            result_numbers[r].astype(np.int64),
            iou_matrix(truth.boxes[t], result.boxes[r]),
        )
        for t, r in _by_frame(truth, result)
    ]
    return TrackCounts(
        label=label,
        objects=len(objects),
        tracks=len(tracks),
        clear=clear(frames, len(objects)),
        ids=identity(frames, len(objects), len(tracks)),
        hota_counts=hota(frames, len(objects), len(tracks)),
    )


def _without_ignored(
    truth: TrackTable, result: TrackTable, regions: TrackTable
) -> tuple[TrackTable, TrackTable]:
    """Leave out ignored objects, and tracks on them or in a region, as MOTChallenge does.

    A track box is in a region if half of its area is, and it matches no object.
    """
    if not truth.ignored.any() and not len(regions):
        return truth, result
    kept = np.ones(len(result), np.bool_)
    for t, r in _by_frame(truth, result):
        iou = iou_matrix(truth.boxes[t], result.boxes[r])
        iou[iou < MATCH_IOU] = 0.0
        rows, columns = linear_sum_assignment(-iou)
        matched = iou[rows, columns] > 0.0
        kept[r[columns[matched & truth.ignored[t[rows]]]]] = False
        hidden = regions.boxes[regions.frames == result.frames[r[0]]] if len(r) else regions.boxes
        inside = _inside(result.boxes[r], hidden)
        inside[columns[matched]] = False
        kept[r[inside]] = False
    return truth[~truth.ignored], result[kept]


def _inside(boxes: NDArray[np.float64], regions: NDArray[np.float64]) -> NDArray[np.bool_]:
    """``(N,)`` which boxes have half of their area in one region."""
    if not len(boxes) or not len(regions):
        return np.zeros(len(boxes), np.bool_)
    low = np.maximum(boxes[:, None, :2], regions[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], regions[None, :, 2:])
    shared = np.clip(high - low, 0.0, None).prod(axis=2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    inside: NDArray[np.bool_] = (shared >= MATCH_IOU * area[:, None]).any(axis=1)
    return inside


def _by_frame(
    truth: TrackTable, result: TrackTable
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows of both tables for every frame that either has, in time order."""
    numbers = np.union1d(truth.frames, result.frames)
    split = []
    for table in (truth, result):
        order = np.argsort(table.frames, kind="stable")
        edges = np.searchsorted(table.frames[order], numbers)
        split.append(np.split(order, edges[1:]) if len(numbers) else [])
    return list(zip(split[0], split[1], strict=True))


def _sum(classes: Sequence[TrackCounts]) -> TrackCounts:
    return TrackCounts(
        label="all",
        objects=sum(each.objects for each in classes),
        tracks=sum(each.tracks for each in classes),
        clear=_added([each.clear for each in classes]),
        ids=_added([each.ids for each in classes]),
        hota_counts=_added([each.hota_counts for each in classes]),
    )


_Counts = TypeVar("_Counts", ClearCounts, IdentityCounts, HotaCounts)


def _added(parts: Sequence[_Counts]) -> _Counts:
    names = [field.name for field in fields(parts[0])]
    return type(parts[0])(**{name: sum(getattr(part, name) for part in parts) for name in names})


def _check(name: str, table: TrackTable) -> None:
    if not np.isfinite(table.boxes).all():
        row = int(np.flatnonzero(~np.isfinite(table.boxes).all(axis=1))[0])
        raise DataError(
            f"{name}: box of id {table.ids[row]} in frame {table.frames[row]} is not finite; "
            "correct or remove it"
        )
    # Which object an ignored box is of plays no part.
    table = table[~table.ignored]
    keys = np.stack([table.frames, table.class_ids.astype(np.int64), table.ids], axis=1)
    unique, counts = np.unique(keys, axis=0, return_counts=True)
    if (counts > 1).any():
        frame, _, number = unique[np.argmax(counts > 1)]
        raise DataError(f"{name}: id {number} occurs twice in frame {frame}; make ids unique")


def _ratio(part: float, total: float) -> float:
    return part / total if total else float("nan")
