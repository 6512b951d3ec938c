"""Which detection belongs to which track.

Only overlapping pairs of boxes are considered, as a list of pairs instead of a
dense matrix: objects are spread over the image, so nearly all of N x M pairs do not
overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Array = NDArray[np.float64]
Rows = NDArray[np.intp]
_NONE = np.empty(0, np.intp)


@dataclass(frozen=True, slots=True)
class Pairs:
    """Tracks and detections whose boxes overlap, as ``P`` rows of columns.

    Attributes:
        tracks: ``(P,)`` row of the track.
        detections: ``(P,)`` row of the detection.
        overlap: ``(P,)`` float64 intersection over union, above 0.
    """

    tracks: Rows
    detections: Rows
    overlap: Array

    def __getitem__(self, rows: NDArray[np.bool_]) -> Pairs:
        """Select pairs by mask."""
        return Pairs(self.tracks[rows], self.detections[rows], self.overlap[rows])


def widen(boxes: Array, min_side: float) -> Array:
    """Boxes with sides of at least ``min_side``, about the same centre.

    Between boxes of a few pixels IoU falls to 0 within the detector's jitter;
    widened, it measures distance instead (the buffered IoU of C-BIoU, Yang et
    al., WACV 2023, for small boxes only).

    Args:
        boxes: ``(N, 4)`` x1, y1, x2, y2, pixels.
        min_side: pixels.

    Returns:
        A new ``(N, 4)`` array.
    """
    margin = np.maximum(min_side - (boxes[:, 2:] - boxes[:, :2]), 0.0) * 0.5
    return np.concatenate((boxes[:, :2] - margin, boxes[:, 2:] + margin), axis=1)


def overlapping(tracks: Array, detections: Array) -> Pairs:
    """All pairs of boxes that overlap, with their IoU.

    Args:
        tracks: ``(N, 4)`` x1, y1, x2, y2.
        detections: ``(M, 4)`` x1, y1, x2, y2.

    Returns:
        The pairs, by track.
    """
    if not len(tracks) or not len(detections):
        return Pairs(_NONE, _NONE, np.empty(0))
    # Sweep along x: of the detections sorted by their left edge, a track can
    # only touch one run.
    order = np.argsort(detections[:, 0], kind="stable")
    left = detections[order, 0]
    widest = float((detections[:, 2] - detections[:, 0]).max())
    first = np.searchsorted(left, tracks[:, 0] - widest, "left")
    counts = np.searchsorted(left, tracks[:, 2], "left") - first
    rows = np.repeat(np.arange(len(tracks)), counts)
    ends = np.cumsum(counts)
    cols = order[np.arange(len(rows)) + np.repeat(first - ends + counts, counts)]
    return _with_overlap(tracks, detections, rows, cols)


def _with_overlap(tracks: Array, detections: Array, rows: Rows, cols: Rows) -> Pairs:
    # Column by column; y is tested first, because it excludes most pairs.
    left, top, right, bottom = np.ascontiguousarray(tracks.T)
    left_d, top_d, right_d, bottom_d = np.ascontiguousarray(detections.T)
    near = (top_d[cols] < bottom[rows]) & (bottom_d[cols] > top[rows])
    rows, cols = rows[near], cols[near]
    width = np.minimum(right[rows], right_d[cols]) - np.maximum(left[rows], left_d[cols])
    height = np.minimum(bottom[rows], bottom_d[cols]) - np.maximum(top[rows], top_d[cols])
    common = np.maximum(width, 0.0) * height
    area = ((right - left) * (bottom - top))[rows]
    area_d = ((right_d - left_d) * (bottom_d - top_d))[cols]
    overlap = common / (area + area_d - common)
    touch = overlap > 0.0
    return Pairs(rows[touch], cols[touch], overlap[touch])


def assign(tracks: Rows, detections: Rows, gain: Array) -> tuple[Rows, Rows]:
    """The one-to-one matching with the greatest sum of gains.

    A pair without gain stays unmatched, so with ``gain = similarity - gate`` this
    equals the assignment with a cost limit that ByteTrack uses.

    Args:
        tracks: ``(P,)`` row of the track of each pair; no pair twice.
        detections: ``(P,)`` row of the detection of each pair.
        gain: ``(P,)``; pairs at or below 0 are not matched.

    Returns:
        Rows of the matched tracks and of their detections, same length.
    """
    useful = gain > 0.0
    tracks, detections, gain = tracks[useful], detections[useful], gain[useful]
    if not len(gain):
        return _NONE, _NONE
    # Most objects have one candidate: their pair needs no search.
    alone = (np.bincount(tracks)[tracks] == 1) & (np.bincount(detections)[detections] == 1)
    if alone.all():
        return tracks, detections
    crowd = ~alone
    found = _assign_dense(tracks[crowd], detections[crowd], gain[crowd])
    return (
        np.concatenate((tracks[alone], found[0])),
        np.concatenate((detections[alone], found[1])),
    )


class Matching:
    """Matches of several stages: each stage only uses what the earlier ones left.

    Args:
        tracks: how many there are.
        detections: how many there are.

    Attributes:
        free_tracks: ``(tracks,)`` bool, not matched yet.
        free_detections: ``(detections,)`` bool, likewise.
    """

    def __init__(self, tracks: int, detections: int) -> None:
        self.free_tracks = np.ones(tracks, np.bool_)
        self.free_detections = np.ones(detections, np.bool_)
        self._rows: list[Rows] = [_NONE]
        self._found: list[Rows] = [_NONE]

    def add(self, pairs: Pairs, allowed: NDArray[np.bool_], gain: Array) -> Rows:
        """Match among the pairs that are allowed and still free; see :func:`assign`.

        Returns:
            Rows of the tracks that were matched now.
        """
        usable = np.flatnonzero(allowed)
        if not len(usable):
            return _NONE
        tracks, detections = pairs.tracks[usable], pairs.detections[usable]
        free = self.free_tracks[tracks] & self.free_detections[detections]
        if not free.any():
            return _NONE
        rows, found = assign(tracks[free], detections[free], gain[usable[free]])
        self.free_tracks[rows] = False
        self.free_detections[found] = False
        self._rows.append(rows)
        self._found.append(found)
        return rows

    def result(self) -> tuple[Rows, Rows]:
        """Rows of the matched tracks and of their detections, same length."""
        return np.concatenate(self._rows), np.concatenate(self._found)


def _assign_dense(tracks: Rows, detections: Rows, gain: Array) -> tuple[Rows, Rows]:
    track_rows, row = _numbered(tracks)
    detection_rows, col = _numbered(detections)
    matrix = np.zeros((len(track_rows), len(detection_rows)))
    matrix[row, col] = gain
    row, col = linear_sum_assignment(matrix, maximize=True)
    matched = matrix[row, col] > 0.0
    return track_rows[row[matched]], detection_rows[col[matched]]


def _numbered(rows: Rows) -> tuple[Rows, Rows]:
    """The distinct rows, ascending, and each row's index among them."""
    there = np.zeros(rows.max() + 1, np.bool_)
    there[rows] = True
    return np.flatnonzero(there), (np.cumsum(there) - 1)[rows]
