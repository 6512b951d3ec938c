"""vision_msgs as it was built here: upstream's fields and hashes, over a real DDS."""

import os
import sys
from pathlib import Path

import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS is not installed")

from geometry_msgs.msg import PoseWithCovariance
from std_msgs.msg import Header
from vision_msgs import msg as vision

from embedded.domain import isolate
from tests.support.fixtures import wait_for
from tests.support.processes import start

pytestmark = pytest.mark.ros

ECHO = Path(__file__).with_name("detection_echo.py")

# Of vision_msgs 4.1.1 on a Jazzy distribution: nodes there must take ours for theirs.
HASHES = {
    "Detection2DArray": "RIHS01_214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968",
    "Detection2D": "RIHS01_0d12b69df5c593b3455b7346fac8205437a7d4bcb09b9e0e0b2dde787ded38ea",
    "LabelInfo": "RIHS01_3d37df4015cdf660cc851c51897f2acd957e1ca6205ba0a99aebffb9406b0783",
}

FIELDS = {
    "Point2D": {"x": "double", "y": "double"},
    "Pose2D": {"position": "vision_msgs/Point2D", "theta": "double"},
    "BoundingBox2D": {"center": "vision_msgs/Pose2D", "size_x": "double", "size_y": "double"},
    "ObjectHypothesis": {"class_id": "string", "score": "double"},
    "ObjectHypothesisWithPose": {
        "hypothesis": "vision_msgs/ObjectHypothesis",
        "pose": "geometry_msgs/PoseWithCovariance",
    },
    "Detection2D": {
        "header": "std_msgs/Header",
        "results": "sequence<vision_msgs/ObjectHypothesisWithPose>",
        "bbox": "vision_msgs/BoundingBox2D",
        "id": "string",
    },
    "Detection2DArray": {
        "header": "std_msgs/Header",
        "detections": "sequence<vision_msgs/Detection2D>",
    },
    "VisionClass": {"class_id": "uint16", "class_name": "string"},
    "LabelInfo": {
        "header": "std_msgs/Header",
        "class_map": "sequence<vision_msgs/VisionClass>",
        "threshold": "float",
    },
    "VisionInfo": {
        "header": "std_msgs/Header",
        "method": "string",
        "database_location": "string",
        "database_version": "int32",
    },
}


@pytest.fixture(scope="module")
def node():
    isolate()
    context = rclpy.Context()
    context.init()
    made = rclpy.create_node("embedded_test", context=context)
    yield made
    made.destroy_node()
    context.shutdown()


@pytest.mark.parametrize("name", FIELDS)
def test_fields_are_upstreams_in_order(name):
    assert list(getattr(vision, name).get_fields_and_field_types().items()) == list(
        FIELDS[name].items()
    )


@pytest.mark.parametrize("name", HASHES)
def test_the_type_hash_that_dds_announces_is_upstreams(node, name):
    publisher = node.create_publisher(getattr(vision, name), f"hash/{name}", 1)
    (info,) = node.get_publishers_info_by_topic(publisher.topic_name)
    assert str(info.topic_type_hash) == HASHES[name]


def detections() -> vision.Detection2DArray:
    header = Header(frame_id="thermal_optical")
    header.stamp.sec, header.stamp.nanosec = 1_700_000_000, 123_456_789
    array = vision.Detection2DArray(header=header)
    for index in range(3):
        found = vision.Detection2D(header=header, id=str(40 + index))
        found.bbox.center.position.x, found.bbox.center.position.y = 100.25 + index, 7.125
        found.bbox.center.theta = 0.5
        found.bbox.size_x, found.bbox.size_y = 1 / 3, 20.0
        pose = PoseWithCovariance(covariance=[float(value) for value in range(36)])
        hypothesis = vision.ObjectHypothesis(class_id="person ü", score=0.1 * index)
        found.results = [vision.ObjectHypothesisWithPose(hypothesis=hypothesis, pose=pose)] * index
        array.detections.append(found)
    return array


def test_an_array_comes_back_from_another_process_unchanged(node):
    received: list[vision.Detection2DArray] = []
    publisher = node.create_publisher(vision.Detection2DArray, "in", 10)
    node.create_subscription(vision.Detection2DArray, "out", received.append, 10)
    executor = rclpy.executors.SingleThreadedExecutor(context=node.context)
    executor.add_node(node)
    # A new context reads the domain from the environment when it starts.
    echo = start(sys.executable, ECHO, env=os.environ, stdout=None, stderr=None)
    sent = detections()

    def heard():
        assert echo.poll() is None, "the other process ended"
        publisher.publish(sent)
        executor.spin_once(timeout_sec=0.5)
        return received

    try:
        wait_for(heard, "the array")
    finally:
        executor.shutdown()
    assert received[0] == sent
