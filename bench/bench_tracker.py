"""What a frame of tracking costs, and how that compares to Ultralytics' ByteTrack.

Objects cross each other on a 1280x720 image at 30 Hz; each gets one noisy
detection a frame, now and then a faint one or none. Both trackers are given the
same rows in one process, frame by frame in turn, so that whatever else the
machine does weighs on both.

    OMP_NUM_THREADS=1 python bench/bench_tracker.py
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from windhover.tracking import make_tracker
from windhover.types import Detections

OBJECTS = (10, 100, 500)
FRAMES = 400
WARM_UP = 30
RATE_HZ = 30.0
WIDTH, HEIGHT = 1280, 720


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        objects: objects in the scene.
        median_ms: of ours, a frame.
        p99_ms: of ours, a frame.
        peer_median_ms: of Ultralytics' BYTETracker, ``None`` where it can't be imported.
    """

    objects: int
    median_ms: float
    p99_ms: float
    peer_median_ms: float | None

    @property
    def ratio(self) -> float | None:
        """How many times faster ours is."""
        return None if self.peer_median_ms is None else self.peer_median_ms / self.median_ms


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


class _Results:
    """What BYTETracker reads of Ultralytics' ``Boxes``, without torch tensors."""

    def __init__(self, rows: Detections) -> None:
        self._rows = rows
        self.conf = rows.scores
        self.cls = rows.class_ids.astype(np.float32)
        self.xyxy = rows.boxes
        sides = rows.boxes[:, 2:] - rows.boxes[:, :2]
        self.xywh = np.concatenate((rows.boxes[:, :2] + sides / 2, sides), axis=1)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: NDArray[np.bool_]) -> _Results:
        return _Results(self._rows[rows])


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
    return lambda rows: peer.update(_Results(rows))


def measure() -> list[Row]:
    """Time both trackers at each number of objects."""
    return [_measure(objects) for objects in OBJECTS]


def _measure(objects: int) -> Row:
    tracker = make_tracker()
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
        objects=objects,
        median_ms=float(np.median(times)),
        p99_ms=float(np.percentile(times, 99)),
        peer_median_ms=float(np.median(theirs[WARM_UP:])) / 1e6 if theirs else None,
    )


def main() -> None:
    """Print the table."""
    print(f"{'objects':>8} {'median ms':>10} {'p99 ms':>8} {'Ultralytics ms':>15} {'ratio':>6}")
    for row in measure():
        peer = "-" if row.peer_median_ms is None else f"{row.peer_median_ms:.2f}"
        ratio = "-" if row.ratio is None else f"{row.ratio:.1f}x"
        print(f"{row.objects:>8} {row.median_ms:>10.3f} {row.p99_ms:>8.3f} {peer:>15} {ratio:>6}")


if __name__ == "__main__":
    main()
