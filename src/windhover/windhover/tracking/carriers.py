"""Which person carries which weapon: a relation between two tracks.

Both tracks are still published separately; the relation states that one was seen on
the other for some time. It only describes the image: nothing here ranks, warns or
decides.

In every frame in which both are seen, a weapon votes for the persons whose widened
box contains its centre, with a weight that falls with distance; votes decay with
time. The link goes to the person with the most votes once there are enough, and only
changes when another has clearly more, so that someone who passes does not take it
over. Where the detector knows in whose chip a weapon was found, that frame's vote goes to
this person alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from windhover.boxes import iou_matrix
from windhover.types import Detections, Tracks


class CarrierParams(BaseModel):
    """Settings of :class:`CarrierLinks`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weapon_labels: list[str] = Field(
        default=["weapon"], description="Labels of what is carried; none: nothing is linked."
    )
    carrier_labels: list[str] = Field(
        default=["person"], description="Labels of what may carry it."
    )
    link_seconds: float = Field(
        default=0.4,
        gt=0.0,
        le=10.0,
        description="How long a weapon must be seen on a person before the two are linked. "
        "Longer: fewer links to someone who only passes; shorter: linked sooner.",
    )
    memory_seconds: float = Field(
        default=4.0,
        gt=0.0,
        le=60.0,
        description="Time in which what was seen fades to a third. Longer: a link outlasts "
        "crossings; shorter: it follows sooner when a weapon changes hands.",
    )
    reach: float = Field(
        default=0.35,
        ge=0.0,
        le=2.0,
        description="How far beyond a person's box the centre of a weapon may lie, in box sizes. "
        "Higher: long weapons held out are linked; lower: fewer wrong links in a group.",
    )
    unseen_seconds: float = Field(
        default=2.0,
        ge=0.0,
        le=60.0,
        description="How long a link is kept while the weapon or the person is not seen.",
    )


