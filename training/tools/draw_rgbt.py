"""Draws docs/rgbt_detections.jpg: rgbt-n on held-out rendered frames, by day and by night.

python training/tools/draw_rgbt.py training/workspace/rgbt scene-000043-0000 scene-000020-0000
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.imaging.overlay import draw_overlay
from windhover.model.detector import Detector
from windhover.types import Detections, Frame

SIZE = (640, 480)


def panel(
    image: NDArray[np.uint8], found: Detections, corner: tuple[int, int], labels: tuple[str, ...]
) -> NDArray[np.uint8]:
    """A window of a frame with what was found in it, ``(480, 640, 3)``."""
    (x, y), (width, height) = corner, SIZE
    boxes = found.boxes - np.array([x, y, x, y], np.float32)
    inside = ((boxes[:, 2:] > 0) & (boxes[:, :2] < SIZE)).all(axis=1)
    part = np.ascontiguousarray(image[y : y + height, x : x + width])
    return draw_overlay(
        part, "bgr8", boxes[inside], found.scores[inside], found.class_ids[inside], labels
    )


def busiest(found: Detections, shape: tuple[int, ...]) -> tuple[int, int]:
    """Corner of the window that holds most detections, weapons counting three times."""
    weights = np.where(found.class_ids == 1, 3.0, 1.0)
    centres = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    best, corner = -1.0, (0, 0)
    for x in range(40, shape[1] - SIZE[0] - 39, 40):
        for y in range(0, shape[0] - SIZE[1] + 1, 40):
            inside = ((centres > [x, y]) & (centres < [x + SIZE[0], y + SIZE[1]])).all(axis=1)
            if weights[inside].sum() > best:
                best, corner = float(weights[inside].sum()), (x, y)
    return corner


def main() -> None:
    """Draw the frames that are named, each as its RGB and its thermal picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="set of data render-rgbt; its test split is used")
    parser.add_argument("frames", nargs="+", help="names without .png")
    parser.add_argument("--model", default="models/rgbt-n")
    parser.add_argument("--out", type=Path, default=Path("docs/rgbt_detections.jpg"))
    arguments = parser.parse_args()
    rows = []
    with Detector.open(arguments.model, "cpu") as detector:
        for name in arguments.frames:
            path = arguments.data / "images/test" / f"{name}.png"
            read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
            if read is None:
                parser.error(f"{path}: can't be read")
            pixels = np.asarray(read, np.uint8)
            found = detector.detect(Frame(pixels, "8UC4", 0))
            corner = busiest(found, pixels.shape)
            thermal = np.repeat(pixels[..., 3:], 3, axis=2)
            views = (np.ascontiguousarray(pixels[..., :3]), thermal)
            rows.append(np.hstack([panel(view, found, corner, detector.labels) for view in views]))
    cv2.imwrite(str(arguments.out), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
