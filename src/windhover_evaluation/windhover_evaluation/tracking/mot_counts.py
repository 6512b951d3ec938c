"""HOTA, CLEAR MOT and identity scores of one class, from matched boxes.

The definitions are those of TrackEval, the reference implementation, to its
handling of ties and empty frames, so that results compare with published ones:

- CLEAR MOT (MOTA, MOTP, identity switches, fragments): Bernardin and
  Stiefelhagen, 2008.
- Identity (IDF1, IDP, IDR): Ristani et al., 2016.
- HOTA (HOTA, DetA, AssA, LocA): Luiten et al., IJCV 2021.

A sequence is given as frames in which truth and result ids have been numbered
from 0 without gaps, with the IoU of every pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

#: IoU at which a track's box counts as the object's, for CLEAR MOT and identity.
MATCH_IOU = 0.5

#: The localisation thresholds that HOTA is averaged over.
ALPHAS: NDArray[np.float64] = np.arange(0.05, 0.99, 0.05)

_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class MatchFrame:
    """One frame of one class.

    Attributes:
        truth: ``(G,)`` int64, numbers of the objects that are there.
        result: ``(T,)`` int64, numbers of the tracks that are reported.
        iou: ``(G, T)`` float64, overlap of each pair.
    """

    truth: NDArray[np.int64]
    result: NDArray[np.int64]
    iou: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClearCounts:
    """Counts of CLEAR MOT, which add up over classes and sequences.

    Attributes:
        true_positives: boxes matched.
        false_positives: track boxes that match no object.
        false_negatives: object boxes that no track matches.
        switches: times an object's track id changed.
        fragments: times an object's track was interrupted and taken up again.
        mostly_tracked: objects matched in more than 80 % of their frames.
        mostly_lost: objects matched in less than 20 % of their frames.
        iou_sum: sum of the matched boxes' IoU.
    """

    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0
    switches: int = 0
    fragments: int = 0
    mostly_tracked: int = 0
    mostly_lost: int = 0
    iou_sum: float = 0.0


@dataclass(frozen=True, slots=True)
class IdentityCounts:
    """Counts of the identity scores: boxes under the best one-to-one naming of tracks."""

    true_positives: int = 0
    false_positives: int = 0
    false_negatives: int = 0


@dataclass(frozen=True, slots=True)
class HotaCounts:
    """HOTA's counts and association accuracy at each of :data:`ALPHAS`, ``(19,)``.

    Attributes:
        true_positives: boxes matched.
        false_positives: track boxes that match no object.
        false_negatives: object boxes that no track matches.
        association_sum: sum over the matched boxes of how well their object and
            track go together over the sequence (the paper's A(c)).
        iou_sum: sum of the matched boxes' IoU.
    """

    true_positives: NDArray[np.float64]
    false_positives: NDArray[np.float64]
    false_negatives: NDArray[np.float64]
    association_sum: NDArray[np.float64]
    iou_sum: NDArray[np.float64]


def clear(frames: Sequence[MatchFrame], objects: int) -> ClearCounts:
    """Count CLEAR MOT over a sequence.

    A match is kept from the frame before where it can be; among the rest the
    total IoU is largest.

    Args:
        frames: in time order; frames in which nothing is there or found count too.
        objects: how many truth numbers there are.
    """
    state = _ClearState(objects)
    for frame in frames:
        state.step(frame)
    return state.result()


class _ClearState:
    """What CLEAR MOT remembers from frame to frame."""

    def __init__(self, objects: int) -> None:
        self._last_track = np.full(objects, np.nan)
        self._track_before = np.full(objects, np.nan)
        self._present = np.zeros(objects)
        self._matched = np.zeros(objects)
        self._begun = np.zeros(objects)
        self._hits = self._truths = self._results = self._switches = 0
        self._iou_sum = 0.0

    def step(self, frame: MatchFrame) -> None:
        self._truths += len(frame.truth)
        self._results += len(frame.result)
        self._present[frame.truth] += 1
        # As in TrackEval, a frame without objects or without tracks leaves the
        # memory of the frame before it as it was.
        if not len(frame.truth) or not len(frame.result):
            return
        rows, columns = self._assign(frame)
        objects, tracks = frame.truth[rows], frame.result[columns].astype(np.float64)
        before = self._last_track[objects]
        self._switches += int(np.count_nonzero(~np.isnan(before) & (before != tracks)))
        self._matched[objects] += 1
        self._last_track[objects] = tracks
        was_tracked = ~np.isnan(self._track_before)
        self._track_before[:] = np.nan
        self._track_before[objects] = tracks
        self._begun += ~was_tracked & ~np.isnan(self._track_before)
        self._hits += len(rows)
        self._iou_sum += float(frame.iou[rows, columns].sum())

    def _assign(self, frame: MatchFrame) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        kept = frame.result[None, :] == self._track_before[frame.truth][:, None]
        score = np.where(frame.iou < MATCH_IOU - _EPS, 0.0, 1000.0 * kept + frame.iou)
        rows, columns = linear_sum_assignment(-score)
        hit = score[rows, columns] > _EPS
        return rows[hit], columns[hit]

    def result(self) -> ClearCounts:
        seen = self._present > 0
        share = self._matched[seen] / self._present[seen]
        return ClearCounts(
            true_positives=self._hits,
            false_positives=self._results - self._hits,
            false_negatives=self._truths - self._hits,
            switches=self._switches,
            fragments=int(np.maximum(self._begun - 1, 0).sum()),
            mostly_tracked=int(np.count_nonzero(share > 0.8)),
            mostly_lost=int(np.count_nonzero(share < 0.2)),
            iou_sum=self._iou_sum,
        )


def identity(frames: Sequence[MatchFrame], objects: int, tracks: int) -> IdentityCounts:
    """Count the identity scores over a sequence: each track is one object at most.

    Args:
        frames: of the sequence.
        objects: how many truth numbers there are.
        tracks: how many result numbers there are.
    """
    shared = np.zeros((objects, tracks))
    truths = np.zeros(objects)
    results = np.zeros(tracks)
    for frame in frames:
        rows, columns = np.nonzero(frame.iou >= MATCH_IOU)
        shared[frame.truth[rows], frame.result[columns]] += 1
        truths[frame.truth] += 1
        results[frame.result] += 1
    # The fewest misses and false alarms in all are the most shared boxes: each shared box
    # saves one of both, and a pair that shares none saves nothing.
    rows, columns = linear_sum_assignment(-shared)
    hits = int(shared[rows, columns].sum())
    return IdentityCounts(hits, int(results.sum()) - hits, int(truths.sum()) - hits)


def hota(frames: Sequence[MatchFrame], objects: int, tracks: int) -> HotaCounts:
    """Count HOTA over a sequence.

    Args:
        frames: of the sequence.
        objects: how many truth numbers there are.
        tracks: how many result numbers there are.
    """
    levels = len(ALPHAS)
    truths = np.zeros(objects)
    results = np.zeros(tracks)
    overlap = np.zeros((objects, tracks))
    for frame in frames:
        truths[frame.truth] += 1
        results[frame.result] += 1
        union = frame.iou.sum(0)[None, :] + frame.iou.sum(1)[:, None] - frame.iou
        pairs = np.ix_(frame.truth, frame.result)
        overlap[pairs] += np.divide(
            frame.iou, union, out=np.zeros_like(frame.iou), where=union > _EPS
        )
    alignment = overlap / (truths[:, None] + results[None, :] - overlap)
    hits, iou_sum = np.zeros(levels), np.zeros(levels)
    # Which object met which track at which level: one key a matched box, since
    # a full table of them would be mostly zeros.
    keys: list[NDArray[np.int64]] = []
    for frame in frames:
        if not len(frame.truth) or not len(frame.result):
            continue
        score = alignment[np.ix_(frame.truth, frame.result)] * frame.iou
        rows, columns = linear_sum_assignment(-score)
        iou = frame.iou[rows, columns]
        level, pair = np.nonzero(iou[None, :] >= ALPHAS[:, None] - _EPS)
        keys.append(
            (level * objects + frame.truth[rows[pair]]) * tracks + frame.result[columns[pair]]
        )
        hits += np.bincount(level, minlength=levels)
        iou_sum += np.bincount(level, weights=iou[pair], minlength=levels)
    key, count = np.unique(np.concatenate(keys or [np.empty(0, np.int64)]), return_counts=True)
    together = truths[key // tracks % objects] + results[key % tracks] - count
    weights = count * count / np.maximum(1, together)
    return HotaCounts(
        true_positives=hits,
        false_positives=results.sum() - hits,
        false_negatives=truths.sum() - hits,
        association_sum=np.bincount(key // tracks // objects, weights, minlength=levels).astype(
            np.float64
        ),
        iou_sum=iou_sum,
    )
