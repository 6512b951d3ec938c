"""Detections as YOLO text and as COCO JSON, for annotation tools.

Boxes are to be inside the picture (:func:`windhover.boxes.clip_results`): annotation tools
refuse others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from windhover.files import write_json
from windhover.types import Detections


def yolo_text(detections: Detections, width: int, height: int, scores: bool = False) -> str:
    """One line a box: class, centre x, centre y, width, height.

    As Ultralytics writes it: centre and size are shares of the picture's width and height.

    Args:
        detections: boxes inside the picture.
        width: of the picture.
        height: of the picture.
        scores: add the score as a sixth value, as Ultralytics does with ``save_conf``;
            annotation tools such as CVAT refuse such lines.
    """
    scale = np.array([width, height], np.float64)
    low, high = detections.boxes[:, :2] / scale, detections.boxes[:, 2:] / scale
    rows = zip(
        detections.class_ids.tolist(),
        ((low + high) / 2).tolist(),
        (high - low).tolist(),
        detections.scores.tolist(),
        strict=True,
    )
    return "".join(
        f"{label} {x:.6f} {y:.6f} {w:.6f} {h:.6f}" + (f" {score:.4f}\n" if scores else "\n")
        for label, (x, y), (w, h), score in rows
    )


class CocoDetections:
    """Gathers a COCO data set whose annotations have a ``score``.

    Its ``annotations`` are also what ``pycocotools``' ``loadRes`` takes.

    Args:
        labels: class names; category ids count from 1, as COCO's do.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        self._categories = [{"id": i + 1, "name": name} for i, name in enumerate(labels)]
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []

    def add(self, name: str, detections: Detections, width: int, height: int) -> None:
        """Add a picture and what was found in it."""
        image_id = len(self._images) + 1
        self._images.append({"id": image_id, "file_name": name, "width": width, "height": height})
        corners = detections.boxes.astype(np.float64).round(3)
        rows = zip(
            np.hstack([corners[:, :2], corners[:, 2:] - corners[:, :2]]).tolist(),
            detections.scores.tolist(),
            detections.class_ids.tolist(),
            strict=True,
        )
        for box, score, label in rows:
            self._annotations.append(
                {
                    "id": len(self._annotations) + 1,
                    "image_id": image_id,
                    "category_id": label + 1,
                    "bbox": box,
                    "segmentation": [],
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                    "score": score,
                }
            )

    def write(self, path: Path) -> None:
        """Write the JSON file.

        Raises:
            DataError: it can't be written.
        """
        write_json(
            path,
            {
                "images": self._images,
                "categories": self._categories,
                "annotations": self._annotations,
            },
            indent=None,
        )
