"""Laying a thermal picture on the RGB grid, and making one picture of four planes.

Both sides start from the same 8-bit thermal picture (640x512) and RGB picture
(1280x720) and end with 8UC4; the other side is what OpenCV's own functions give with
a homography, lens distortion left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np

from bench.row import Row, median, p99, time_in_turn
from windhover.geometry import down_of_pitch, ground_homography, ray_map
from windhover.pairing.registration import ThermalWarp, merge_rgbt
from windhover_sim import SceneConfig
from windhover_sim.calibration import scene_calibration

MOST_MS = 3.0


def measure() -> list[Row]:
    """The warp while the drone holds still, while it moves, and with the planes put together."""
    # One thread, whatever was asked for: its own time is what is measured.
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
        times = time_in_turn((call, peer), repeats=120, clock=time.thread_time_ns)
        # The peer's last one is what one would write: NumPy puts the planes together.
        name = "warpPerspective" + (" and np.dstack" if peer is peers[2] else ", no distortion")
        rows.append(
            Row("registration", f"640x512 to 1280x720, {case}", median(times[0]), p99(times[0]),
                name, median(times[1]), most_ms=MOST_MS)
        )  # fmt: skip
    return rows
