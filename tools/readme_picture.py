"""Draws docs/assets/hit_uav_detections.jpg, the picture at the top of README.md.

python -m tools.readme_picture ../shared/data/hit_uav/normal_json

Both frames are of flights that thermal-n was not trained on (see models/thermal-n/README.md).
They were chosen as frames with many objects in which nothing is found that is not there; by
day one of nine people is missed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

from windhover.imaging.overlay import draw_overlay
from windhover.model.detector import Detector
from windhover.sources.files import read_image

FRAMES = ("0_70_60_0_01947.jpg", "1_70_60_0_04445.jpg")
OUT = Path(__file__).resolve().parents[1] / "docs" / "assets" / "hit_uav_detections.jpg"


def main(folder: Path) -> None:
    """Draw the frames side by side, each twice its size."""
    panels = []
    with Detector.open("thermal-n", "cpu") as detector:
        for name in FRAMES:
            (path,) = folder.rglob(name)
            image, encoding = read_image(path, camera="thermal")
            found = detector.detect(image)
            panels.append(
                draw_overlay(
                    image, encoding, found.boxes, found.scores, found.class_ids, found.labels,
                    zoom=2,
                )
            )  # fmt: skip
    panels.insert(1, np.full((len(panels[0]), 24, 3), 255, np.uint8))
    picture = cv2.resize(np.hstack(panels), None, fx=0.63, fy=0.63, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(OUT), picture, [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
