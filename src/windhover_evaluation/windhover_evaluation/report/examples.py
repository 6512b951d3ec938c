"""Which evaluated images a report shows, with detections and missed objects drawn."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from windhover.boxes import iou_matrix
from windhover.imaging.overlay import draw_overlay
from windhover.types import Image
from windhover_evaluation.detection.scores import Predictions
from windhover_evaluation.detection.truth import Truth
from windhover_evaluation.report.page import Example
from windhover_evaluation.tracking.mot_counts import MATCH_IOU

_MISSED_BGR = (60, 60, 255)
_SMALL_WIDTH = 720


def choose_example_images(
    truth: Truth, predictions: Predictions, thresholds: NDArray[np.float32], count: int
) -> list[int]:
    """Choose images that show the good and the bad.

    Half of them have the most objects; of the rest, the number of detections differs
    most from the number of objects.

    Args:
        truth: the objects to be found.
        predictions: the detections.
        thresholds: ``(labels,)`` float32; detections must exceed theirs.
        count: how many to choose at most.

    Returns:
        Indices into the truth's images, in the truth's order.
    """
    images = len(truth.images)
    kept = predictions.scores > thresholds[predictions.label_ids]
    there = np.bincount(truth.image_rows[~truth.ignored], minlength=images)
    found = np.bincount(predictions.image_rows[kept], minlength=images)
    crowded = np.argsort(-there, kind="stable")[: (count + 1) // 2].tolist()
    odd = [row for row in np.argsort(-np.abs(there - found), kind="stable") if row not in crowded]
    return sorted([*crowded, *map(int, odd[: count - len(crowded)])])


def draw_example(
    image: Image,
    encoding: str,
    row: int,
    truth: Truth,
    predictions: Predictions,
    thresholds: NDArray[np.float32],
) -> Example:
    """Draw an image's detections, and in red the objects that none of them matches.

    Args:
        image: as it was read.
        encoding: of ``image``.
        row: its index in the truth's images.
        truth: the objects to be found.
        predictions: the detections.
        thresholds: ``(labels,)`` float32; detections must exceed theirs.
    """
    here = (predictions.image_rows == row) & (
        predictions.scores > thresholds[predictions.label_ids]
    )
    # Objects of a few pixels are lost between labels at their own size.
    zoom = 2 if image.shape[1] <= _SMALL_WIDTH else 1
    boxes, labels = predictions.boxes[here], predictions.label_ids[here]
    picture = draw_overlay(
        image,
        encoding,
        boxes.astype(np.float32),
        predictions.scores[here],
        labels,
        truth.labels,
        zoom=zoom,
    )
    there = truth.boxes_of(row)
    objects, names = there.boxes[~there.ignored], there.label_ids[~there.ignored]
    same = names[:, None] == labels[None, :]
    overlap = np.where(same, iou_matrix(objects, boxes), 0.0)
    overlap[overlap < MATCH_IOU] = 0.0
    rows, columns = linear_sum_assignment(-overlap)
    hit = np.zeros(len(objects), np.bool_)
    hit[rows[overlap[rows, columns] > 0.0]] = True
    for x1, y1, x2, y2 in np.rint(objects[~hit] * zoom).astype(int).tolist():
        cv2.rectangle(picture, (x1, y1), (x2, y2), _MISSED_BGR, 1, cv2.LINE_AA)
    info = truth.images[row]
    groups: Sequence[str] = list(info.groups.values())
    caption = ", ".join([info.file_name, *groups])
    missed = int(np.count_nonzero(~hit))
    return Example(
        picture, f"{caption}: {len(boxes)} found, {missed} of {len(objects)} missed (red)"
    )
