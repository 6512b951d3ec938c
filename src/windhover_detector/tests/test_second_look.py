"""The detector node looks twice: alone, with a pose, and with new thresholds."""

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

import rclpy
from geometry_msgs.msg import QuaternionStamped
from rclpy.parameter import Parameter
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Float64
from vision_msgs.msg import Detection2DArray

from tests.support.fixtures import wait_for
from tests.support.looks_twice import (
    HEIGHT,
    SCALE,
    WIDTH,
    build_looks_twice,
    frame_of,
    full_picture,
)
from windhover.calibration import CameraCalibration
from windhover.geometry import Lens
from windhover.health import altitude
from windhover.pairing import drone_state
from windhover.types import Frame
from windhover_detector.node import DetectorNode
from windhover_ros import qos
from windhover_ros.images import camera_info, image_message
from windhover_ros.links import BlockingSlot

# A busy machine may take any time for its looks.
UNHURRIED = {"backend": "cpu", "second_look.budget_ms": 0.0}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return build_looks_twice(tmp_path_factory.mktemp("models") / "twice")


@pytest.fixture
def linked(nodes, bundle):
    """A node whose frames a camera in this process gives, and what it found in each."""
    node = DetectorNode({"model": str(bundle), **UNHURRIED}, frames=BlockingSlot())
    node.found = []
    node.on_result(lambda frame, detections, taken_ns: node.found.append(detections))
    nodes.add(node)
    assert node.bring_up()
    return node


def give(node, count, first=0):
    for index in range(first, first + count):
        frame = frame_of(full_picture(moved=index))
        stamped = Frame(frame.image, "bgr8", 10**18 + index * 33_000_000, full=frame.full)
        assert node.input.put(stamped)
    wait_for(lambda: len(node.found) == first + count, "results")


def scale_of(node):
    return node.health.report().values["chip_scale"]


def test_alone_it_adds_evidence_up_over_tracks_of_its_own(linked):
    give(linked, 12)
    assert all(len(found) == 2 for found in linked.found)
    (probability,) = linked.looking.probabilities(10**18 + 12 * 33_000_000).values()
    assert probability > 0.9
    assert linked.health.counter("looks") == 12


def test_a_new_threshold_keeps_the_second_graph(linked):
    give(linked, 2)
    before = linked._detector.second_pass
    linked.set_parameters([Parameter("score_threshold", value=0.05)])
    give(linked, 2, first=2)
    assert linked._detector.second_pass is before
    assert linked._detector.thresholds.score == pytest.approx(0.05)
    assert len(linked.found[-1]) == 2


def test_what_is_carried_is_counted_from_the_lower_threshold_of_both_looks(linked):
    labels = linked._detector.bundle.labels
    linked.set_parameters([Parameter("score_threshold", value=0.5)])
    scores = dict(zip(labels, linked.least_scores(linked._detector.bundle), strict=True))
    # People are the first look's; the second one's own threshold is 0.25.
    assert scores["person"] == pytest.approx(0.5)
    assert scores["vehicle"] == pytest.approx(0.25)


@pytest.fixture
def lasting(monkeypatch):
    """Altitude and attitude stay fresh, however busy the machine is."""
    monkeypatch.setattr(drone_state, "ATTITUDE_FRESH_S", 1e9)
    monkeypatch.setattr(altitude, "ALTITUDE_FRESH_S", 1e9)


def test_the_pose_needs_altitude_attitude_and_lens(linked, lasting):
    passed = linked._detector.second_pass
    lens = Lens.from_hfov((WIDTH, HEIGHT), 66.0)
    other = Lens.from_hfov((640, 512), 66.0)
    steps = {
        "altitude unknown": lambda: linked.drone.altitude(40.0),
        "attitude unknown": lambda: linked.drone.attitude((0.0, 0.0, 0.0, 1.0)),
        "lens unknown": lambda: setattr(linked.looking, "lens", lambda frame: other),
        f"the lens is of 640x512, the frame of {WIDTH}x{HEIGHT}": lambda: setattr(
            linked.looking, "lens", lambda frame: lens
        ),
    }
    for index, (lacks, step) in enumerate(steps.items()):
        give(linked, 1, first=index)
        assert passed.pose is None
        assert scale_of(linked) == f"people's boxes: {lacks}"
        step()
    give(linked, 1, first=len(steps))
    assert scale_of(linked) == "altitude"
    assert passed.pose.altitude_m == 40.0
    assert passed.pose.lens is lens
    # 60 degrees below the nose.
    np.testing.assert_allclose(passed.pose.down, [0.0, 0.5, np.sqrt(0.75)], atol=1e-9)


def test_an_altitude_that_makes_people_giants_is_reported(linked, lasting):
    linked.drone.altitude(4000.0)
    linked.drone.attitude((0.0, 0.0, 0.0, 1.0))
    linked.looking.lens = lambda frame: Lens.from_hfov((WIDTH, HEIGHT), 66.0)
    give(linked, 2)
    assert all(len(found) == 2 for found in linked.found)
    report = linked.health.report()
    assert report.values["altitude_doubted"] == "2"
    assert "people are giants or dwarfs" in " ".join(report.values.values())


def test_in_a_process_of_its_own_chips_come_from_the_published_image(nodes, bundle):
    """The full image over DDS, with the lens of its camera_info and the drone's pose."""
    values = {"model": str(bundle), "attitude_type": "quaternion", "attitude_topic": "attitude"}
    node = nodes.add(DetectorNode({**values, **UNHURRIED, "camera_pitch_deg": 90.0}))
    heard = nodes.listener(Detection2DArray, "detections", qos.result())
    assert node.bring_up()
    sender = nodes.add(rclpy.create_node("camera"))
    made = {
        "camera/rgb/image_raw": (Image, qos.image()),
        "camera/rgb/camera_info": (CameraInfo, qos.image()),
        "mavros/global_position/rel_alt": (Float64, qos.sensor()),
        "attitude": (QuaternionStamped, qos.sensor()),
    }
    senders = {
        topic: sender.create_publisher(kind, topic, profile)
        for topic, (kind, profile) in made.items()
    }
    for publisher in senders.values():
        wait_for(lambda p=publisher: p.get_subscription_count() == 1, "discovery")
    full = full_picture()
    frame = Frame(full, "bgr8", 10**18)
    level = QuaternionStamped()
    level.quaternion.w = 1.0
    lens = CameraCalibration.ideal(WIDTH * SCALE, HEIGHT * SCALE, 66.0)
    messages = {
        "mavros/global_position/rel_alt": Float64(data=33.8),
        "attitude": level,
        "camera/rgb/camera_info": camera_info(frame, lens),
        "camera/rgb/image_raw": image_message(frame),
    }

    def send():
        for topic, message in messages.items():
            senders[topic].publish(message)

    sender.create_timer(0.2, send)
    wait_for(lambda: node._detector.second_pass.pose is not None and heard, "a pose")
    count = len(heard)
    wait_for(lambda: len(heard) > count + 1, "detections with it")
    names = [one.results[0].hypothesis.class_id for one in heard[-1].detections]
    assert sorted(names) == ["person", "vehicle"]
    assert node._detector.second_pass.pose.lens.size == (WIDTH * SCALE, HEIGHT * SCALE)
