import numpy as np
import pytest

from windhover.tracking.bytetrack import ByteTrackParams
from windhover.types import Detections, Frame

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

import rclpy
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Imu
from vision_msgs.msg import Detection2DArray

from tests.support.fixtures import problems, wait_for
from windhover_ros import qos
from windhover_ros.messages import serialize_results
from windhover_tracker.node import TrackerNode

LABELS = ("person", "vehicle")
STEP_NS = 33_000_000
FAST = {"retry_min_s": 0.1, "retry_max_s": 0.2}


def moving(step):
    boxes = np.array(
        [[10 + step, 20, 40 + step, 60], [200, 100 + step, 280, 150 + step]], np.float32
    )
    return Detections(boxes, np.array([0.9, 0.8], np.float32), np.array([0, 1], np.int32))


def no_frame(step):
    return Frame(np.zeros((2, 2), np.uint8), "mono8", 10**18 + step * STEP_NS, "cam", step)


@pytest.fixture
def linked(nodes):
    node = TrackerNode(FAST, linked=True)
    node.results = []
    track = node.track
    node.track = lambda *args: node.results.append(track(*args))
    nodes.add(node)
    assert node.bring_up()
    return node


def test_ids_last_over_dds_and_the_header_is_the_images(nodes):
    heard = nodes.listener(Detection2DArray, "tracks", qos.result())
    node = nodes.add(TrackerNode())
    assert node.bring_up()
    sender = nodes.add(rclpy.create_node("sender"))
    publisher = sender.create_publisher(Detection2DArray, "detections", qos.result())
    wait_for(lambda: publisher.get_subscription_count() == 1, "discovery")
    wait_for(lambda: node.count_subscribers("tracks") == 1, "discovery")
    for step in range(6):
        stamp = 10**18 + step * STEP_NS
        publisher.publish(serialize_results(stamp, "cam", moving(step), LABELS))
        wait_for(lambda n=step + 1: len(heard) == n, f"tracks {step}")
    ids = [{d.results[0].hypothesis.class_id: d.id for d in array.detections} for array in heard]
    assert set(ids[-1]) == {"person", "vehicle"}
    assert all(one == ids[-1] for one in ids[2:])
    assert all(text.isdecimal() for text in ids[-1].values())
    assert heard[-1].header.frame_id == "cam"
    assert heard[-1].header.stamp.nanosec == (5 * STEP_NS) % 10**9
    box = next(d for d in heard[-1].detections if d.id == ids[-1]["person"]).bbox
    assert box.center.position.x == pytest.approx(30, abs=1)


def test_empty_frames_advance_it_and_are_published(nodes, linked):
    heard = nodes.listener(Detection2DArray, "tracks", qos.result())
    wait_for(lambda: linked.count_subscribers("tracks") == 1, "discovery")
    for step in range(3):
        linked.track(no_frame(step), moving(step), LABELS)
    first = set(linked.results[-1].track_ids.tolist())
    # Three seconds with nothing in sight: more than a lost track is kept.
    for step in range(3, 95):
        linked.track(no_frame(step), Detections(), LABELS)
    wait_for(lambda: len(heard) >= 10, "the arrays")
    assert len(linked.results) == 95
    assert len(linked.results[-1]) == 0
    for step in range(95, 100):
        linked.track(no_frame(step), moving(step), LABELS)
    again = set(linked.results[-1].track_ids.tolist())
    assert len(again) == 2
    assert not again & first


def test_a_malformed_message_is_refused_and_it_goes_on(nodes):
    node = nodes.add(TrackerNode())
    node.bring_up()
    bad = moving(0)
    bad.boxes[0, 0] = np.nan
    node._on_detections(serialize_results(10**18, "cam", bad, LABELS))
    node._on_detections(b"\x00\x01\x00\x00short")
    assert node.health.counter("messages_refused") == 2
    assert "detections: " in node.health.report().message
    node._on_detections(serialize_results(10**18, "cam", moving(0), LABELS))
    assert node.health.frames.count == 1
    assert node.state == "active"


def test_a_stamp_that_goes_back_is_a_warning(linked):
    for step in (0, 1, 2, 0, 3):
        linked.track(no_frame(step), moving(step), LABELS)
    assert len(linked.results) == 5
    assert linked.health.counter("stamps_backwards") == 1


def test_ids_continue_after_a_recovery(linked):
    for step in range(4):
        linked.track(no_frame(step), moving(step), LABELS)
    before = linked.results[-1].track_ids.max()
    linked.fail(RuntimeError("a fault"))
    wait_for(lambda: "failures" in linked.health.report().values, "the fault")
    wait_for(lambda: linked.state == "active", "recovery")
    far = Detections(
        np.array([[500, 500, 540, 560]], np.float32), np.array([0.9], np.float32),
        np.array([0], np.int32),
    )  # fmt: skip
    for step in range(4, 10):
        linked.track(no_frame(step), far, LABELS)
    assert linked.results[-1].track_ids.min() > before


def test_its_settings_are_ros_parameters_that_are_fixed_in_flight(linked):
    assert linked.get_parameter("bytetrack.lost_seconds").value == ByteTrackParams().lost_seconds
    (done,) = linked.set_parameters([Parameter("bytetrack.lost_seconds", value=1.0)])
    assert not done.successful


