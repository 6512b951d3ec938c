"""ByteTrack in seconds.

Zhang et al., "ByteTrack: Multi-Object Tracking by Associating Every Detection
Box", ECCV 2022: high-score detections are matched first, then low-score ones to the
remaining tracks. Differences here: motion, ageing and confirmation count seconds,
because the rate of a drone's camera and of its detector varies; association is by
class; and all tracks are processed at once as columns of arrays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from windhover.tracking.bytetrack.association import (
    Array,
    Matching,
    Pairs,
    Rows,
    overlapping,
    widen,
)
from windhover.tracking.bytetrack.params import ByteTrackParams
from windhover.tracking.bytetrack.store import TrackStore
from windhover.tracking.camera_motion import CameraMotion, ImageMotion
from windhover.tracking.clock import FrameClock
from windhover.types import Detections, Image, Tracks

# Ratio of areas beyond which a box at a distance is another object's.
_AREA_CHANGE = 3.0
_REFIND_HITS = 5


class ByteTracker:
    """Two-stage association over a Kalman filter, time in seconds.

    A track is published while it is confirmed and was detected in the current
    frame, with the filter's updated box, which is smoother than the detector's. The
    score is the detection's. Tracks of the first frame are confirmed at once, as in
    ByteTrack: there is no earlier frame to confirm them by.

    Invalid boxes (NaN, infinite, no width or height) are dropped. The order of the
    detections has no influence.

    Args:
        params: settings; ``None`` for the defaults.
    """

    def __init__(self, params: ByteTrackParams | None = None) -> None:
        self._params = params or ByteTrackParams()
        self._tracks = TrackStore(self._params)
        self._clock = FrameClock(self._params.clock_jump_s)
        self._camera = CameraMotion()
        self._lost_ns = round(self._params.lost_seconds * 1e9)
        self._recover_ns = round(self._params.recover_seconds * 1e9)
        self._tentative_ns = round(self._params.tentative_seconds * 1e9)
        self._start_score = max(self._params.high_score, self._params.new_track_score)
        self._first = True

    @property
    def params(self) -> ByteTrackParams:
        """The settings in force."""
        return self._params

    def __len__(self) -> int:
        """Tracks kept, including those not seen or not confirmed."""
        return len(self._tracks)

    def reset(self) -> None:
        """Forget all tracks and the clock; no id is used again."""
        self._tracks.clear()
        self._clock.reset()
        self._camera.reset()
        self._first = True

    def update(
        self,
        detections: Detections,
        stamp_ns: int,
        image: Image | None = None,
        motion: NDArray[np.float64] | None = None,
    ) -> Tracks:
        """Advance to ``stamp_ns`` and process that frame's detections.

        Args:
            detections: source pixels, in any order; may be empty.
            stamp_ns: capture time, nanoseconds. A step of up to
                ``clock_jump_s`` back counts as no time; a greater step, back
                or forward, ends all tracks, because the time that passed is
                unknown.
            image: the frame, for ``camera_motion``. One that has nothing in
                common with the last ends all tracks too.
            motion: ``(3, 3)`` homography from the last frame's pixels to this
                one's, from the camera's attitude; for ``camera_motion``.

        Returns:
            The confirmed tracks seen in this frame, by id.
        """
        tracks = self._tracks
        elapsed = self._clock.advance(stamp_ns)
        seen = self._usable(detections)
        if elapsed is None:
            self._camera.reset()
        camera = self._camera_motion(seen, image, motion)
        if elapsed is None or camera.cut:
            tracks.clear()
            self._first = True
        else:
            steady = camera.matrix is not None
            tracks.advance(elapsed, steady)
            # Before matching: how long an id lives must not depend on the rate.
            tracks.keep(tracks.unseen_ns <= self._lost_ns)
            if camera.matrix is not None:
                tracks.motion.warp(camera.matrix)
        rows, found = self._associate(seen, elapsed or 0)
        tracks.match(rows, seen[found])
        matched = np.zeros(len(tracks), np.bool_)
        matched[rows] = True
        # A tentative track is not kept for long.
        stays = matched | tracks.confirmed | (tracks.unseen_ns < self._tentative_ns)
        tracks.keep(stays)
        born = self._start(seen, found, camera.matrix is not None)
        self._first = False
        return self._publish(np.concatenate((matched[stays], born)), seen.labels)

    def _camera_motion(
        self, seen: Detections, image: Image | None, motion: NDArray[np.float64] | None
    ) -> ImageMotion:
        if not self._params.camera_motion:
            return ImageMotion()
        if image is None:
            return ImageMotion(motion)
        measured = self._camera.estimate(image, seen.boxes, motion)
        if measured.matrix is None and not measured.cut:
            return ImageMotion(motion)
        return measured

    def _usable(self, detections: Detections) -> Detections:
        """The valid boxes that score enough, sorted by their values."""
        boxes = detections.boxes
        with np.errstate(invalid="ignore", over="ignore"):
            sides = boxes[:, 2:] - boxes[:, :2]
            # NaN compares false, and an infinite corner makes a side infinite or NaN.
            valid = ((sides > 0.0) & (sides < np.inf)).all(axis=1)
            valid &= detections.scores >= self._params.low_score
        order = np.argsort(boxes[:, 0], kind="stable")
        left = boxes[order, 0]
        if not (left[1:] > left[:-1]).all():
            # Equal sides, or NaN: the other columns decide.
            order = np.lexsort((detections.class_ids, detections.scores, *boxes.T[::-1]))
        return detections[order[valid[order]]]

    def _associate(self, seen: Detections, elapsed_ns: int) -> tuple[Rows, Rows]:
        """Match tracks to detections, stage by stage.

        Returns:
            Rows of the matched tracks and of their detections, same length.
        """
        params, tracks = self._params, self._tracks
        side = params.min_side_px
        boxes = seen.boxes.astype(np.float64)
        matching = Matching(len(tracks), len(seen))
        pairs = overlapping(widen(tracks.motion.boxes, side), widen(boxes, side))
        scores = seen.scores[pairs.detections]
        similarity = pairs.overlap * scores if params.fuse_score else pairs.overlap
        sure = scores >= params.high_score
        known = tracks.confirmed[pairs.tracks]
        recent = tracks.unseen_ns[pairs.tracks] <= self._recover_ns
        same = tracks.class_id[pairs.tracks] == seen.class_ids[pairs.detections]
        allowed = same if params.class_aware else np.ones_like(same)
        matching.add(pairs, allowed & sure & known, similarity - params.match_overlap)
        matching.add(
            pairs, allowed & ~sure & known & recent, pairs.overlap - params.low_match_overlap
        )
        if params.refind_gate > 0.0:
            self._refind(matching, seen, boxes)
        matching.add(pairs, allowed & sure & ~known, similarity - params.new_match_overlap)
        matching.add(
            pairs, ~allowed & sure & known & recent, pairs.overlap - params.class_change_overlap
        )
        if params.first_speed_gate > 0.0:
            moved = self._associate_by_speed(matching, seen, boxes, elapsed_ns)
            tracks.hits_needed[moved] += 1
        return matching.result()

    def _refind(self, matching: Matching, seen: Detections, boxes: Array) -> None:
        """Match by distance: a lost track's prediction may not overlap the object."""
        tracks, gate = self._tracks, self._params.refind_gate
        # Tracks of few hits are left out, or clutter would continue clutter.
        lasting = tracks.confirmed & (tracks.hits >= _REFIND_HITS) & (tracks.unseen_ns > 0)
        rows = np.flatnonzero(matching.free_tracks & lasting)
        found = np.flatnonzero(matching.free_detections & (seen.scores >= self._start_score))
        if not len(rows) or not len(found):
            return
        nearness = 1.0 - tracks.motion.distances(rows, boxes[found]) / gate
        row, col = np.nonzero(nearness > 0.0)
        pairs = Pairs(rows[row], found[col], nearness[row, col])
        # These pairs need not overlap: nearness takes the place of overlap.
        matching.add(pairs, self._alike(pairs.tracks, pairs.detections, seen, boxes), pairs.overlap)

    def _associate_by_speed(
        self, matching: Matching, seen: Detections, boxes: Array, elapsed_ns: int
    ) -> Rows:
        """Match tracks that were detected once, so that their velocity is unknown, by distance.

        A reported track must be the only choice: in a crowd, its next detection may be
        missing and another object's at hand.

        Returns:
            Rows of the tracks that were matched.
        """
        tracks, params = self._tracks, self._params
        sure = seen.scores >= self._start_score
        if not (sure & matching.free_detections).any():
            return np.empty(0, np.intp)
        fresh = (tracks.hits == 1) & (tracks.unseen_ns <= max(self._tentative_ns, elapsed_ns))
        rows = np.flatnonzero(matching.free_tracks & fresh)[:, None]
        if not len(rows):
            return rows[:, 0]
        found = np.flatnonzero(sure)
        reach = params.first_speed_gate * 1e-9 * tracks.unseen_ns[rows]
        gate = np.minimum(reach, params.first_distance_gate)
        moved, _ = tracks.motion.displacements(rows, boxes[found])
        near = (moved < gate) & self._alike(rows, found, seen, boxes)
        near &= ~tracks.confirmed[rows] | (near.sum(axis=1, keepdims=True) == 1)
        row, col = np.nonzero(near)
        # Squared, and at least 1 each: objects that move side by side keep their places.
        nearness = 2.0 - np.square(moved[near] / gate[row, 0])
        pairs = Pairs(rows[row, 0], found[col], nearness)
        return matching.add(pairs, np.ones(len(row), np.bool_), nearness)

    def _alike(
        self, tracks: Rows, detections: Rows, seen: Detections, boxes: Array
    ) -> NDArray[np.bool_]:
        """Whether area and class agree; rows of tracks and of detections broadcast."""
        sides = boxes[:, 2:] - boxes[:, :2]
        now, held = (sides[:, 0] * sides[:, 1])[detections], self._tracks.motion.areas[tracks]
        alike: NDArray[np.bool_] = (now < _AREA_CHANGE * held) & (held < _AREA_CHANGE * now)
        if self._params.class_aware:
            alike &= self._tracks.class_id[tracks] == seen.class_ids[detections]
        return alike

    def _start(self, seen: Detections, found: Rows, steady: bool) -> NDArray[np.bool_]:
        """Start tracks at sure detections that no track claimed.

        Returns:
            True for each track that was started.
        """
        unclaimed = seen.scores >= self._start_score
        unclaimed[found] = False
        if unclaimed.any():
            self._tracks.start(seen[unclaimed], confirmed=self._first, steady=steady)
        return np.ones(int(unclaimed.sum()), np.bool_)

    def _publish(self, matched: NDArray[np.bool_], labels: tuple[str, ...]) -> Tracks:
        tracks = self._tracks
        rows = matched & tracks.confirmed
        return Tracks(
            boxes=tracks.motion.boxes[rows].astype(np.float32),
            scores=tracks.score[rows],
            class_ids=tracks.class_id[rows],
            track_ids=tracks.track_id[rows],
            labels=labels,
        )
