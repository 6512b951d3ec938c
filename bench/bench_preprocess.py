"""From a camera's frame to the graph's input, against Ultralytics' preprocessing.

Ours ends at uint8 NHWC, our graph's input; Ultralytics' ends at a float NCHW tensor
of 0..1, its graph's input. Both start from the same 1280x720 image and end at
640x640 with the same letterbox.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable

import cv2
import numpy as np

from bench.row import Row, fair_clock, median, p99, time_alternately
from windhover.imaging.formats import decode_image, to_channels
from windhover.imaging.letterbox import Letterbox

HEIGHT, WIDTH, SIDE = 720, 1280, 640
MAX_MS = 2.2

# Encoding, bytes a pixel in the message, what the bundle takes.
CASES = (("bgr8", 3, "rgb"), ("rgb8", 3, "rgb"), ("yuv422", 2, "rgb"), ("mono16", 2, "thermal"))


def ours(data: bytes, encoding: str, depth: int, channels: str) -> Callable[[], np.ndarray]:
    """Message buffer to graph input."""
    letterbox = Letterbox((HEIGHT, WIDTH), (SIDE, SIDE))
    out = np.empty((SIDE, SIDE, 3) if channels == "rgb" else (SIDE, SIDE), np.uint8)

    def call() -> np.ndarray:
        image, held = decode_image(data, encoding, HEIGHT, WIDTH, WIDTH * depth)
        return letterbox.apply(to_channels(image, held, channels), out=out)  # type: ignore[arg-type]

    return call


def ultralytics(image: np.ndarray) -> Callable[[], object]:
    """LetterBox and the predictor's own steps to a tensor."""
    import torch
    from ultralytics.data.augment import LetterBox

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    letterbox = LetterBox((SIDE, SIDE), auto=False)

    def call() -> object:
        stacked = letterbox(image=image)[None][..., ::-1].transpose((0, 3, 1, 2))
        return torch.from_numpy(np.ascontiguousarray(stacked)).float() / 255

    return call


def measure() -> list[Row]:
    """Time each encoding; Ultralytics where it is there and takes the same image."""
    cv2.setNumThreads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    noise = np.random.default_rng(0).integers(0, 256, HEIGHT * WIDTH * 3, np.uint8)
    rows = []
    for encoding, depth, channels in CASES:
        data = noise[: HEIGHT * WIDTH * depth].tobytes()
        case = f"{WIDTH}x{HEIGHT} {encoding} to {SIDE}x{SIDE}"
        call = ours(data, encoding, depth, channels)
        if encoding == "bgr8" and importlib.util.find_spec("ultralytics"):
            image = noise.reshape(HEIGHT, WIDTH, 3)
            times = time_alternately((call, ultralytics(image)), clock=fair_clock())
            peer, peer_ms = "Ultralytics LetterBox to tensor", median(times[1])
        else:
            times, peer, peer_ms = time_alternately((call,), clock=fair_clock()), None, None
        rows.append(
            Row("preprocess", case, median(times[0]), p99(times[0]), peer, peer_ms, max_ms=MAX_MS)
        )
    return rows
