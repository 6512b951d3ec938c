"""Ids against ByteTrack as published: frames, lists and 8x8 matrices.

The reference follows the paper's algorithm and its usual constants directly
and shares no code with the tracker.
"""

from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from windhover.tracking import make_tracker

RATE = 30
BUFFER = 30
# The tracker's seconds, set to what the reference counts in frames.
FRAME_BASED = {
    "lost_seconds": BUFFER / RATE,
    "recover_seconds": 1.5 / RATE,
    "tentative_seconds": 0.0,
    "min_side_px": 0.0,
    "refind_gate": 0.0,
    "first_speed_gate": 0.0,
    "class_change_overlap": 1.0,
    "match_overlap": 0.2,
    "low_match_overlap": 0.5,
    "new_match_overlap": 0.3,
    "high_score": 0.5,
    "new_track_score": 0.6,
}


@dataclass
class ReferenceTrack:
    mean: np.ndarray
    covariance: np.ndarray
    number: int
    confirmed: bool
    label: int
    tracked: bool = True
    last_frame: int = 0


@dataclass
class ReferenceByteTrack:
    tracks: list = field(default_factory=list)
    frame: int = 0
    count: int = 0

    def update(self, boxes, scores, labels):
        self.frame += 1
        for track in self.tracks:
            self.predict(track)
        high = [i for i, s in enumerate(scores) if s >= 0.5]
        low = [i for i, s in enumerate(scores) if 0.1 <= s < 0.5]
        known = [t for t in self.tracks if t.confirmed]
        fresh = [t for t in self.tracks if not t.confirmed]
        sure = (boxes, labels, scores)
        faint = (boxes, labels, np.ones(len(scores)))
        left, high = self.match(known, high, sure, 0.8)
        self.match([t for t in left if t.tracked], low, faint, 0.5)
        _, high = self.match(fresh, high, sure, 0.7)
        for track in self.tracks:
            track.tracked = track.last_frame == self.frame
        self.tracks = [
            t
            for t in self.tracks
            if t.tracked or (t.confirmed and self.frame - t.last_frame <= BUFFER)
        ]
        for i in high:
            if scores[i] >= 0.6:
                self.start(boxes[i], labels[i])
        return {t.number: self.box(t) for t in self.tracks if t.tracked and t.confirmed}

    def match(self, tracks, rows, detections, limit):
        boxes, labels, weights = detections
        cost = np.full((len(tracks), len(rows)), limit)
        for a, track in enumerate(tracks):
            for b, i in enumerate(rows):
                if track.label == labels[i]:
                    likeness = self.iou(self.box(track), boxes[i]) * weights[i]
                    cost[a, b] = min(1.0 - likeness, limit)
        taken_tracks, taken_rows = set(), set()
        for a, b in zip(*linear_sum_assignment(cost), strict=True):
            if cost[a, b] < limit:
                self.correct(tracks[a], boxes[rows[b]])
                taken_tracks.add(a)
                taken_rows.add(b)
        return (
            [t for a, t in enumerate(tracks) if a not in taken_tracks],
            [i for b, i in enumerate(rows) if b not in taken_rows],
        )

    def start(self, box, label):
        self.count += 1
        measured = self.measured(box)
        h = measured[3]
        deviations = [h / 10, h / 10, 1e-2, h / 10, h / 16, h / 16, 1e-5, h / 16]
        track = ReferenceTrack(
            np.concatenate((measured, np.zeros(4))),
            np.diag(np.square(deviations)),
            self.count,
            self.frame == 1,
            label,
            last_frame=self.frame,
        )
        self.tracks.append(track)

    @staticmethod
    def predict(track):
        if not track.tracked:
            track.mean[7] = 0.0
        h = track.mean[3]
        noise = [h / 20, h / 20, 1e-2, h / 20, h / 160, h / 160, 1e-5, h / 160]
        flow = np.eye(8) + np.eye(8, k=4)
        track.mean = flow @ track.mean
        track.covariance = flow @ track.covariance @ flow.T + np.diag(np.square(noise))

    def correct(self, track, box):
        h = track.mean[3]
        pick = np.eye(4, 8)
        spread = pick @ track.covariance @ pick.T
        spread += np.diag(np.square([h / 20, h / 20, 1e-1, h / 20]))
        gain = track.covariance @ pick.T @ np.linalg.inv(spread)
        track.mean = track.mean + gain @ (self.measured(box) - pick @ track.mean)
        track.covariance = track.covariance - gain @ spread @ gain.T
        track.confirmed = True
        track.last_frame = self.frame

    @staticmethod
    def measured(box):
        x1, y1, x2, y2 = box
        return np.array([(x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) / (y2 - y1), y2 - y1])

    @staticmethod
    def box(track):
        x, y, a, h = track.mean[:4]
        return np.array([x - a * h / 2, y - h / 2, x + a * h / 2, y + h / 2])

    @staticmethod
    def iou(one, other):
        sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
        if (sides <= 0).any():
            return 0.0
        common = sides.prod()
        return common / ((one[2:] - one[:2]).prod() + (other[2:] - other[:2]).prod() - common)


def flight(seed, count, frames=120, occlusions=True):
    """Objects on smooth paths with noise, faint spells, gaps, late starts and ends."""
    rng = np.random.default_rng(seed)
    start = rng.uniform([50, 50], [1200, 650], (count, 2))
    speed = rng.uniform(-2.5, 2.5, (count, 2))
    side = rng.uniform(30, 60, (count, 2))
    label = rng.integers(0, 3, count)
    born = np.where(rng.random(count) < 0.6, 0, rng.integers(0, frames // 2, count))
    gone = np.where(rng.random(count) < 0.7, frames, rng.integers(frames // 2, frames, count))
    gap_at = rng.integers(20, frames, count)
    gap_for = rng.integers(3, 20, count) * occlusions
    faint_at = rng.integers(10, frames, count)
    for k in range(frames):
        there = (born <= k) & (k < gone) & ~((gap_at <= k) & (k < gap_at + gap_for))
        centre = start + speed * k + rng.normal(0, 0.6, (count, 2))
        sides = side * np.exp(rng.normal(0, 0.01, (count, 2)))
        scores = np.where((faint_at <= k) & (k < faint_at + 8), 0.3, 0.9)
        boxes = np.concatenate((centre - sides / 2, centre + sides / 2), axis=1)
        yield boxes[there], scores[there], label[there]


def as_frame(frame_of, boxes, scores, labels):
    centred = np.concatenate(((boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]), 1)
    return frame_of(centred, scores, labels)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [1, 8, 20])
def test_same_tracks_as_the_reference(frame_of, count, seed):
    tracker = make_tracker(params=FRAME_BASED)
    reference = ReferenceByteTrack()
    partner = {}
    for k, (boxes, scores, labels) in enumerate(flight(seed, count)):
        rows = as_frame(frame_of, boxes, scores, labels)
        ours = tracker.update(rows, round(k / RATE * 1e9))
        theirs = reference.update(boxes, scores, labels)
        assert len(ours) == len(theirs), f"frame {k}"
        for number, box in theirs.items():
            overlaps = [reference.iou(box, other) for other in ours.boxes]
            mine = int(ours.track_ids[int(np.argmax(overlaps))])
            assert max(overlaps) > 0.8, f"frame {k}"
            assert partner.setdefault(number, mine) == mine, f"frame {k}: id switched"
    assert len(set(partner.values())) == len(partner)
    assert len(partner) >= count
