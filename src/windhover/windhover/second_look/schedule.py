"""Which people are looked at in a frame: the new and unsure first, everyone in turn.

Whoever carried something at the last look is looked at again while there is room, since what
is carried has a track of its own that lives on being seen.

The scheduler knows tracks, since looks at one person add up. Between a frame's detections and
its tracks lies the tracker, so it works in two steps a frame: :meth:`LookScheduler.choose`
before the looks, by the tracks of the frame before, and :meth:`LookScheduler.observe` after
the tracker.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from windhover.boxes import iou_matrix
from windhover.second_look.evidence import CarriedEvidence, LookRates
from windhover.types import BoxArray, Tracks

#: Overlap from which a detection is the person of a track.
_SAME_PERSON_IOU = 0.3

#: A track that was not seen for so long has ended.
_ENDED_NS = 10_000_000_000


class LookPolicy(BaseModel):
    """How much is looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    budget_ms: float = Field(
        default=6.0,
        ge=0.0,
        le=1000.0,
        description="Time for all second looks of a frame, milliseconds; 0 = no limit. A batch "
        "that takes longer is run every N frames only.",
    )
    every: int = Field(
        default=10,
        ge=1,
        le=1000,
        description="Nobody is longer than so many frames without a look, as far as max_chips "
        "and the budget allow.",
    )
    max_chips: int = Field(default=8, ge=0, le=64, description="Most second looks in a frame.")
    min_side_px: float = Field(
        default=16.0,
        ge=1.0,
        le=1000.0,
        description="People whose longer side in the full frame is less are not looked at, pixels.",
    )


@dataclass(frozen=True, slots=True)
class FrameView:
    """What the scheduler is told of a frame.

    Attributes:
        size: ``(width, height)`` of the detector's frame, pixels.
        scale: pixels of the full frame to one of it.
        stamp_ns: of the frame.
        batch: chips that one run of the second graph takes.
        batch_ms: time that a batch took last, milliseconds; 0 = not known yet.
    """

    size: tuple[int, int]
    scale: float = 1.0
    stamp_ns: int = 0
    batch: int = 1
    batch_ms: float = 0.0


@dataclass(slots=True)
class _PersonState:
    """What is known of one track.

    Attributes:
        box: in the last frame that had it.
        looked_at: count of frames at its last look; ``None`` before the first.
        evidence: of all its looks.
        seen_ns: stamp of the last frame that had it.
        found: whether its last look found something.
    """

    box: NDArray[np.float32]
    looked_at: int | None
    evidence: CarriedEvidence
    seen_ns: int = 0
    found: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """Who is looked at in a frame.

    Attributes:
        rows: of the people given, in the order of looking.
        dropped: people that were due and that ``max_chips`` or the budget left out.
    """

    rows: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, np.intp))
    dropped: int = 0


class TrackObserver(Protocol):
    """Takes in what a tracker made of each frame, and knows who was looked at."""

    def observe(self, tracks: Tracks, stamp_ns: int) -> None:
        """Give the looks of a frame to its tracks."""
        ...

    def probabilities(self, stamp_ns: int) -> Mapping[int, float]:
        """Probability that each track's person carries something, by track id."""
        ...


