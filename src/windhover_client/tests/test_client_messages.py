"""Messages become typed objects; what is not Windhover's is refused."""

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose

from windhover_client.health import HealthLevel, read_health
from windhover_client.tracks import Box, read_tracks


def track(track_id, label, score, box=(10.0, 20.0, 30.0, 60.0), carrier=None):
    x1, y1, x2, y2 = box
    detection = Detection2D(id=track_id)
    detection.bbox.center.position.x, detection.bbox.center.position.y = (
        (x1 + x2) / 2,
        (y1 + y2) / 2,
    )
    detection.bbox.size_x, detection.bbox.size_y = x2 - x1, y2 - y1
    for name, value in ((label, score), *((carrier,) if carrier else ())):
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id, result.hypothesis.score = name, value
        detection.results.append(result)
    return detection


def message(*detections):
    array = Detection2DArray(detections=list(detections))
    array.header.stamp.sec, array.header.stamp.nanosec = 5, 7
    array.header.frame_id = "rgb_camera"
    return array


def test_tracks_have_boxes_labels_and_carriers():
    update = read_tracks(
        message(
            track("4", "person", 0.9),
            track("7", "weapon", 0.5, (12.5, 30.0, 20.0, 33.0), ("carried_by:4", 0.25)),
        ),
        session=3,
    )
    assert (update.stamp_ns, update.frame_id, update.session) == (5_000_000_007, "rgb_camera", 3)
    person, weapon = update.tracks
    assert person.box == Box(10.0, 20.0, 30.0, 60.0)
    assert (person.box.center, person.box.width, person.box.height) == ((20.0, 40.0), 20.0, 40.0)
    assert person.carried_by is None
    assert (weapon.label, weapon.carried_by, weapon.carried_score) == ("weapon", 4, 0.25)
    assert update.by_label("person", "vehicle") == (person,)
    assert update.by_id(7) == weapon
    assert update.by_id(8) is None


def test_a_person_may_be_reported_as_armed_with_a_probability():
    update = read_tracks(
        message(
            track("4", "person", 0.5, carrier=("armed", 0.45)),
            track("5", "person", 0.5),
            track("6", "person", 0.0, carrier=("armed", 0.0)),
        )
    )
    assert [one.label for one in update.tracks] == ["person"] * 3
    assert update.tracks[0].armed == pytest.approx(0.9)
    assert [one.armed for one in update.tracks[1:]] == [None, None]


def test_an_empty_array_is_an_update_with_no_tracks():
    assert read_tracks(message()).tracks == ()


def test_a_track_without_result_or_number_is_refused():
    with pytest.raises(ValueError, match="has no result"):
        read_tracks(message(Detection2D(id="1")))
    with pytest.raises(ValueError, match="invalid literal"):
        read_tracks(message(track("one", "person", 0.9)))


def test_health_is_the_first_entry_and_its_stages():
    def status(name, level):
        return DiagnosticStatus(name=name, level=bytes([level]), message=f"{name} says so")

    health = read_health(DiagnosticArray(status=[status("windhover", 2), status("detector", 3)]))
    assert health.level is HealthLevel.ERROR
    assert health.message == "windhover says so"
    assert health.stages == {"detector": HealthLevel.STALE}
    assert not health.trusted
    assert read_health(DiagnosticArray()) is None
