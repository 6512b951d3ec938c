"""Confusion counts, by hand and against precision and recall."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from windhover.types import Detections
from windhover_evaluation.detection.confusion import confusion
from windhover_evaluation.detection.scores import Predictions, evaluate_detections
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


def test_right_confused_missed_and_false():
    there = truth([A, B, C], [0, 1, 0])
    seen = found((A, 0.9, 0), (B, 0.8, 0), ((500, 0, 520, 20), 0.7, 1), (C, 0.2, 0))
    assert counts(there, seen) == [[1, 0, 1], [1, 0, 0], [0, 1, 0]]


def test_a_detection_of_the_right_class_takes_the_object_first():
    # As precision and recall count: the person is found, the vehicle is a false alarm.
    there = truth([A], [0])
    assert counts(there, found((A, 0.5, 0), (A, 0.9, 1))) == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_of_two_wrong_detections_the_surest_takes_the_object():
    there = truth([A], [0])
    assert counts(there, found((A, 0.5, 1), (A, 0.9, 1))) == [[0, 1, 0], [0, 0, 0], [0, 1, 0]]


boxes = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(4, 40), st.integers(4, 40))
objects = st.lists(st.tuples(boxes, st.sampled_from([-1, 0, 1]), st.booleans()), max_size=8)
detections = st.lists(st.tuples(boxes, st.floats(0.05, 0.95), st.sampled_from([0, 1])), max_size=12)


@settings(max_examples=60, deadline=None)
@given(objects, detections)
def test_confusion_and_scores_agree(there, seen):
    """Right, false and missed add up to the same in both, whatever overlaps whatever."""
    known = truth(
        [corners(box) for box, _, _ in there],
        [label for _, label, _ in there],
        [n for n, (_, label, ignored) in enumerate(there) if ignored or label < 0],
    )
    seen = found(*((corners(box), score, label) for box, score, label in seen))
    scores = evaluate_detections(known, seen, 0.3)
    mixed = confusion(known, seen, LIMITS).counts
    for place, each in enumerate(scores.classes):
        point = each.at_threshold
        assert mixed[place, place] == point.true_positives
        assert mixed[:, place].sum() == point.true_positives + point.false_positives
        assert mixed[place].sum() == each.truths


def corners(box):
    x, y, width, height = box
    return x, y, x + width, y + height


def test_detections_on_an_ignored_region_are_not_counted():
    there = truth([A, (200, 200, 400, 400)], [0, -1], ignored=(1,))
    assert counts(there, found((A, 0.9, 0), (C, 0.9, 1))) == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]


def test_other_labels_do_not_count():
    there = truth([A, B], [0, 1])
    assert counts(there, found((A, 0.9, 0), (B, 0.9, 1)), labels=["person"]) == [[1, 0], [0, 0]]


def test_nothing_there_and_nothing_found():
    assert counts(truth([], []), found()) == [[0, 0, 0], [0, 0, 0], [0, 0, 0]]
