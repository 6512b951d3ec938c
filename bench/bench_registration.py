"""Warping a thermal image to the RGB grid, and merging both to four planes.

Both sides start from the same 8-bit thermal image (640x512) and RGB image (1280x720)
and end with 8UC4; the peer is OpenCV's functions with a homography, without lens
distortion.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np

from bench.row import Row, median, p99, time_alternately
from windhover.geometry import down_of_pitch, ground_homography, ray_map
from windhover.pairing.registration import ThermalWarp, merge_rgbt
from windhover_sim import SceneConfig
from windhover_sim.calibration import scene_calibration

MAX_MS = 3.0


def measure() -> list[Row]:
    """The warp while the drone holds still, while it moves, and with the planes merged."""
    # One thread always: its CPU time is measured.
    cv2.setNumThreads(1)
    calibration = scene_calibration(SceneConfig())
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (512, 640), np.uint8)
    thermal = np.asarray(cv2.GaussianBlur(noise, (0, 0), 2), np.uint8)
    bgr = rng.integers(0, 256, (720, 1280, 3), np.uint8)
    down = down_of_pitch(60)
    warp = ThermalWarp(calibration.rgb, calibration.thermal)
    heights = iter(np.tile([20.0, 40.0], 10_000))

    def between(altitude_m: float) -> np.ndarray:
        return ray_map(calibration.extrinsics, altitude_m, down)

    def plain() -> object:
        matrix = ground_homography(
            calibration.rgb, calibration.thermal, calibration.extrinsics, 40.0, down
        )
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.warpPerspective(thermal, matrix, calibration.rgb.size, flags=flags)

    calls: dict[str, Callable[[], object]] = {
        "warp, mapping kept": lambda: warp.apply(thermal, between(40.0)),
        "warp, mapping new each frame": lambda: warp.apply(thermal, between(next(heights))),
        "warp and B, G, R, T": lambda: merge_rgbt(bgr, warp.apply(thermal, between(40.0))),
    }
    peers: list[Callable[[], object]] = [
        plain,
        plain,
        lambda: np.dstack((bgr, plain())),  # type: ignore[arg-type]
    ]
    rows = []
    for (case, call), peer in zip(calls.items(), peers, strict=True):
        times = time_alternately((call, peer), repeats=120, clock=time.thread_time_ns)
        # The peer merges the planes as one would first write it, with NumPy.
        name = "warpPerspective" + (" and np.dstack" if peer is peers[2] else ", no distortion")
        rows.append(
            Row("registration", f"640x512 to 1280x720, {case}", median(times[0]), p99(times[0]),
                name, median(times[1]), max_ms=MAX_MS)
        )  # fmt: skip
    return rows
