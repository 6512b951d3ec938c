"""The recorder node: what crosses DDS, under its real names, times and QoS."""

import time

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

import rclpy
import yaml
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from mcap.reader import make_reader
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, Imu
from std_msgs.msg import Float64
from vision_msgs.msg import Detection2DArray, LabelInfo

from tests.support.fixtures import wait_for
from windhover.sources import open_source
from windhover.types import Frame
from windhover_bringup.recording.recorder import RecorderNode
from windhover_ros import qos
from windhover_ros.images import image_message, to_time

STAMP = 1_700_000_000_000_000_000
COUNTS = np.arange(48, dtype=np.uint16).reshape(6, 8) * 900


class Talker:
    """Says everything that a chain and its autopilot say."""

    def __init__(self, nodes):
        node = rclpy.create_node("talker")
        nodes.add(node)
        reliable, image = qos.result(0.5), qos.image()
        kinds = {
            "camera/thermal/image_raw": (Image, image),
            "camera/thermal/camera_info": (CameraInfo, image),
            "detections": (Detection2DArray, reliable),
            "tracks": (Detection2DArray, reliable),
            "label_info": (LabelInfo, qos.latched()),
            "/diagnostics": (DiagnosticArray, qos.result()),
            "health": (DiagnosticArray, qos.latched()),
            "heartbeat": (Time, qos.result()),
            "mavros/global_position/rel_alt": (Float64, image),
            "mavros/imu/data": (Imu, image),
            "overlay/image/compressed": (CompressedImage, image),
        }
        self._publishers = {
            name: (kind, node.create_publisher(kind, name, profile))
            for name, (kind, profile) in kinds.items()
        }

    def say(self):
        for kind, publisher in self._publishers.values():
            if kind is Image:
                message = image_message(Frame(COUNTS, "mono16", STAMP, "cam", 0))
            else:
                message = kind()
            # A latched LabelInfo has no image, and so no stamp.
            if hasattr(message, "header") and kind is not LabelInfo:
                message.header.stamp = to_time(STAMP)
            publisher.publish(message)


STATUS = {
    "/diagnostics", "/health", "/heartbeat", "/mavros/global_position/rel_alt",
    "/mavros/imu/data",
}  # fmt: skip
RESULTS = {
    "/detections", "/tracks", "/label_info", "/camera/thermal/camera_info",
    "/camera/thermal/image_raw/compressed", "/preview/thermal/compressed",
}  # fmt: skip


def talked_until(nodes, written):
    talker = Talker(nodes)

    def all_there():
        talker.say()
        return written()

    wait_for(all_there, "all topics", pause_s=0.05)


def record(nodes, bag, topics, **params):
    recorder = nodes.add(RecorderNode({"path": str(bag), **params}))
    assert recorder.bring_up()
    talked_until(nodes, lambda: topics <= recorder._bag._channels.keys())
    recorder.trigger_deactivate()
    recorder.trigger_cleanup()


def test_all_that_a_layout_shows_is_recorded_at_the_time_of_recording(nodes, tmp_path):
    before = time.time_ns()
    bag = tmp_path / "bag"
    record(nodes, bag, RESULTS | STATUS)
    found = {}
    with (bag / "bag.mcap").open("rb") as stream:
        for _, channel, message in make_reader(stream).iter_messages():
            found.setdefault(channel.topic, []).append((message.log_time, message.publish_time))
    assert set(found) == RESULTS | STATUS
    for topic, times in found.items():
        stamped = topic not in {"/label_info", "/heartbeat", "/mavros/global_position/rel_alt"}
        for log_ns, publish_ns in times:
            # Not one at 0: that made recordings begin in 1970.
            assert before <= log_ns <= time.time_ns()
            # The recorder's own diagnostics are stamped now.
            if topic != "/diagnostics" or publish_ns < before:
                assert publish_ns == (STAMP if stamped else log_ns)
    about = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert about["starting_time"]["nanoseconds_since_epoch"] >= before
    assert about["duration"]["nanoseconds"] < 600e9
    profiles = {
        t["topic_metadata"]["name"]: t["topic_metadata"]["offered_qos_profiles"][0]
        for t in about["topics_with_message_count"]
    }
    assert profiles["/tracks"]["deadline"] == {"sec": 0, "nsec": 500_000_000}
    assert profiles["/health"]["durability"] == "transient_local"
    assert profiles["/mavros/imu/data"]["reliability"] == "best_effort"
    image = profiles["/camera/thermal/image_raw/compressed"]
    assert (image["depth"], image["reliability"]) == (1, "best_effort")
    source = open_source(bag)
    assert source.topic == "/camera/thermal/image_raw/compressed"
    first = next(iter(source))
    np.testing.assert_array_equal(first.image, COUNTS)
    assert first.stamp_ns == STAMP
    # By times of recording, --start finds the recording's own seconds.
    assert list(open_source(f"rosbag:{bag}?start=0&duration=600"))


def test_the_overlay_is_recorded_where_asked_and_the_preview_left_out(nodes, tmp_path):
    topics = (RESULTS | STATUS | {"/overlay/image/compressed"}) - {"/preview/thermal/compressed"}
    bag = tmp_path / "bag"
    record(nodes, bag, topics, overlay=True, thermal_preview=False)
    with (bag / "bag.mcap").open("rb") as stream:
        channels = make_reader(stream).get_summary().channels.values()
        assert {channel.topic for channel in channels} == topics


def test_beside_a_composed_run_only_status_is_taken(nodes):
    taken = {}
    recorder = nodes.add(
        RecorderNode(
            {"attitude_topic": ""}, sink=lambda topic, *rest: taken.update({topic.name: rest})
        )
    )
    assert recorder.bring_up()
    wanted = STATUS - {"/mavros/imu/data"}
    talked_until(nodes, lambda: wanted <= taken.keys())
    assert taken.keys() == wanted
    log_ns, publish_ns, _ = taken["/health"]
    assert publish_ns == STAMP < log_ns
