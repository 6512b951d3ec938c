"""What a frame of tracking costs, and how that compares to Ultralytics' trackers.

Objects cross each other on a 1280x720 image at 30 Hz; each gets one noisy
detection a frame, sometimes with a low score or none. Both trackers are given the
same rows in one process, frame by frame alternately, so that other load on the
machine affects both. With camera motion both also measure it on a 640x512 image of
ground that passes below, ours against BoT-SORT's.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.peers.adapters import UltralyticsRows
from bench.row import Row, median, p99
from windhover.tracking import make_tracker
from windhover.types import Detections

OBJECTS = (10, 100, 500)
MAX_MS = {100: 1.0}
MAX_MOVING_MS = 4.0
FRAMES = 400
WARM_UP = 30
RATE_HZ = 30.0
WIDTH, HEIGHT = 1280, 720


def crossing(
    objects: int, frames: int, size: tuple[int, int] = (WIDTH, HEIGHT), seed: int = 0
) -> Iterator[Detections]:
    """Noisy detections of objects that bounce about an image of a size and cross."""
    rng = np.random.default_rng(seed)
    extent = np.array(size)
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


def ultralytics_update(
    kind: str = "bytetrack",
) -> Callable[[Detections, NDArray[np.uint8] | None], object] | None:
    """A fresh tracker's update, ``None`` where it or its solver is missing."""
    # lap must be there first: Ultralytics would try to install it on import.
    if not all(importlib.util.find_spec(name) for name in ("lap", "ultralytics")):
        return None
    from ultralytics.trackers import BOTSORT, BYTETracker

    settings = SimpleNamespace(
        track_high_thresh=0.5,
        track_low_thresh=0.1,
        new_track_thresh=0.6,
        track_buffer=60,
        match_thresh=0.8,
        fuse_score=True,
        gmc_method="sparseOptFlow",
        proximity_thresh=0.5,
        appearance_thresh=0.8,
        with_reid=False,
        model="auto",
    )
    peer = (BOTSORT if kind == "botsort" else BYTETracker)(settings)
    return lambda rows, image: peer.update(UltralyticsRows(rows), image)


def passing_ground(frames: int, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
    """640x512 B, G, R of textured ground that moves by 2 px a frame."""
    rng = np.random.default_rng(seed)
    layers = [cv2.GaussianBlur(rng.normal(0, s, (700, 1000)), (0, 0), s) for s in (2, 4, 9, 20)]
    total = np.sum(layers, axis=0)
    ground = cv2.normalize(total, np.empty(0), 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    colour = cv2.cvtColor(ground, cv2.COLOR_GRAY2BGR)
    for k in range(frames):
        x, y = abs(300 - 2 * k % 600), 60 + k % 40
        yield np.ascontiguousarray(colour[y : y + 512, x : x + 640])


def measure() -> list[Row]:
    """Time the trackers at each number of objects, and once with camera motion."""
    return [*(_measure(objects) for objects in OBJECTS), _measure(100, moving=True)]


def _measure(objects: int, moving: bool = False) -> Row:
    params = {"high_score": 0.5, "new_track_score": 0.6, "camera_motion": moving}
    tracker = make_tracker(params=params)
    peer = ultralytics_update("botsort" if moving else "bytetrack")
    cv2.setNumThreads(1)
    ours: list[int] = []
    theirs: list[int] = []
    extent = (640, 512) if moving else (WIDTH, HEIGHT)
    images = passing_ground(FRAMES) if moving else iter([None] * FRAMES)
    for k, (rows, image) in enumerate(zip(crossing(objects, FRAMES, extent), images, strict=True)):
        start = time.perf_counter_ns()
        tracker.update(rows, round(k / RATE_HZ * 1e9), image)
        ours.append(time.perf_counter_ns() - start)
        if peer is not None:
            start = time.perf_counter_ns()
            peer(rows, image)
            theirs.append(time.perf_counter_ns() - start)
    times = np.array(ours[WARM_UP:]) / 1e6
    return Row(
        "tracker with camera motion" if moving else "tracker",
        f"{objects} objects at {RATE_HZ:g} Hz" + (", 640x512" if moving else ""),
        median(times),
        p99(times),
        f"Ultralytics {'BOTSORT' if moving else 'BYTETracker'}" if theirs else None,
        median(np.array(theirs[WARM_UP:])) / 1e6 if theirs else None,
        max_ms=MAX_MOVING_MS if moving else MAX_MS.get(objects),
        note="" if theirs else "Ultralytics not measured: it needs make train-env and lap there",
    )
