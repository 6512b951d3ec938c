"""Tone mapping of a 640x512 thermal frame, against what one would write without it.

Both sides start from the same counts and end at 8 bits: a noisy scene with a slope and
something hot in it, so that histograms are neither empty nor flat.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np

from bench.row import Row, median, p99, time_in_turn
from windhover.imaging.agc import ToneConfig, ToneMapper

HEIGHT, WIDTH = 512, 640
MOST_MS = 1.5
NOTE = "time of the one thread that works, not of what else the machine does"


def scene() -> np.ndarray:
    """Counts as a 14-bit microbolometer gives them."""
    noise = np.random.default_rng(0).normal(7_000, 12, (HEIGHT, WIDTH))
    noise += np.linspace(0, 800, WIDTH)
    noise[200:260, 300:340] += 2_000
    return noise.astype(np.uint16)


def ours(y16: np.ndarray, config: ToneConfig) -> Callable[[], object]:
    """A mapper that smooths, fed at 30 frames a second."""
    mapper, stamps = ToneMapper(config), iter(range(0, 10**15, 33_333_333))
    return lambda: mapper.apply(y16, next(stamps))


def clahe(y16: np.ndarray, config: ToneConfig) -> Callable[[], object]:
    """OpenCV's CLAHE on the 16 bits, then to 8."""
    tool = cv2.createCLAHE(config.clip, (config.tiles, config.tiles))
    return lambda: cv2.convertScaleAbs(tool.apply(y16), alpha=1 / 257)


def percentile(y16: np.ndarray, config: ToneConfig) -> Callable[[], object]:
    """NumPy's percentiles of the whole frame and a linear map."""

    def call() -> object:
        low, high = np.percentile(y16, (config.low, config.high))
        return (np.clip((y16 - low) / (high - low), 0, 1) * 255).astype(np.uint8)

    return call


def equalise(y16: np.ndarray, _config: ToneConfig) -> Callable[[], object]:
    """NumPy's plain histogram equalisation of the whole frame."""

    def call() -> object:
        risen = np.cumsum(np.bincount(y16.ravel(), minlength=65_536))
        return (risen * (255.0 / risen[-1])).astype(np.uint8)[y16]

    return call


PEERS = {
    "percentile": ("NumPy percentiles", percentile),
    "plateau": ("NumPy equalisation", equalise),
    "clahe": ("OpenCV CLAHE, 16 bit", clahe),
}


def measure() -> list[Row]:
    """Time each method beside its peer."""
    # One thread, whatever was asked for: its own time is what is measured.
    cv2.setNumThreads(1)
    y16 = scene()
    rows = []
    for method, (peer, make) in PEERS.items():
        config = ToneConfig(method=method, smoothing_s=0.5)
        calls = (ours(y16, config), make(y16, config))
        mine, its = time_in_turn(calls, repeats=150, clock=time.thread_time_ns)
        case = f"{WIDTH}x{HEIGHT} {method}, smoothed"
        rows.append(Row("tone", case, median(mine), p99(mine), peer, median(its), most_ms=MOST_MS))
    return rows
