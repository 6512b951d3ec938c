import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windhover.errors import DataError
from windhover.types import Detections, Tracks
from windhover_ros.messages import (
    LabelTable,
    deserialize_results,
    serialize_results,
    to_detections,
    to_tracks,
)

rclpy_serialization = pytest.importorskip("rclpy.serialization")
vision_msgs = pytest.importorskip("vision_msgs.msg")

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=19)


@st.composite
def results(draw):
    labels = draw(st.lists(TEXT.filter(bool), min_size=1, max_size=4, unique=True))
    n = draw(st.integers(0, 7))
    coordinate = st.floats(-1e5, 1e5, width=32)
    boxes = np.array(
        draw(st.lists(st.tuples(*[coordinate] * 4), min_size=n, max_size=n)), np.float32
    ).reshape(-1, 4)
    scores = np.array(draw(st.lists(st.floats(0, 1, width=32), min_size=n, max_size=n)), np.float32)
    classes = np.array(
        draw(st.lists(st.integers(0, len(labels) - 1), min_size=n, max_size=n)), np.int32
    )
    if draw(st.booleans()):
        ids = draw(st.lists(st.integers(1, 2**60), min_size=n, max_size=n))
        carriers = draw(st.lists(st.sampled_from([0, 0, 7, 2**60]), min_size=n, max_size=n))
        shares = draw(st.lists(st.floats(0, 1, width=32), min_size=n, max_size=n))
        return (
            Tracks(
                boxes,
                scores,
                classes,
                np.array(ids, np.int64),
                np.array(carriers, np.int64),
                np.array(shares, np.float32),
            ),
            labels,
        )
    return Detections(boxes, scores, classes), labels


def by_fields(stamp_ns, frame_id, result, labels):
    message = vision_msgs.Detection2DArray()
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    message.header.frame_id = frame_id
    for i in range(len(result)):
        one = vision_msgs.Detection2D(header=message.header)
        x1, y1, x2, y2 = (float(v) for v in result.boxes[i])
        one.bbox.center.position.x = (x1 + x2) / 2
        one.bbox.center.position.y = (y1 + y2) / 2
        one.bbox.size_x = x2 - x1
        one.bbox.size_y = y2 - y1
        hypothesis = vision_msgs.ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id = labels[result.class_ids[i]]
        hypothesis.hypothesis.score = float(result.scores[i])
        one.results = [hypothesis]
        if isinstance(result, Tracks):
            one.id = str(result.track_ids[i])
            if result.carrier_ids[i]:
                relation = vision_msgs.ObjectHypothesisWithPose()
                relation.hypothesis.class_id = f"carried_by:{result.carrier_ids[i]}"
                relation.hypothesis.score = float(result.scores[i]) * float(
                    result.carrier_scores[i]
                )
                one.results = [hypothesis, relation]
        message.detections.append(one)
    return message


@settings(max_examples=150, deadline=None)
@given(results(), st.integers(0, 2**31 * 10**9 - 1), TEXT)
def test_bytes_equal_rclpys(result_and_labels, stamp_ns, frame_id):
    result, labels = result_and_labels
    message = by_fields(stamp_ns, frame_id, result, labels)
    expected = rclpy_serialization.serialize_message(message)
    ours = serialize_results(stamp_ns, frame_id, result, labels)
    assert len(ours) == len(expected)
    # rclpy leaves padding undefined. So what differs must be padding: with
    # rclpy's bytes there, ours still reads as the very same message.
    padded = bytearray(ours)
    for at in range(len(ours)):
        if ours[at] != expected[at]:
            assert ours[at] == 0
            padded[at] = 255 - expected[at]
    assert rclpy_serialization.deserialize_message(bytes(padded), type(message)) == message


@settings(max_examples=100, deadline=None)
@given(results(), st.integers(0, 2**31 * 10**9 - 1), TEXT)
def test_reading_gives_back_what_was_written(result_and_labels, stamp_ns, frame_id):
    result, labels = result_and_labels
    message = deserialize_results(serialize_results(stamp_ns, frame_id, result, labels))
    assert (message.stamp_ns, message.frame_id) == (stamp_ns, frame_id)
    np.testing.assert_allclose(message.boxes, result.boxes, rtol=1e-6, atol=1e-2)
    np.testing.assert_array_equal(message.scores, result.scores)
    assert message.class_names == [labels[i] for i in result.class_ids]
    if isinstance(result, Tracks):
        back = to_tracks(message, LabelTable(labels))
        np.testing.assert_array_equal(back.track_ids, result.track_ids)
        np.testing.assert_array_equal(back.class_ids, result.class_ids)
        np.testing.assert_array_equal(back.carrier_ids, result.carrier_ids)
        known = (result.carrier_ids > 0) & (result.scores > 0)
        np.testing.assert_allclose(
            back.carrier_scores[known], result.carrier_scores[known], rtol=1e-5
        )
    else:
        assert message.ids == [""] * len(result)


