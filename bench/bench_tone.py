"""Tone mapping of a 640x512 thermal frame, against the usual few lines of NumPy or OpenCV.

Both sides start from the same counts and end at 8 bits: a noisy scene with a gradient
and a hot object, so that histograms are neither empty nor flat.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np

from bench.row import Row, median, p99, time_alternately
from windhover.imaging.agc import ToneConfig, ToneMapper

HEIGHT, WIDTH = 512, 640
MAX_MS = 1.5


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
    """NumPy's percentiles of all pixels and a linear map."""

    def call() -> object:
        low, high = np.percentile(y16, (config.low, config.high))
        return (np.clip((y16 - low) / (high - low), 0, 1) * 255).astype(np.uint8)

    return call


def equalise(y16: np.ndarray, _config: ToneConfig) -> Callable[[], object]:
    """NumPy's plain histogram equalisation of all pixels."""

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
    # One thread always: its CPU time is measured.
    cv2.setNumThreads(1)
    y16 = scene()
    rows = []
    for method, (peer, make) in PEERS.items():
        config = ToneConfig(method=method, smoothing_s=0.5)
        calls = (ours(y16, config), make(y16, config))
        mine, its = time_alternately(calls, repeats=150, clock=time.thread_time_ns)
        case = f"{WIDTH}x{HEIGHT} {method}, smoothed"
        rows.append(Row("tone", case, median(mine), p99(mine), peer, median(its), max_ms=MAX_MS))
    return rows
