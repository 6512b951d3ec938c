"""An hour of tracking in a minute: whether memory stays constant.

    python -m bench.soak [--frames 108000]

Objects appear, cross, hide and leave at 30 frames a second, people carry weapons,
clutter flickers, every frame has an attitude and some have an image: everything that
a tracker keeps over time is exercised.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sized
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from windhover.geometry import Lens
from windhover.tracking import make_tracker
from windhover.tracking.attitude import AttitudeHistory
from windhover.tracking.carriers import CarrierLinks
from windhover.types import Detections

RATE_HZ = 30
LABELS = ("person", "weapon", "vehicle")
OBJECTS = 12
IMAGE_EVERY = 300


@dataclass(frozen=True, slots=True)
class SoakResult:
    """Result of a run.

    Attributes:
        frames: tracked.
        rss_mib: ``(minute, MiB)`` of the process at each simulated minute.
        most_tracks: kept at once.
        ids: assigned in all.
        seconds: that the run took.
    """

    frames: int
    rss_mib: list[tuple[float, float]]
    most_tracks: int
    ids: int
    seconds: float


def run(frames: int, seed: int = 0) -> SoakResult:
    """Track a number of frames and record the process's memory."""
    rng = np.random.default_rng(seed)
    tracker, links = make_tracker(), CarrierLinks()
    attitudes, lens = AttitudeHistory(60.0), Lens.from_hfov((640, 512), 60.0)
    texture = rng.integers(0, 255, (512, 640), np.uint8)
    place, speed, side, label, until = _new_objects(rng, OBJECTS, 0)
    rss: list[tuple[float, float]] = []
    most = newest = 0
    begun = time.perf_counter()
    for frame in range(frames):
        stamp_ns = round(frame * 1e9 / RATE_HZ)
        over = until <= frame
        if over.any():
            fresh = _new_objects(rng, int(over.sum()), frame)
            for kept, new in zip((place, speed, side, label, until), fresh, strict=True):
                kept[over] = new
        place += speed / RATE_HZ
        seen = rng.random(OBJECTS) < 0.9
        centre = place[seen] + rng.normal(0, 0.7, (int(seen.sum()), 2))
        clutter = rng.uniform(0, 640, (rng.poisson(0.5), 2))
        centre = np.concatenate([centre, clutter])
        half = np.concatenate([side[seen], np.full((len(clutter), 2), 5.0)])
        found = Detections(
            np.concatenate([centre - half, centre + half], axis=1).astype(np.float32),
            rng.uniform(0.2, 0.95, len(centre)).astype(np.float32),
            np.concatenate([label[seen], np.zeros(len(clutter))]).astype(np.int32),
        )
        yaw = 0.02 * np.sin(frame / 50)
        attitudes.add(stamp_ns, (0.0, 0.0, float(np.sin(yaw / 2)), float(np.cos(yaw / 2))))
        motion = attitudes.motion(max(0, stamp_ns - 33_000_000), stamp_ns, lens)
        image = texture if frame % IMAGE_EVERY == 0 else None
        tracks = links.update(tracker.update(found, stamp_ns, image, motion), LABELS, stamp_ns)
        assert isinstance(tracker, Sized)
        most = max(most, len(tracker))
        newest = max(newest, int(tracks.track_ids.max(initial=0)))
        if frame % (60 * RATE_HZ) == 0:
            rss.append((frame / RATE_HZ / 60, rss_mib()))
    rss.append((frames / RATE_HZ / 60, rss_mib()))
    return SoakResult(frames, rss, most, newest, time.perf_counter() - begun)


def _new_objects(rng: np.random.Generator, count: int, frame: int) -> tuple[np.ndarray, ...]:
    """Place, speed, half sides, label and last frame of new objects; weapons are with people."""
    place = rng.uniform((50, 50), (590, 460), (count, 2))
    label = rng.choice(3, count, p=[0.6, 0.2, 0.2])
    place[1:][label[1:] == 1] = place[:-1][label[1:] == 1] + 3.0
    return (
        place,
        rng.normal(0, 15, (count, 2)),
        rng.uniform(4, 20, (count, 2)),
        label,
        frame + rng.integers(90, 900, count),
    )


def rss_mib() -> float:
    """Resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=108_000)
    soak = run(parser.parse_args().frames)
    for minute, mib in soak.rss_mib[:: max(1, len(soak.rss_mib) // 12)]:
        print(f"{minute:6.1f} min  {mib:8.2f} MiB")
    print(f"{soak.rss_mib[-1][0]:6.1f} min  {soak.rss_mib[-1][1]:8.2f} MiB")
    print(
        f"{soak.frames} frames in {soak.seconds:.0f} s, {soak.ids} ids, "
        f"at most {soak.most_tracks} tracks at once"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