def test_a_weapon_names_its_carrier_in_the_tracks_topic(nodes):
    heard = nodes.listener(Detection2DArray, "tracks", qos.result())
    node = nodes.add(TrackerNode(FAST, linked=True))
    assert node.bring_up()
    wait_for(lambda: node.count_subscribers("tracks") == 1, "discovery")
    boxes = np.array([[100, 80, 112, 106], [102, 90, 116, 95]], np.float32)
    found = Detections(boxes, np.array([0.9, 0.6], np.float32), np.array([0, 1], np.int32))
    for step in range(25):
        node.track(no_frame(step), found, ("person", "weapon"))
        wait_for(lambda n=step + 1: len(heard) == n, f"tracks {step}")
    names = {
        each.results[0].hypothesis.class_id: (
            each.id,
            [r.hypothesis.class_id for r in each.results],
        )
        for each in heard[-1].detections
    }
    assert set(names) == {"person", "weapon"}
    assert names["person"][1] == ["person"]
    assert names["weapon"][1] == ["weapon", f"carried_by:{names['person'][0]}"]


class Looks:
    """What a detector in this process knows of the people that it looked at."""

    def __init__(self):
        self.observed = []

    def observe(self, tracks, stamp_ns):
        self.observed.append((tracks.track_ids.tolist(), stamp_ns))

    def probabilities(self, stamp_ns):
        return {1: 0.75}


@pytest.mark.parametrize("report_armed", [True, False])
def test_looks_are_given_the_tracks_and_armed_is_reported_only_if_asked_for(nodes, report_armed):
    looks = Looks()
    values = {**FAST, "report_armed": report_armed}
    node = nodes.add(TrackerNode(values, linked=True, looks=looks))
    assert node.bring_up()
    assert not problems(node)
    for step in range(3):
        tracks = node.track(no_frame(step), moving(step), LABELS)
    assert looks.observed[-1] == ([1, 2], no_frame(2).stamp_ns)
    wanted = [0.75, np.nan] if report_armed else [np.nan, np.nan]
    np.testing.assert_array_equal(tracks.armed, wanted)


def test_without_a_detector_in_the_process_report_armed_is_said_to_have_no_effect(nodes):
    node = nodes.add(TrackerNode({**FAST, "report_armed": True}))
    assert "report_armed has no effect" in " ".join(problems(node))


def test_attitude_and_camera_info_give_the_image_motion(nodes):
    """In its own process: no image, a yaw of 3 degrees either way, tiny boxes."""
    topics = {"camera_info_topic": "camera/thermal/camera_info", "attitude_topic": "imu"}
    node = nodes.add(TrackerNode({**FAST, **topics, "camera_pitch_deg": 0.0}))
    heard = nodes.listener(Detection2DArray, "tracks", qos.result())
    assert node.bring_up()
    sender = nodes.add(rclpy.create_node("drone"))
    attitudes = sender.create_publisher(Imu, "imu", qos.sensor())
    infos = sender.create_publisher(CameraInfo, "camera/thermal/camera_info", qos.image())
    detections = sender.create_publisher(Detection2DArray, "detections", qos.result())
    for publisher in (attitudes, infos, detections):
        wait_for(lambda p=publisher: p.get_subscription_count() == 1, "discovery")
    wait_for(lambda: node.count_subscribers("tracks") == 1, "discovery")
    focal = 554.0
    info = CameraInfo(width=640, height=512)
    info.k = [focal, 0.0, 319.5, 0.0, focal, 255.5, 0.0, 0.0, 1.0]
    infos.publish(info)
    wait_for(lambda: node._lens is not None, "camera_info")
    for step, yaw in enumerate([0, 3, 0, -3, 0, 3, 0, -3]):
        stamp = 10**18 + step * 100_000_000
        half = np.radians(yaw) / 2
        imu = Imu()
        imu.header.stamp.sec, imu.header.stamp.nanosec = divmod(stamp, 10**9)
        imu.orientation.z, imu.orientation.w = float(np.sin(half)), float(np.cos(half))
        attitudes.publish(imu)
        wait_for(lambda s=stamp: node._attitudes.motion(s, s, node._lens) is not None, "attitude")
        x = 320 + focal * np.tan(np.radians(yaw))
        box = np.array([[x - 6, 250, x + 6, 262]], np.float32)
        found = Detections(box, np.array([0.9], np.float32), np.array([0], np.int32))
        detections.publish(serialize_results(stamp, "cam", found, LABELS))
        wait_for(lambda n=step + 1: len(heard) == n, f"tracks {step}")
    assert [[each.id for each in array.detections] for array in heard] == [["1"]] * 8


@pytest.mark.parametrize("clip", [False, True])
def test_boxes_of_the_topic_are_clipped_only_if_asked_for(nodes, clip):
    heard = nodes.listener(Detection2DArray, "tracks", qos.result())
    node = nodes.add(TrackerNode(FAST | {"clip_boxes": clip}, linked=True))
    assert node.bring_up()
    wait_for(lambda: node.count_subscribers("tracks") == 1, "discovery")
    edge = Detections(np.array([[-8, 20, 24, 60]], np.float32), np.ones(1), np.zeros(1, np.int32))
    image = np.zeros((200, 300), np.uint8)
    handed_on = node.track(Frame(image, "mono8", 10**18, "cam"), edge, LABELS)
    wait_for(lambda: heard, "tracks")
    box = heard[0].detections[0].bbox
    left = box.center.position.x - box.size_x / 2
    assert left == pytest.approx(0 if clip else -8)
    assert handed_on.boxes[0, 0] == pytest.approx(-8)


def test_a_tracker_that_knows_no_image_refuses_to_clip(nodes):
    node = nodes.add(TrackerNode(FAST | {"clip_boxes": True}))
    assert not node.bring_up()
    assert any("clip_boxes needs" in text for text in problems(node))
