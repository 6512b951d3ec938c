"""Frames made of small whole pictures, to score on: people as small as from a drone.

Training draws such crops from the same pictures (:mod:`..augment.real_rgb`). Free real RGB
pictures from drones with more than people or cars boxed are hardly to be had; these serve to
choose thresholds and weights on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from windhover.errors import DataError
from windhover_training.config import Range
from windhover_training.data.augment.real_rgb import compose
from windhover_training.data.augment.samples import Sample, load_colour
from windhover_training.data.convert.truth_file import write_truth
from windhover_training.data.readers.dataset import load_set

#: Side of a frame, pixels: rows of a 1280x736 input.
SIDE = 736


def write_mosaics(
    root: Path, out: Path, splits: Sequence[str], frames: int, heights: Range, seed: int
) -> int:
    """Write a set of one split, ``val``, whose frames are pictures side by side.

    Args:
        root: converted set of RGB pictures.
        out: set to write; its folder exists.
        splits: of ``root``.
        frames: how many to make.
        heights: least and largest height of a row of pictures, pixels.
        seed: which pictures lie where.

    Returns:
        How many objects are judged.

    Raises:
        DataError: a split is missing or empty, or a frame can't be written.
    """
    labels = load_set(root).labels
    samples, rng = load_colour(root, splits, labels), np.random.default_rng(seed)
    folder = out / "images" / "val" / "rgb"
    folder.mkdir(parents=True)
    rows: list[dict[str, Any]] = []
    judged = 0
    for index in range(frames):
        frame, name = compose(samples, SIDE, heights, rng), f"mosaic-{index:04d}.png"
        if not cv2.imwrite(str(folder / name), frame.pixels):
            raise DataError(f"{folder / name}: can't be written; free some space")
        boxes = list(_annotations(frame))
        judged += sum(not box["iscrowd"] for box in boxes)
        image = {
            "file_name": f"rgb/{name}", "rgb": f"rgb/{name}", "height": SIDE, "width": SIDE,
            "flight": "mosaic",
        }  # fmt: skip
        rows.append({"image": image, "annotations": boxes})
    (out / "truth").mkdir()
    write_truth(out / "truth" / "val.json", rows, labels)
    return judged


def _annotations(frame: Sample) -> list[dict[str, Any]]:
    rows = []
    for box, kind in zip(frame.boxes.tolist(), frame.classes.tolist(), strict=True):
        x1, y1, x2, y2 = box
        rows.append(
            {
                # What is not judged has the complement of its class.
                "category_id": kind if kind >= 0 else ~kind,
                "bbox": [round(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)],
                "area": round((x2 - x1) * (y2 - y1), 2),
                "iscrowd": int(kind < 0),
            }
        )
    return rows