class CarrierLinks:
    """Links weapon tracks to person tracks.

    Args:
        params: settings; ``None`` for the defaults.
    """

    def __init__(self, params: CarrierParams | None = None) -> None:
        self._params = params or CarrierParams()
        # Seconds of evidence of each (weapon id, person id).
        self._votes: dict[tuple[int, int], float] = {}
        self._link: dict[int, int] = {}
        self._seen_ns: dict[int, int] = {}
        self._last_ns: int | None = None

    def reset(self) -> None:
        """Forget all links."""
        self._votes.clear()
        self._link.clear()
        self._seen_ns.clear()
        self._last_ns = None

    def update(
        self,
        tracks: Tracks,
        labels: Sequence[str],
        stamp_ns: int,
        detections: Detections | None = None,
    ) -> Tracks:
        """Process a frame's tracks.

        Args:
            tracks: of the tracker.
            labels: that their ``class_ids`` index.
            stamp_ns: of the frame; a step back counts as no time.
            detections: that the tracks were made of, for their ``carriers``.

        Returns:
            The same tracks with ``carrier_ids`` and ``carrier_scores`` filled in.
        """
        params = self._params
        elapsed = 0.0 if self._last_ns is None else max(0, stamp_ns - self._last_ns) * 1e-9
        self._last_ns = stamp_ns
        weapons = _rows_of(tracks, labels, params.weapon_labels)
        if not self._seen_ns and not len(weapons):
            return tracks
        people = _rows_of(tracks, labels, params.carrier_labels)
        # A gap is not evidence: one frame counts for at most a tenth of a second.
        self._decay(elapsed)
        known = _carriers_of(tracks, weapons, people, detections)
        self._vote(tracks, weapons, people, min(elapsed, 0.1), known)
        self._update_seen(tracks, weapons, people, stamp_ns)
        for weapon in tracks.track_ids[weapons].tolist():
            self._update_link(weapon)
        return self._with_links(tracks, weapons)

    def _decay(self, elapsed: float) -> None:
        keep = float(np.exp(-elapsed / self._params.memory_seconds))
        self._votes = {pair: votes * keep for pair, votes in self._votes.items()}

    def _vote(
        self,
        tracks: Tracks,
        weapons: NDArray[np.intp],
        people: NDArray[np.intp],
        weight: float,
        known: NDArray[np.intp],
    ) -> None:
        if not len(weapons) or not len(people):
            return
        boxes = tracks.boxes.astype(np.float64)
        centre = (boxes[weapons, :2] + boxes[weapons, 2:]) / 2
        low, high = boxes[people, :2], boxes[people, 2:]
        size = np.sqrt((high - low).prod(axis=1))
        # Distance outside each box, (weapons, people), in that person's box sizes.
        outside = np.maximum(
            np.maximum(low[None] - centre[:, None], centre[:, None] - high[None]), 0.0
        )
        distance = np.hypot(outside[..., 0], outside[..., 1]) / size[None]
        middle = np.hypot(*np.moveaxis(centre[:, None] - ((low + high) / 2)[None], 2, 0)) / size
        near = distance <= self._params.reach
        votes = weight * near / (1.0 + middle)
        found = np.flatnonzero(known >= 0)
        votes[found] = 0.0
        votes[found, known[found]] = weight
        total = votes.sum(axis=1, keepdims=True)
        # A weapon among several people votes for each in part.
        shares = np.divide(votes * weight, total, out=np.zeros_like(votes), where=total > 0.0)
        for row, column in zip(*np.nonzero(shares), strict=True):
            pair = int(tracks.track_ids[weapons[row]]), int(tracks.track_ids[people[column]])
            self._votes[pair] = self._votes.get(pair, 0.0) + float(shares[row, column])

    def _update_seen(
        self,
        tracks: Tracks,
        weapons: NDArray[np.intp],
        people: NDArray[np.intp],
        stamp_ns: int,
    ) -> None:
        """Record which tracks were seen, and forget those unseen for too long."""
        self._seen_ns.update(dict.fromkeys(tracks.track_ids[weapons].tolist(), stamp_ns))
        involved = {person for _, person in self._votes}
        here = tracks.track_ids[people].tolist()
        self._seen_ns.update({person: stamp_ns for person in here if person in involved})
        limit = stamp_ns - round(self._params.unseen_seconds * 1e9)
        gone = {number for number, seen in self._seen_ns.items() if seen < limit}
        if gone:
            self._seen_ns = {n: seen for n, seen in self._seen_ns.items() if n not in gone}
            self._votes = {p: v for p, v in self._votes.items() if not gone.intersection(p)}
            self._link = {
                weapon: person
                for weapon, person in self._link.items()
                if weapon not in gone and person not in gone
            }

    def _update_link(self, weapon: int) -> None:
        votes = {person: v for (one, person), v in self._votes.items() if one == weapon}
        if not votes:
            return
        best = max(votes, key=lambda person: (votes[person], -person))
        held = self._link.get(weapon)
        if held is None:
            if votes[best] >= self._params.link_seconds:
                self._link[weapon] = best
        elif votes[best] > _SWITCH_RATIO * votes.get(held, 0.0):
            self._link[weapon] = best

    def _with_links(self, tracks: Tracks, weapons: NDArray[np.intp]) -> Tracks:
        carriers = np.zeros(len(tracks), np.int64)
        scores = np.zeros(len(tracks), np.float32)
        for row in weapons.tolist():
            weapon = int(tracks.track_ids[row])
            person = self._link.get(weapon)
            if person is None:
                continue
            total = sum(v for (one, _), v in self._votes.items() if one == weapon)
            carriers[row] = person
            scores[row] = self._votes.get((weapon, person), 0.0) / total if total else 0.0
        return replace(tracks, carrier_ids=carriers, carrier_scores=scores)


_SWITCH_RATIO = 1.5
# Overlap from which a track's box, which is smoothed, is that of a detection.
_SAME_WEAPON_IOU, _SAME_PERSON_IOU = 0.1, 0.3


def _carriers_of(
    tracks: Tracks,
    weapons: NDArray[np.intp],
    people: NDArray[np.intp],
    detections: Detections | None,
) -> NDArray[np.intp]:
    """Which of the people is known to carry each weapon, ``(weapons,)``; -1 = unknown."""
    known = np.full(len(weapons), -1, np.intp)
    if detections is None or detections.carriers is None or not len(people):
        return known
    seen = detections[np.flatnonzero(np.isfinite(detections.carriers).all(axis=1))]
    if not len(seen) or seen.carriers is None:
        return known
    same = iou_matrix(tracks.boxes[weapons], seen.boxes)
    same[tracks.class_ids[weapons][:, None] != seen.class_ids] = 0.0
    whose = iou_matrix(seen.carriers, tracks.boxes[people])
    rows = np.flatnonzero(same.max(axis=1) >= _SAME_WEAPON_IOU)
    carried = same[rows].argmax(axis=1)
    sure = whose[carried].max(axis=1, initial=0.0) >= _SAME_PERSON_IOU
    known[rows[sure]] = whose[carried[sure]].argmax(axis=1)
    return known


def _rows_of(tracks: Tracks, labels: Sequence[str], wanted: Sequence[str]) -> NDArray[np.intp]:
    numbers = [number for number, label in enumerate(labels) if label in wanted]
    return np.flatnonzero(np.isin(tracks.class_ids, numbers))
