"""From a camera's 3840x2160 NV12 frame to a network's input, and to chips of people.

The peer converts the whole frame to B, G, R and then letterboxes it, as code does that
takes a camera's frames through OpenCV. Both start from the same planes and end at the same
uint8 input. Chips are cut, decoded and mapped back by ``SecondLook.look`` around a graph
that takes no time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, cast

import cv2
import numpy as np

from bench.heads import crowded_heads, quantised
from bench.row import Row, fair_clock, median, p99, time_alternately
from windhover.imaging.letterbox import Letterbox
from windhover.imaging.reduction import FrameReducer
from windhover.model.bundle import Bundle
from windhover.model.manifest import Manifest
from windhover.second_look.runner import SecondLook
from windhover.types import Frame, FullFrame

HEIGHT, WIDTH, REDUCED = 2160, 3840, 1280
INPUTS = ((640, 640), (736, 1280))
MAX_MS = 3.0
CHIPS, CHIP_SIDE, CHIP_MAX_MS = 8, 160, 0.15


def ours(nv12: np.ndarray, hw: tuple[int, int]) -> Callable[[], np.ndarray]:
    """The planes reduced, the small picture converted and letterboxed."""
    frame, reducer = Frame(nv12, "nv12", 0), FrameReducer(REDUCED)
    small = reducer.reduce(frame)
    letterbox = Letterbox((small.height, small.width), hw)
    out = np.empty((*hw, 3), np.uint8)

    def call() -> np.ndarray:
        image = np.asarray(reducer.reduce(frame).image, np.uint8)
        return letterbox.apply(image, out=out)

    return call


def whole(nv12: np.ndarray, hw: tuple[int, int]) -> Callable[[], np.ndarray]:
    """The whole frame converted, then letterboxed."""
    letterbox = Letterbox((HEIGHT, WIDTH), hw)
    out = np.empty((*hw, 3), np.uint8)

    def call() -> np.ndarray:
        bgr = np.asarray(cv2.cvtColor(nv12, cv2.COLOR_YUV2BGR_NV12), np.uint8)
        return letterbox.apply(bgr, out=out)

    return call


class InstantBackend:
    """Gives a batch of INT8 heads with two objects in each chip, and takes no time."""

    name, device = "instant", "none"

    def __init__(self, outputs: list[np.ndarray]) -> None:
        self._outputs = outputs

    def run(self, _chips: np.ndarray) -> list[np.ndarray]:
        """The heads."""
        return self._outputs

    def close(self) -> None:
        """Nothing to release."""


def looker() -> SecondLook:
    """A second look at chips of eight people."""
    heads = quantised(crowded_heads("yolo11", classes=1, objects=2, size=CHIP_SIDE))
    declared = heads.manifest.model_dump(mode="json")
    declared["input"]["batch"] = CHIPS
    bundle = cast("Bundle", Manifest.model_validate(declared))
    batch = [np.repeat(output, CHIPS, axis=0) for output in heads.outputs]
    backend: Any = InstantBackend(batch)
    return SecondLook(bundle, bundle.labels, backend)


def measure() -> list[Row]:
    """Time the way to each input, and one chip of a batch."""
    cv2.setNumThreads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    rng = np.random.default_rng(0)
    nv12 = rng.integers(16, 236, (HEIGHT * 3 // 2, WIDTH), np.uint8)
    rows = []
    for hw in INPUTS:
        calls = ours(nv12, hw), whole(nv12, hw)
        mine, other = time_alternately(calls, repeats=100, warm_up=10, clock=fair_clock())
        case = f"{WIDTH}x{HEIGHT} nv12 to {hw[1]}x{hw[0]}"
        peer = "OpenCV: cvtColor of all, letterbox"
        rows.append(
            Row("full frame", case, median(mine), p99(mine), peer, median(other), max_ms=MAX_MS)
        )
    full, second = FullFrame(nv12, "nv12"), looker()
    centers = rng.uniform((200, 200), (WIDTH - 200, HEIGHT - 200), (CHIPS, 2))
    spans = rng.uniform(1.1, 1.8, CHIPS) * CHIP_SIDE
    (times,) = time_alternately((lambda: second.look(full, centers, spans),), clock=fair_clock())
    case = f"one of {CHIPS}, {CHIP_SIDE} px, cut and decoded"
    chip = times / CHIPS
    rows.append(Row("chips", case, median(chip), p99(chip), max_ms=CHIP_MAX_MS))
    return rows
