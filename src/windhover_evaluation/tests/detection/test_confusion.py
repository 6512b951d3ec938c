"""What objects were taken for, by hand."""

import numpy as np

from windhover.types import Detections
from windhover_evaluation.detection.confusion import confusion
from windhover_evaluation.detection.scores import Predictions
from windhover_evaluation.detection.truth import Truth, TruthImage

A, B, C = (10, 10, 30, 50), (100, 100, 140, 120), (300, 300, 320, 340)
LIMITS = np.array([0.3, 0.3], np.float32)


def truth(boxes, labels, ignored=()):
    return Truth(
        "t.json", ("person", "vehicle"), (TruthImage(1, "a.png", 640, 512),),
        np.zeros(len(boxes), np.int64), np.array(boxes, float).reshape(-1, 4),
        np.array(labels, np.int32), np.array([n in ignored for n in range(len(boxes))], bool),
        {}, {},
    )  # fmt: skip


def found(*rows):
    boxes = np.array([row[0] for row in rows], np.float32).reshape(-1, 4)
    scores = np.array([row[1] for row in rows], np.float32)
    labels = np.array([row[2] for row in rows], np.int32)
    return Predictions.collect([(0, Detections(boxes, scores, labels))])


def counts(there, predictions, **options):
    return confusion(there, predictions, LIMITS, **options).counts.tolist()


def test_right_mixed_up_missed_and_invented():
    there = truth([A, B, C], [0, 1, 0])
    seen = found((A, 0.9, 0), (B, 0.8, 0), ((500, 0, 520, 20), 0.7, 1), (C, 0.2, 0))
    assert counts(there, seen) == [[1, 0, 1], [1, 0, 0], [0, 1, 0]]


def test_the_surest_detection_takes_the_object():
    there = truth([A], [0])
    assert counts(there, found((A, 0.5, 0), (A, 0.9, 1))) == [[0, 1, 0], [0, 0, 0], [1, 0, 0]]


def test_what_lies_on_an_ignored_region_is_not_counted():
    there = truth([A, (200, 200, 400, 400)], [0, -1], ignored=(1,))
    assert counts(there, found((A, 0.9, 0), (C, 0.9, 1))) == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_other_labels_are_not_looked_at():
    there = truth([A, B], [0, 1])
    assert counts(there, found((A, 0.9, 0), (B, 0.9, 1)), labels=["person"]) == [[1, 0], [0, 0]]


def test_nothing_there_and_nothing_found():
    assert counts(truth([], []), found()) == [[0, 0, 0], [0, 0, 0], [0, 0, 0]]