class LookScheduler:
    """Chooses people and keeps the evidence of their tracks.

    Args:
        policy: how much is looked at.
        rates: how good a look is.
    """

    def __init__(self, policy: LookPolicy, rates: LookRates) -> None:
        self.policy = policy
        self._rates = rates
        self._people: dict[int, _PersonState] = {}
        self._frame = 0
        self._last_run = 0
        self._looks: list[tuple[NDArray[np.float32], bool]] = []

    def choose(self, boxes: BoxArray, view: FrameView) -> Choice:
        """Choose whom to look at in a frame.

        Args:
            boxes: ``(N, 4)`` of the people that were detected, pixels of the detector's frame.
            view: of the frame.
        """
        self._frame += 1
        self._looks = []
        usable = np.flatnonzero(self._usable(boxes, view))
        limit = self._limit(view)
        known = self._known(boxes[usable])
        urgency = [self._urgency(known.get(place), view.stamp_ns) for place in range(len(usable))]
        # Of equals the one that was detected with the higher score, which comes first.
        order = np.array(sorted(range(len(usable)), key=lambda place: urgency[place]), np.intp)
        due = sum(1 for each in urgency if each[0] < _NOT_DUE)
        rows = usable[order[:limit]] if len(usable) else usable
        return Choice(np.asarray(rows, np.intp), max(due - len(rows), 0))

    def looked(self, boxes: BoxArray, found: NDArray[np.bool_]) -> None:
        """Note the looks of this frame.

        Args:
            boxes: ``(N, 4)`` of the people that were looked at, as given to :meth:`choose`.
            found: ``(N,)`` whether something was found in each chip.
        """
        if len(boxes):
            self._last_run = self._frame
        self._looks = list(zip(boxes, found.tolist(), strict=True))

    def observe(self, tracks: Tracks, people: NDArray[np.int32], stamp_ns: int) -> None:
        """Take in the frame's tracks and give each look to its track.

        Args:
            tracks: of the frame.
            people: class ids of those that are looked at.
            stamp_ns: of the frame.
        """
        rows = np.flatnonzero(np.isin(tracks.class_ids, people))
        for row in rows.tolist():
            track_id = int(tracks.track_ids[row])
            state = self._people.get(track_id)
            if state is None:
                state = _PersonState(tracks.boxes[row], None, CarriedEvidence(self._rates))
                self._people[track_id] = state
            state.box, state.seen_ns = tracks.boxes[row], stamp_ns
        # A track that is lost for some frames keeps what is known of it. A clock that was set
        # back ends all that lie in its future.
        self._people = {
            track_id: state
            for track_id, state in self._people.items()
            if abs(stamp_ns - state.seen_ns) <= _ENDED_NS
        }
        if self._looks and len(rows):
            overlap = iou_matrix(np.stack([box for box, _ in self._looks]), tracks.boxes[rows])
            for look, place in _pairs(overlap):
                state = self._people[int(tracks.track_ids[rows[place]])]
                state.looked_at = self._frame
                state.found = self._looks[look][1]
                state.evidence.add(state.found, stamp_ns)
        self._looks = []

    def probabilities(self, stamp_ns: int) -> Mapping[int, float]:
        """Probability that each track's person carries something, by track id."""
        return {
            track_id: state.evidence.probability(stamp_ns)
            for track_id, state in self._people.items()
            if state.evidence.looks
        }

    def _limit(self, view: FrameView) -> int:
        """How many chips the policy allows in this frame."""
        policy = self.policy
        if policy.budget_ms <= 0.0 or view.batch_ms <= 0.0:
            return policy.max_chips
        batches = int(policy.budget_ms / view.batch_ms)
        # One now and then, so that nobody is forgotten and the time is measured again: what
        # was slow once need not be slow for ever.
        if not batches and self._frame - self._last_run >= policy.every:
            batches = 1
        return min(policy.max_chips, batches * view.batch)

    def _usable(self, boxes: BoxArray, view: FrameView) -> NDArray[np.bool_]:
        """Large enough, and not cut by the border."""
        limits = np.array(view.size, np.float32)
        inside = (boxes[:, :2] > 0.5).all(axis=1) & (boxes[:, 2:] < limits - 0.5).all(axis=1)
        sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0.0) * view.scale
        return np.asarray(inside & (sides >= self.policy.min_side_px), bool)

    def _known(self, boxes: BoxArray) -> dict[int, _PersonState]:
        """The track of each row, where a track of the frame before is there."""
        if not len(boxes) or not self._people:
            return {}
        states = list(self._people.values())
        overlap = iou_matrix(boxes, np.stack([state.box for state in states]))
        return {row: states[place] for row, place in _pairs(overlap)}

    def _urgency(self, state: _PersonState | None, stamp_ns: int) -> tuple[int, float]:
        """Sorts people: the smaller the sooner."""
        if state is None or state.looked_at is None:
            return 0, 0.0
        waited = self._frame - state.looked_at
        if waited >= self.policy.every:
            return 1, -float(waited)
        if state.found:
            return _NOT_DUE, -float(waited)
        sureness = abs(state.evidence.probability(stamp_ns) - 0.5)
        return _NOT_DUE + 1, sureness - 0.01 * waited


_NOT_DUE = 2


def _pairs(overlap: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Rows and columns that belong together, greedily by overlap."""
    pairs: list[tuple[int, int]] = []
    rows, columns = np.nonzero(overlap >= _SAME_PERSON_IOU)
    order = np.argsort(-overlap[rows, columns], kind="stable")
    taken_rows: set[int] = set()
    taken_columns: set[int] = set()
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in taken_rows and column not in taken_columns:
            pairs.append((row, column))
            taken_rows.add(row)
            taken_columns.add(column)
    return pairs
