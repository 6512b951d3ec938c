"""Which evaluated images a report shows, with truth drawn beside what was found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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
_DARK_BGR, _LIGHT_BGR = (0, 0, 0), (255, 255, 255)
_DASH_PX = 3
_SMALL_WIDTH = 720

#: How to read the pictures, for the text above them.
LEGEND = (
    "Dashed: where the truth has an object. Red: an object that nothing of its class covers "
    f"with an IoU of {MATCH_IOU:g}."
)
#: How :func:`choose_example_images` chooses.
CHOSEN = (
    "Chosen by the scores, not by looks: half of the images have the most objects, in the others "
    "the number of detections differs most from the number of objects."
)


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
    """Draw an image's detections and its truth.

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
    info = truth.images[row]
    groups: Sequence[str] = list(info.groups.values())
    counts = draw_truth(picture, truth.boxes_of(row), boxes, labels, zoom)
    return Example(picture, f"{', '.join([info.file_name, *groups])}: {counts}")


def draw_truth(
    picture: NDArray[np.uint8],
    truth: Truth,
    boxes: NDArray[np.floating[Any]],
    label_ids: NDArray[np.int32],
    zoom: int = 1,
) -> str:
    """Draw the objects of one image into its picture: dashed, and red where missed.

    Args:
        picture: ``(H, W, 3)`` uint8 B, G, R, with the finds drawn in; is drawn on.
        truth: of this image only.
        boxes: ``(N, 4)`` of the finds, pixels of the image.
        label_ids: ``(N,)`` indices into the truth's labels.
        zoom: of the picture over the image.

    Returns:
        How many were found and missed, for a caption.
    """
    objects, names = truth.boxes[~truth.ignored], truth.label_ids[~truth.ignored]
    same = names[:, None] == label_ids[None, :]
    overlap = np.where(same, iou_matrix(objects, boxes), 0.0)
    overlap[overlap < MATCH_IOU] = 0.0
    rows, columns = linear_sum_assignment(-overlap)
    hit = np.zeros(len(objects), np.bool_)
    hit[rows[overlap[rows, columns] > 0.0]] = True
    corners = np.rint(objects * zoom).astype(int)
    for x1, y1, x2, y2 in corners[hit].tolist():
        _draw_dashed(picture, x1, y1, x2, y2)
    for x1, y1, x2, y2 in corners[~hit].tolist():
        cv2.rectangle(picture, (x1, y1), (x2, y2), _MISSED_BGR, 2, cv2.LINE_AA)
    right, total = int(np.count_nonzero(hit)), len(objects)
    return f"{right} of {total} objects found, {total - right} missed, {len(boxes) - right} false"


def _draw_dashed(picture: NDArray[np.uint8], x1: int, y1: int, x2: int, y2: int) -> None:
    """Dark and light in turn, which stands out on any ground."""
    cv2.rectangle(picture, (x1, y1), (x2, y2), _DARK_BGR, 1)
    for x in range(x1, x2, 2 * _DASH_PX):
        end = min(x + _DASH_PX, x2)
        cv2.line(picture, (x, y1), (end, y1), _LIGHT_BGR, 1)
        cv2.line(picture, (x, y2), (end, y2), _LIGHT_BGR, 1)
    for y in range(y1, y2, 2 * _DASH_PX):
        end = min(y + _DASH_PX, y2)
        cv2.line(picture, (x1, y), (x1, end), _LIGHT_BGR, 1)
        cv2.line(picture, (x2, y), (x2, end), _LIGHT_BGR, 1)
