"""Intervals of AP50 over flights."""

from __future__ import annotations

import numpy as np
import pytest

from windhover.errors import DataError
from windhover.types import Detections
from windhover_evaluation.detection.coco import ClassMatches, match
from windhover_evaluation.detection.intervals import ap50_intervals, average_precision
from windhover_evaluation.detection.scores import (
    Predictions,
    evaluate_detections,
    matching_boxes,
)
from windhover_evaluation.detection.truth import Truth, TruthImage

SIDE = 20.0


def scene(images: int, seed: int, found_share: list[float]) -> tuple[Truth, Predictions]:
    """Objects on a grid; of those of image i the share ``found_share[i]`` is found."""
    rng = np.random.default_rng(seed)
    boxes, rows, frames = [], [], []
    for image in range(images):
        own = [(40.0 * k, 50.0, 40.0 * k + SIDE, 50.0 + SIDE) for k in range(12)]
        boxes += own
        rows += [image] * len(own)
        hits = [box for box in own if rng.random() < found_share[image]]
        wrong = [(40.0 * k, 300.0, 40.0 * k + SIDE, 300.0 + SIDE) for k in range(4)]
        each = np.array(hits + wrong, np.float32).reshape(-1, 4)
        scores = np.sort(rng.uniform(0.05, 0.95, len(each)).astype(np.float32))[::-1]
        order = rng.permutation(len(each))
        frames.append((image, Detections(each[order], scores, np.zeros(len(each), np.int32))))
    truth = Truth(
        path="t", labels=("person", "vehicle"),
        images=tuple(TruthImage(i, f"{i}.png", 640, 512) for i in range(images)),
        image_rows=np.array(rows, np.int64), boxes=np.array(boxes, np.float64),
        label_ids=np.zeros(len(rows), np.int32), ignored=np.zeros(len(rows), np.bool_),
        categories={"person": ("person",)}, category_ids={"person": 0},
    )  # fmt: skip
    return truth, Predictions.collect(frames)


def matches(truth: Truth, predictions: Predictions) -> list[ClassMatches]:
    return match(*matching_boxes(truth, predictions), range(len(truth.images)), [0, 1])


@pytest.mark.parametrize("seed", range(5))
def test_unweighed_it_is_pycocotools_average_precision(seed: int) -> None:
    truth, predictions = scene(6, seed, [0.9, 0.2, 0.6, 0.0, 1.0, 0.5])
    expected = evaluate_detections(truth, predictions, 0.1).classes[0].ap50
    person, _ = matches(truth, predictions)
    ones = np.ones(len(person.correct), np.int64)
    assert average_precision(person.correct, ones, 72) == pytest.approx(expected, abs=1e-9)
    # A flight that is drawn twice counts as two copies of it would.
    assert average_precision(person.correct, 2 * ones, 144) == pytest.approx(expected, abs=1e-9)


def test_the_interval_holds_the_value_and_narrows_where_flights_are_alike() -> None:
    images = 40
    alike = scene(images, 1, [0.6] * images)
    unlike = scene(images, 1, [1.0] * (images // 2) + [0.2] * (images // 2))
    flights = [str(image) for image in range(images)]
    low, high = ap50_intervals(alike[0], matches(*alike), flights)["person"]
    assert low < evaluate_detections(*alike, 0.1).classes[0].ap50 < high
    wide_low, wide_high = ap50_intervals(unlike[0], matches(*unlike), flights)["person"]
    assert wide_high - wide_low > high - low


def test_frames_of_one_flight_are_drawn_together() -> None:
    truth, predictions = scene(20, 2, [1.0] * 10 + [0.1] * 10)
    found = matches(truth, predictions)
    by_frame = ap50_intervals(truth, found, [str(i) for i in range(20)])["person"]
    by_flight = ap50_intervals(truth, found, ["a"] * 10 + ["b"] * 10)["person"]
    assert by_flight[1] - by_flight[0] > 1.5 * (by_frame[1] - by_frame[0])
    one = ap50_intervals(truth, found, ["a"] * 20)["person"]
    value = evaluate_detections(truth, predictions, 0.1).classes[0].ap50
    assert one == pytest.approx((value, value))


def test_labels_without_objects_are_left_out_and_every_image_needs_a_flight() -> None:
    truth, predictions = scene(3, 3, [0.5] * 3)
    found = matches(truth, predictions)
    assert set(ap50_intervals(truth, found, ["a", "b", "c"])) == {"person"}
    with pytest.raises(DataError, match="2 flights are given for 3 images"):
        ap50_intervals(truth, found, ["a", "b"])


def test_nothing_found_is_nothing() -> None:
    empty = np.empty(0, np.int64)
    assert average_precision(empty.astype(np.bool_), empty, 5) == 0.0
