"""The pictures of a report show what was found beside what is there."""

from __future__ import annotations

import numpy as np
import pytest

from windhover.types import Detections
from windhover_evaluation.detection.scores import Predictions
from windhover_evaluation.detection.truth import Truth, TruthImage
from windhover_evaluation.report.examples import choose_example_images, draw_example, draw_truth

RED = [60, 60, 255]


def truth_of(boxes: list[list[float]], labels: list[int], images: int = 1) -> Truth:
    count = len(boxes)
    return Truth(
        path="t.json",
        labels=("person", "vehicle"),
        images=tuple(TruthImage(n, f"{n}.png", 800, 400) for n in range(images)),
        image_rows=np.arange(count, dtype=np.int64) % images,
        boxes=np.array(boxes, np.float64).reshape(-1, 4),
        label_ids=np.array(labels, np.int32),
        ignored=np.zeros(count, np.bool_),
        categories={},
        category_ids={},
    )


def found(boxes: list[list[float]], labels: list[int]) -> Detections:
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.full(count, 0.9, np.float32),
        np.array(labels, np.int32),
    )


LIMITS = np.array([0.25, 0.25], np.float32)


def test_found_missed_and_false_add_up() -> None:
    truth = truth_of([[100, 100, 140, 180], [300, 100, 340, 180], [500, 100, 540, 180]], [0, 0, 1])
    # One is found, one has a box of another class, one has a box too far off, one has nothing.
    boxes = [[102, 100, 142, 180], [500, 100, 540, 180], [330, 150, 370, 230]]
    predictions = Predictions.collect([(0, found(boxes, [0, 0, 0]))])
    image = np.full((400, 800), 90, np.uint8)
    example = draw_example(image, "mono8", 0, truth, predictions, LIMITS)
    assert example.caption == "0.png: 1 of 3 objects found, 2 missed, 2 false"
    assert example.image[140, 300].tolist() == RED
    assert example.image[140, 500].tolist() == RED
    assert example.image[140, 100].tolist() != RED


@pytest.mark.parametrize("ground", [0, 90, 255])
def test_truth_is_seen_on_any_ground(ground: int) -> None:
    picture = np.full((400, 800, 3), ground, np.uint8)
    truth = truth_of([[100, 100, 140, 180]], [0])
    draw_truth(picture, truth, truth.boxes, truth.label_ids)
    edge = picture[100, 100:140].astype(int)
    assert (np.abs(edge - ground).max(axis=1) > 60).any()
    assert {int(value) for value in np.unique(edge)} == {0, 255}
    assert (picture[110:170, 110:130] == ground).all()


def test_ignored_objects_are_not_drawn() -> None:
    picture = np.full((400, 800, 3), 90, np.uint8)
    truth = truth_of([[100, 100, 140, 180]], [0])
    truth.ignored[0] = True
    none = np.empty((0, 4), np.float32), np.empty(0, np.int32)
    assert draw_truth(picture, truth, *none) == "0 of 0 objects found, 0 missed, 0 false"
    assert (picture == 90).all()


def test_images_with_most_objects_and_those_that_differ_most_are_chosen() -> None:
    boxes = [[10.0, 10.0, 20.0, 20.0]] * 12
    truth = truth_of(boxes, [0] * 12, images=4)
    truth.image_rows[:] = [0] * 6 + [1] * 3 + [2] * 2 + [3]
    many = found([[10, 10, 20, 20]] * 9, [0] * 9)
    predictions = Predictions.collect([(0, found(boxes[:6], [0] * 6)), (3, many)])
    assert choose_example_images(truth, predictions, LIMITS, 2) == [0, 3]
