"""What a frame of tracking costs, and how that compares to Ultralytics' ByteTrack.

Objects cross each other on a 1280x720 image at 30 Hz; each gets one noisy
detection a frame, now and then a faint one or none. Both trackers are given the
same rows in one process, frame by frame in turn, so that whatever else the
machine does weighs on both.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import numpy as np

from bench.peers.adapters import UltralyticsRows
from bench.row import Row, median, p99
from windhover.tracking import make_tracker
from windhover.types import Detections

OBJECTS = (10, 100, 500)
MOST_MS = {100: 1.0}
FRAMES = 400
WARM_UP = 30
RATE_HZ = 30.0
WIDTH, HEIGHT = 1280, 720


def crossing(objects: int, frames: int, seed: int = 0) -> Iterator[Detections]:
    """Noisy detections of objects that bounce about the image and cross."""
    rng = np.random.default_rng(seed)
    extent = np.array([WIDTH, HEIGHT])
    centre = rng.uniform(0, extent, (objects, 2))
    speed = rng.normal(0, 50, (objects, 2))
    side = rng.uniform(12, 50, (objects, 2))
    labels = rng.integers(0, 3, objects).astype(np.int32)
    for _ in range(frames):
        centre = centre + speed / RATE_HZ
        speed = np.where((centre < 0) | (centre > extent), -speed, speed)
        here = centre + rng.normal(0, 0.7, centre.shape)
        sides = side * np.exp(rng.normal(0, 0.02, side.shape))
        scores = np.clip(rng.normal(0.75, 0.15, objects), 0.05, 0.99).astype(np.float32)
        boxes = np.concatenate((here - sides / 2, here + sides / 2), axis=1).astype(np.float32)
        order = np.argsort(-scores)[rng.random(objects) < 0.98]
        yield Detections(boxes[order], scores[order], labels[order])


def ultralytics_update() -> Callable[[Detections], object] | None:
    """A fresh BYTETracker's update, ``None`` where it or its solver is missing."""
    # lap is looked for first: Ultralytics would try to install it on import.
    if not all(importlib.util.find_spec(name) for name in ("lap", "ultralytics")):
        return None
    from ultralytics.trackers.byte_tracker import BYTETracker

    settings = SimpleNamespace(
        track_high_thresh=0.5,
        track_low_thresh=0.1,
        new_track_thresh=0.6,
        track_buffer=60,
        match_thresh=0.8,
        fuse_score=True,
    )
    peer = BYTETracker(settings)
    return lambda rows: peer.update(UltralyticsRows(rows))


def measure() -> list[Row]:
    """Time both trackers at each number of objects."""
    return [_measure(objects) for objects in OBJECTS]


def _measure(objects: int) -> Row:
    tracker = make_tracker(params={"high_score": 0.5, "new_track_score": 0.6})
    peer = ultralytics_update()
    ours: list[int] = []
    theirs: list[int] = []
    for k, rows in enumerate(crossing(objects, FRAMES)):
        start = time.perf_counter_ns()
        tracker.update(rows, round(k / RATE_HZ * 1e9))
        ours.append(time.perf_counter_ns() - start)
        if peer is not None:
            start = time.perf_counter_ns()
            peer(rows)
            theirs.append(time.perf_counter_ns() - start)
    times = np.array(ours[WARM_UP:]) / 1e6
    return Row(
        "tracker",
        f"{objects} objects at {RATE_HZ:g} Hz",
        median(times),
        p99(times),
        "Ultralytics BYTETracker" if theirs else None,
        median(np.array(theirs[WARM_UP:])) / 1e6 if theirs else None,
        most_ms=MOST_MS.get(objects),
        note="" if theirs else "Ultralytics not measured: it needs make train-env and lap there",
    )
