"""Detection scores against cases worked out by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from windhover.errors import ConfigError, DataError
from windhover.files import to_json_value
from windhover.types import Detections
from windhover_evaluation.detection.scores import Predictions, evaluate_detections
from windhover_evaluation.detection.truth import ANY_LABEL, Truth, TruthImage

Box = tuple[float, float, float, float]
LABELS = ("person", "vehicle")


def make_truth(
    boxes: Sequence[tuple[int, Box, int]],
    images: int = 1,
    ignored: Sequence[int] = (),
    groups: Sequence[dict[str, str]] | None = None,
) -> Truth:
    names = groups or [{}] * images
    return Truth(
        path="truth.json",
        labels=LABELS,
        images=tuple(TruthImage(100 + i, f"{i}.png", 640, 512, g) for i, g in enumerate(names)),
        image_rows=np.array([row for row, _, _ in boxes], np.int64),
        boxes=np.array([box for _, box, _ in boxes], np.float64).reshape(-1, 4),
        label_ids=np.array([label for _, _, label in boxes], np.int32),
        ignored=np.array([n in ignored for n in range(len(boxes))], np.bool_),
        categories={"person": ("Person",), "vehicle": ("Car", "OtherVehicle")},
        category_ids={"person": 0, "vehicle": 1},
    )


def found(*rows: tuple[Box, float, int]) -> Detections:
    rows = tuple(sorted(rows, key=lambda row: -row[1]))
    return Detections(
        np.array([box for box, _, _ in rows], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in rows], np.float32),
        np.array([label for _, _, label in rows], np.int32),
    )


A: Box = (10, 10, 30, 50)
B: Box = (100, 100, 140, 120)
C: Box = (300, 300, 320, 340)


def test_perfect_detections_score_one() -> None:
    truth = make_truth([(0, A, 0), (0, B, 1), (1, C, 0)], images=2)
    perfect = Predictions.collect([(0, found((A, 0.9, 0), (B, 0.8, 1))), (1, found((C, 0.7, 0)))])
    scores = evaluate_detections(truth, perfect, 0.25)
    assert scores.map50 == pytest.approx(1.0)
    assert scores.map50_95 == pytest.approx(1.0)
    for each in scores.classes:
        assert each.at_threshold.precision == each.at_threshold.recall == 1.0
        assert each.best_f1 is not None
        assert each.best_f1.f1 == 1.0


def test_average_precision_by_hand() -> None:
    # Two objects; by falling score: right, wrong, right.
    # Precision 1/1, 1/2, 2/3 at recall 0.5, 0.5, 1. Interpolated: 1 up to recall
    # 0.5 (51 of the 101 recalls), 2/3 above it (50).
    truth = make_truth([(0, A, 0), (0, B, 0)])
    predictions = Predictions.collect([(0, found((A, 0.9, 0), (C, 0.8, 0), (B, 0.7, 0)))])
    person, vehicle = evaluate_detections(truth, predictions, 0.75).classes
    assert person.ap50 == pytest.approx((51 * 1.0 + 50 * 2 / 3) / 101)
    assert person.curve.precision == pytest.approx([1, 1 / 2, 2 / 3])
    assert person.curve.recall == pytest.approx([0.5, 0.5, 1.0])
    point = person.at_threshold
    assert (point.true_positives, point.false_positives, point.false_negatives) == (1, 1, 1)
    assert point.precision == point.recall == point.f1 == 0.5
    assert person.best_f1 is not None
    # Between the last score that counts and nothing.
    assert person.best_f1.threshold == pytest.approx(0.35)
    assert person.best_f1.f1 == pytest.approx(0.8)
    # Nothing of that class to find: no score, and never a marker.
    assert np.isnan(vehicle.ap50)
    assert vehicle.best_f1 is None
    assert json.loads(json.dumps(to_json_value({"AP50": vehicle.ap50}), allow_nan=False)) == {
        "AP50": None
    }


def test_ap_over_ious_counts_loose_boxes_where_they_fit() -> None:
    # 20 px of 25 shared: IoU 20/25 = 0.80, right at 0.50 ... 0.80 (7 of 10 thresholds).
    truth = make_truth([(0, (0, 0, 20, 10), 0)])
    loose = Predictions.collect([(0, found(((0, 0, 25, 10), 0.9, 0)))])
    person = evaluate_detections(truth, loose, 0.5, labels=["person"]).classes[0]
    assert person.ap50 == pytest.approx(1.0)
    assert person.ap50_95 == pytest.approx(0.7)


def test_second_detection_of_one_object_is_wrong() -> None:
    truth = make_truth([(0, A, 0)])
    twice = Predictions.collect([(0, found((A, 0.9, 0), (A, 0.8, 0)))])
    point = evaluate_detections(truth, twice, 0.5).classes[0].at_threshold
    assert (point.true_positives, point.false_positives) == (1, 1)


def test_classes_do_not_match_each_other() -> None:
    truth = make_truth([(0, A, 0)])
    wrong_class = Predictions.collect([(0, found((A, 0.9, 1)))])
    person, vehicle = evaluate_detections(truth, wrong_class, 0.5).classes
    assert person.ap50 == 0.0
    assert person.at_threshold.false_negatives == 1
    assert vehicle.at_threshold.false_positives == 1


@pytest.mark.parametrize("label", [0, 1])
def test_dont_care_hides_detections_of_every_class(label: int) -> None:
    region: Box = (200, 200, 400, 400)
    truth = make_truth([(0, A, 0), (0, region, ANY_LABEL)], ignored=[1])
    inside = [((210, 210, 230, 240), 0.95, label), ((300, 300, 330, 320), 0.94, label)]
    predictions = Predictions.collect([(0, found((A, 0.9, 0), *inside))])
    scores = evaluate_detections(truth, predictions, 0.5)
    assert scores.classes[0].ap50 == pytest.approx(1.0)
    assert [each.ignored for each in scores.classes] == [1, 1]
    assert scores.at_threshold.false_positives == 0
    assert scores.at_threshold.true_positives == 1
    assert scores.at_threshold.false_negatives == 0
    # Without the region the same detections are wrong.
    bare = evaluate_detections(make_truth([(0, A, 0)]), predictions, 0.5)
    assert bare.at_threshold.false_positives == 2


def test_ignored_object_is_neither_missed_nor_found() -> None:
    truth = make_truth([(0, A, 0), (0, B, 0)], ignored=[1])
    person = evaluate_detections(truth, Predictions.collect([(0, found((A, 0.9, 0)))]), 0.5)
    assert person.classes[0].truths == 1
    assert person.classes[0].ignored == 1
    assert person.classes[0].ap50 == pytest.approx(1.0)


def test_nothing_found_and_nothing_there() -> None:
    nothing = Predictions.collect([])
    missed = evaluate_detections(make_truth([(0, A, 0)]), nothing, 0.5)
    assert missed.classes[0].ap50 == 0.0
    assert missed.at_threshold.recall == 0.0
    assert np.isnan(missed.at_threshold.precision)
    empty = evaluate_detections(make_truth([], images=3), nothing, 0.5)
    assert np.isnan(empty.map50)
    assert (empty.images, empty.empty_images, empty.empty_images_with_detections) == (3, 3, 0)
    assert np.isnan(empty.at_threshold.recall)


def test_false_alarms_on_empty_images_count_at_the_threshold() -> None:
    truth = make_truth([(0, A, 0)], images=3)
    predictions = Predictions.collect(
        [(0, found((C, 0.9, 0))), (1, found((B, 0.9, 1))), (2, found((B, 0.2, 1)))]
    )
    scores = evaluate_detections(truth, predictions, 0.5)
    assert (scores.empty_images, scores.empty_images_with_detections) == (2, 1)


def test_threshold_of_each_class_and_labels_chosen() -> None:
    truth = make_truth([(0, A, 0), (0, B, 1)])
    predictions = Predictions.collect([(0, found((A, 0.4, 0), (B, 0.4, 1)))])
    scores = evaluate_detections(truth, predictions, {"person": 0.5, "vehicle": 0.3})
    assert [each.at_threshold.true_positives for each in scores.classes] == [0, 1]
    assert scores.at_threshold.threshold is None
    only = evaluate_detections(truth, predictions, {"vehicle": 0.399}, labels=["vehicle"])
    assert [each.label for each in only.classes] == ["vehicle"]
    assert only.at_threshold.true_positives == 1
    # A score must exceed the threshold, as in the decoder, and in its float32.
    at = evaluate_detections(truth, predictions, {"vehicle": 0.4}, labels=["vehicle"])
    assert at.at_threshold.true_positives == 0
    with pytest.raises(ConfigError, match="boat"):
        evaluate_detections(truth, predictions, 0.5, labels=["boat"])
    with pytest.raises(ConfigError, match="vehicle"):
        evaluate_detections(truth, predictions, {"person": 0.5})


def test_groups_are_scored_apart() -> None:
    groups = [
        {"time": "day", "altitude": "over 90 m"},
        {"time": "night", "altitude": "50-70 m"},
        {"time": "night", "altitude": "90-100 m"},
    ]
    truth = make_truth([(0, A, 0), (1, A, 0), (2, B, 1)], groups=groups)
    predictions = Predictions.collect([(1, found((A, 0.9, 0))), (2, found((B, 0.9, 1)))])
    scores = evaluate_detections(truth, predictions, 0.5)
    assert scores.groups["time"]["day"].map50 == 0.0
    assert scores.groups["time"]["night"].map50 == pytest.approx(1.0)
    assert scores.groups["time"]["night"].images == 2
    assert list(scores.groups["altitude"]) == ["50-70 m", "90-100 m", "over 90 m"]
    assert np.isnan(scores.groups["altitude"]["50-70 m"].classes[1].ap50)


def test_results_carry_the_truths_ids() -> None:
    truth = make_truth([(0, A, 0), (1, B, 1)], images=2)
    box: Box = (10.1234, -3.5, 20.1239, 40.25)
    predictions = Predictions.collect([(1, found((box, 0.912345678, 1), (A, 0.5, 0)))])
    rows = predictions.results(truth, ["vehicle"])
    assert rows == [
        {
            "image_id": 101,
            "category_id": 1,
            "bbox": [10.123, -3.5, 10.001, 43.75],
            "score": 0.9123457,
        }
    ]
    assert len(predictions.results(truth, LABELS)) == 2


def test_predictions_that_make_no_sense_are_refused() -> None:
    truth = make_truth([(0, A, 0)])
    for frames in (
        [(1, found((A, 0.9, 0)))],
        [(0, found((A, 0.9, 2)))],
        [(0, found(((float("nan"), 0, 1, 1), 0.9, 0)))],
    ):
        with pytest.raises(DataError, match="predictions"):
            evaluate_detections(truth, Predictions.collect(frames), 0.5)


@settings(max_examples=25, deadline=None)
@example(scores=[0.8132702112197876], hits=[True] * 12, threshold=0.8132702392002724)
@given(
    scores=st.lists(st.floats(0.05, 0.95), min_size=1, max_size=12),
    hits=st.lists(st.booleans(), min_size=12, max_size=12),
    threshold=st.floats(0.0, 1.0),
)
def test_counts_add_up(scores: list[float], hits: list[bool], threshold: float) -> None:
    boxes = [(40.0 * n, 10.0, 40.0 * n + 20, 40.0) for n in range(12)]
    truth = make_truth([(0, box, 0) for box in boxes])
    rows = [
        (box if hit else (box[0], 200.0, box[2], 230.0), score, 0)
        for box, hit, score in zip(boxes, hits, scores, strict=False)
    ]
    person = evaluate_detections(truth, Predictions.collect([(0, found(*rows))]), threshold)
    point = person.classes[0].at_threshold
    # As detectors give them and files hold them: float32, seven digits.
    held = np.round(np.array(scores, np.float32).astype(np.float64), 7).astype(np.float32)
    kept = (held > np.float32(threshold)).tolist()
    assert point.true_positives == sum(k and h for k, h in zip(kept, hits, strict=False))
    assert point.true_positives + point.false_positives == sum(kept)
    assert point.true_positives + point.false_negatives == 12
    # Exact boxes: right at every IoU or at none.
    assert person.classes[0].ap50_95 == pytest.approx(person.classes[0].ap50)
    assert 0.0 <= person.classes[0].ap50 <= 1.0


def test_false_alarms_are_counted_an_empty_image() -> None:
    truth = make_truth([(0, A, 0)], images=3)
    seen = [(0, found((A, 0.9, 0))), (1, found((B, 0.9, 0), (C, 0.8, 1), (A, 0.1, 0)))]
    scores = evaluate_detections(truth, Predictions.collect(seen), 0.25)
    assert scores.empty_images == 2
    assert scores.empty_images_with_detections == 1
    assert scores.empty_images_false_positives == 2
    assert scores.false_positives_per_empty_image == 1.0


def test_objects_are_scored_by_their_size() -> None:
    tiny, medium = (10, 10, 20, 22), (100, 100, 160, 150)
    truth = make_truth([(0, tiny, 0), (0, medium, 0)])
    scores = evaluate_detections(truth, Predictions.collect([(0, found((medium, 0.9, 0)))]), 0.25)
    by_size = scores.groups["size"]
    assert list(by_size) == ["tiny, below 16 px", "medium, 32-96 px"]
    assert by_size["tiny, below 16 px"].classes[0].at_threshold.recall == 0.0
    assert by_size["medium, 32-96 px"].classes[0].ap50 == pytest.approx(1.0)
    # The detection of the other size is no false alarm here.
    assert by_size["tiny, below 16 px"].classes[0].at_threshold.false_positives == 0


def test_average_recall_is_a_mean_over_overlaps() -> None:
    # IoU 0.8 with the truth: found at IoU 0.50 to 0.80, seven of ten thresholds.
    near = (10, 10, 30, 42)
    truth = make_truth([(0, A, 0)])
    person = evaluate_detections(truth, Predictions.collect([(0, found((near, 0.9, 0)))]), 0.2)
    assert person.classes[0].recall == pytest.approx(0.7)
    assert person.mean_recall == pytest.approx(0.7)