def test_a_carried_object_says_by_whom_in_a_second_result():
    """The contract that other nodes rely on, read with rclpy's own types."""
    tracks = Tracks(
        np.array([[10, 10, 30, 60], [24, 30, 36, 34]], np.float32),
        np.array([0.9, 0.5], np.float32),
        np.array([0, 1], np.int32),
        np.array([3, 7], np.int64),
        np.array([0, 3], np.int64),
        np.array([0.0, 0.8], np.float32),
    )
    data = serialize_results(1, "cam", tracks, ["person", "weapon"])
    message = rclpy_serialization.deserialize_message(data, vision_msgs.Detection2DArray)
    person, weapon = message.detections
    assert [person.id, weapon.id] == ["3", "7"]
    assert [each.hypothesis.class_id for each in person.results] == ["person"]
    assert [each.hypothesis.class_id for each in weapon.results] == ["weapon", "carried_by:3"]
    scores = [each.hypothesis.score for each in weapon.results]
    assert scores == pytest.approx([0.5, 0.4])
    # Whoever takes the best result still finds the object's own class.
    assert max(weapon.results, key=lambda r: r.hypothesis.score) is weapon.results[0]
    assert deserialize_results(data).class_names == ["person", "weapon"]


def test_a_person_that_was_looked_at_twice_may_say_armed_in_a_second_result():
    tracks = Tracks(
        np.array([[10, 10, 30, 60], [60, 10, 80, 60], [24, 30, 36, 34]], np.float32),
        np.array([0.5, 0.6, 0.4], np.float32),
        np.array([0, 0, 1], np.int32),
        np.array([3, 4, 7], np.int64),
        np.array([0, 0, 3], np.int64),
        np.array([0.0, 0.0, 1.0], np.float32),
        armed=np.array([0.96, np.nan, np.nan], np.float32),
    )
    data = serialize_results(1, "cam", tracks, ["person", "weapon"])
    message = rclpy_serialization.deserialize_message(data, vision_msgs.Detection2DArray)
    names = [[r.hypothesis.class_id for r in one.results] for one in message.detections]
    assert names == [["person", "armed"], ["person"], ["weapon", "carried_by:3"]]
    # The person's score times the probability, so that the best result is still the object's.
    assert message.detections[0].results[1].hypothesis.score == pytest.approx(0.48)
    back = to_tracks(deserialize_results(data), LabelTable(["person", "weapon"]))
    np.testing.assert_allclose(back.armed, tracks.armed, rtol=1e-6)
    assert back.class_ids.tolist() == [0, 0, 1]
    assert back[np.array([2, 0])].armed[1] == pytest.approx(0.96)


def test_a_label_that_is_called_armed_is_a_label():
    found = Detections(np.ones((1, 4), np.float32), np.ones(1, np.float32), np.zeros(1, np.int32))
    read = deserialize_results(serialize_results(1, "cam", found, ["armed"]))
    assert read.class_names == ["armed"]


def test_best_of_several_hypotheses_counts():
    message = by_fields(
        5, "cam", Detections(np.zeros((1, 4), np.float32), np.ones(1, np.float32) * 0.25,
                             np.zeros(1, np.int32)), ["person"],
    )  # fmt: skip
    better = vision_msgs.ObjectHypothesisWithPose()
    better.hypothesis.class_id = "vehicle"
    better.hypothesis.score = 0.5
    message.detections[0].results.append(better)
    read = deserialize_results(rclpy_serialization.serialize_message(message))
    assert read.class_names == ["vehicle"]
    assert read.scores.tolist() == [0.5]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data):
    with contextlib.suppress(DataError):
        deserialize_results(b"\0\1\0\0" + data)


def test_truncated_message_is_refused_wherever_it_is_cut():
    boxes = np.array([[1, 2, 3, 4]], np.float32)
    whole = serialize_results(
        1, "cam", Detections(boxes, np.ones(1, np.float32), np.zeros(1, np.int32)), ["person"]
    )
    for size in range(len(whole)):
        with pytest.raises(DataError, match="message"):
            deserialize_results(whole[:size])


def test_new_names_get_new_ids_and_detections_are_sorted():
    table = LabelTable(["person"])
    boxes = np.zeros((3, 4), np.float32)
    message = deserialize_results(
        serialize_results(
            1, "c", Detections(boxes, np.array([0.1, 0.9, 0.5], np.float32),
                               np.array([1, 0, 2], np.int32)), ["car", "person", "bus"],
        )
    )  # fmt: skip
    detections = to_detections(message, table)
    assert table.labels == ["person", "car", "bus"]
    np.testing.assert_allclose(detections.scores, [0.9, 0.5, 0.1])
    assert [table.labels[i] for i in detections.class_ids] == ["car", "bus", "person"]


def test_coordinates_that_are_not_numbers_are_refused():
    boxes = np.full((1, 4), np.nan, np.float32)
    message = deserialize_results(
        serialize_results(
            1, "c", Detections(boxes, np.ones(1, np.float32), np.zeros(1, np.int32)), ["x"]
        )
    )
    with pytest.raises(DataError, match="not a number"):
        to_detections(message, LabelTable())
