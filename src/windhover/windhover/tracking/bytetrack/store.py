"""State of each track: columns of arrays beside the motion filter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from windhover.tracking.bytetrack.association import Array, Rows
from windhover.tracking.bytetrack.motion import BoxFilter
from windhover.tracking.bytetrack.params import ByteTrackParams
from windhover.types import Detections

# Shift, in sides of the box, beyond which a first move is taken as speed and not as jitter.
_FAST_SHIFT = 0.3


class TrackStore:
    """The current tracks, one row each, in the order of their ids.

    Attributes:
        motion: the rows' motion filter.
        track_id: ``(N,)`` int64.
        class_id: ``(N,)`` int32.
        score: ``(N,)`` float32, of the detection last matched.
        hits: ``(N,)`` int32, detections matched so far.
        age_ns: ``(N,)`` int64, time since the first detection.
        unseen_ns: ``(N,)`` int64, time since the last detection.
        hits_needed: ``(N,)`` int32, hits until it may be confirmed.
        confirmed: ``(N,)`` bool.
    """

    def __init__(self, params: ByteTrackParams) -> None:
        self._params = params
        self._confirm_ns = round(params.confirm_seconds * 1e9)
        self._next_id = 1
        self.clear()

    def __len__(self) -> int:
        return len(self.track_id)

    def clear(self) -> None:
        """Drop all tracks; their ids stay used."""
        self.motion = BoxFilter(self._params)
        self.track_id = np.empty(0, np.int64)
        self.class_id = np.empty(0, np.int32)
        # Lead of class_id over all other classes in the votes so far.
        self._lead = np.empty(0, np.float64)
        self.score = np.empty(0, np.float32)
        self.hits = np.empty(0, np.int32)
        self.hits_needed = np.empty(0, np.int32)
        self.age_ns = np.empty(0, np.int64)
        self.unseen_ns = np.empty(0, np.int64)
        self.confirmed = np.empty(0, np.bool_)

    def advance(self, elapsed_ns: int, steady: bool = False) -> None:
        """Predict and age all tracks; ``steady`` as in :meth:`.motion.BoxFilter.predict`."""
        self.motion.predict(elapsed_ns * 1e-9, steady)
        self.age_ns += elapsed_ns
        self.unseen_ns += elapsed_ns

    def match(self, rows: Rows, detections: Detections) -> None:
        """Give row ``rows[i]`` detection ``i``; no row twice."""
        self._correct(rows, detections.boxes.astype(np.float64))
        self._vote(rows, detections)
        self.score[rows] = detections.scores
        self.unseen_ns[rows] = 0
        self.hits[rows] += 1
        self.confirmed[rows] |= (self.hits[rows] >= self.hits_needed[rows]) & (
            self.age_ns[rows] >= self._confirm_ns
        )

    def _correct(self, rows: Rows, boxes: Array) -> None:
        second = self.hits[rows] == 1
        if self._params.first_speed_gate > 0.0 and second.any():
            _, shift = self.motion.displacements(rows, boxes)
            apart = self.hits_needed[rows] > self._params.confirm_hits
            fast = second & (apart | (shift > _FAST_SHIFT)) & (self.unseen_ns[rows] > 0)
            if fast.any():
                elapsed = self.unseen_ns[rows[fast]] * 1e-9
                self.motion.correct_at_speed(rows[fast], boxes[fast], elapsed)
                rows, boxes = rows[~fast], boxes[~fast]
        self.motion.correct(rows, boxes)

    def _vote(self, rows: Rows, detections: Detections) -> None:
        """Majority vote weighed by score (Boyer and Moore 1981), one counter a track."""
        same = self.class_id[rows] == detections.class_ids
        lead = self._lead[rows] + np.where(same, detections.scores, -detections.scores)
        overtaken = lead < 0.0
        self.class_id[rows[overtaken]] = detections.class_ids[overtaken]
        self._lead[rows] = np.abs(lead)

    def start(self, detections: Detections, *, confirmed: bool, steady: bool = False) -> None:
        """Begin a track at each detection, with new ids in their order.

        Args:
            detections: of the present frame.
            confirmed: report them from now on, however few hits they have.
            steady: as :class:`.motion.BoxFilter` has it.
        """
        count = len(detections)
        self.motion.append(detections.boxes.astype(np.float64), steady)
        known = confirmed or (self._params.confirm_hits == 1 and self._confirm_ns == 0)
        ids = np.arange(self._next_id, self._next_id + count, dtype=np.int64)
        self._next_id += count
        self.track_id = np.concatenate((self.track_id, ids))
        self.class_id = np.concatenate((self.class_id, detections.class_ids))
        self._lead = np.concatenate((self._lead, detections.scores))
        self.score = np.concatenate((self.score, detections.scores))
        self.hits = np.concatenate((self.hits, np.ones(count, np.int32)))
        needed = np.full(count, self._params.confirm_hits, np.int32)
        self.hits_needed = np.concatenate((self.hits_needed, needed))
        self.age_ns = np.concatenate((self.age_ns, np.zeros(count, np.int64)))
        self.unseen_ns = np.concatenate((self.unseen_ns, np.zeros(count, np.int64)))
        self.confirmed = np.concatenate((self.confirmed, np.full(count, known)))

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """End all tracks but those where the mask is true."""
        if rows.all():
            return
        self.motion.keep(rows)
        self.track_id = self.track_id[rows]
        self.class_id = self.class_id[rows]
        self._lead = self._lead[rows]
        self.score = self.score[rows]
        self.hits = self.hits[rows]
        self.hits_needed = self.hits_needed[rows]
        self.age_ns = self.age_ns[rows]
        self.unseen_ns = self.unseen_ns[rows]
        self.confirmed = self.confirmed[rows]
