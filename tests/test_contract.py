"""The ROS contract: what others rely on. A change here is a change for all of them.

The table of docs/reference/topics.md is held to what the nodes really offer, and the meaning of the
fields to a frame of which all is known.
"""

import ast
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from vision_msgs.msg import Detection2DArray, LabelInfo

from tests.support.fixtures import PERSON_BOX, VEHICLE_BOX, blob_image, run_to_end, wait_for
from tests.support.looks_twice import CARRIED_BOX, WIDTH, build_looks_twice, full_picture
from tests.support.looks_twice import PERSON_BOX as CARRIER_BOX
from windhover.types import ARMED, RELATION
from windhover_bringup.runtime.composed import Pipeline
from windhover_bringup.runtime.config import Config
from windhover_cameras.rgb_camera import RgbCamera
from windhover_pairing.node import PairingNode
from windhover_ros import qos, topics
from windhover_ros.runner import spin_in_threads
from windhover_tracker.node import TrackerNode

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs/reference/topics.md").read_text()
GOLDEN = Path(__file__).with_name("contract.json")
IN, OUT = "subscription", "publisher"


def offered(node, topic, side):
    """Type and QoS of an endpoint, as its peers see them."""
    ask = node.get_publishers_info_by_topic if side == OUT else node.get_subscriptions_info_by_topic
    (found,) = {
        (i.topic_type, words(i.qos_profile)) for i in ask(topic) if i.node_name == node.get_name()
    }
    return {"topic": topic, "side": side, "type": found[0], "qos": found[1]}


def words(profile):
    """A QoS profile in the manual's words, without its depth, which discovery does not carry."""
    parts = [
        "reliable" if profile.reliability == ReliabilityPolicy.RELIABLE else "best effort",
    ]
    if profile.durability == DurabilityPolicy.TRANSIENT_LOCAL:
        parts.append("transient local")
    seconds = profile.deadline.nanoseconds / 1e9
    if 0 < seconds < 1e9:  # else none, which DDS writes as for ever
        parts.append(f"deadline {seconds:g} s")
    return ", ".join(parts)


@pytest.fixture(scope="module")
def pipeline(ros, blob_bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("flight")
    cv2.imwrite(str(folder / "0.png"), blob_image(0))
    cv2.imwrite(str(folder / "1.png"), np.full((256, 320), 40, np.uint8))
    config = (
        Config()
        .with_values("detector", model=str(blob_bundle))
        .with_values("thermal_camera", source=str(folder), loop=True, rate=0.1)
    )
    built = Pipeline(config)
    built.start()
    with spin_in_threads(built.nodes):
        yield built
    built.close()


@pytest.fixture(scope="module")
def endpoints(pipeline):
    rgb, pairing = RgbCamera(), PairingNode({})
    nodes = {node.get_name(): node for node in [*pipeline.nodes, rgb, pairing]}
    asked = [
        ("rgb_camera", "/camera/rgb/image_raw", OUT),
        ("rgb_camera", "/camera/rgb/camera_info", OUT),
        ("thermal_camera", "/camera/thermal/image_raw", OUT),
        ("thermal_camera", "/camera/thermal/camera_info", OUT),
        ("pairing", "/camera/rgb/image_raw", IN),
        ("pairing", "/camera/thermal/image_raw", IN),
        ("pairing", "/mavros/imu/data", IN),
        ("pairing", "/rgbt/image", OUT),
        ("pairing", "/rgbt/camera_info", OUT),
        ("detector", "/detections", OUT),
        ("detector", "/label_info", OUT),
        ("detector", "/mavros/global_position/rel_alt", IN),
        ("tracker", "/tracks", OUT),
        ("overlay", "/overlay/image/compressed", OUT),
        ("monitor", "/health", OUT),
        ("monitor", "/heartbeat", OUT),
        ("detector", "/diagnostics", OUT),
    ]
    yield [offered(nodes[name], topic, side) for name, topic, side in asked]
    rgb.close()
    pairing.close()


def test_topics_types_and_qos_are_those_that_others_rely_on(endpoints):
    """When this fails the contract is new: say so, and update contract.json."""
    assert endpoints == json.loads(GOLDEN.read_text())


def rows():
    """Topic, type, QoS of every row of the manual's table."""
    lines = [line for line in PAGE.splitlines() if line.startswith("| ")]
    for line in lines[1:]:
        topics, kinds, policy = (cell.strip() for cell in line.strip("|").split("|")[:3])
        for topic in re.findall(r"`([^`]+)`", topics):
            yield topic, kinds, policy


def test_the_manual_lists_what_is_offered(endpoints):
    stated = {topic.lstrip("/"): (kinds, policy) for topic, kinds, policy in rows()}
    for one in endpoints:
        kinds, policy = stated[one["topic"].lstrip("/")]
        package, _, name = one["type"].partition("/msg/")
        assert package in kinds
        assert name in kinds
        assert re.sub(r"keep last \d+, |, keep last \d+", "", policy) == one["qos"], one


def test_second_results_are_called_what_the_manual_calls_them():
    (notes,) = (line for line in PAGE.splitlines() if line.startswith("| `tracks`"))
    assert f"`{RELATION}:<id>`" in notes
    assert f"`{ARMED}`" in notes
    # Left out unless a person asks for it.
    assert TrackerNode.params_model().report_armed is False


def test_queues_are_as_long_as_the_manual_says():
    depths = {t.lstrip("/"): int(d[0]) for t, _, p in rows() if (d := re.findall(r"last (\d+)", p))}
    assert depths["camera/thermal/image_raw"] == qos.image().depth
    assert depths["detections"] == depths["tracks"] == qos.result(0.5).depth
    assert depths["heartbeat"] == qos.result(1.0).depth


def topic_literals(path, names):
    """Where a file has a topic's name as an argument, in place of the constant."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            for value in node.args:
                if isinstance(value, ast.Constant) and value.value in names:
                    yield f"{path.name}:{value.lineno}: {value.value}"


def test_names_of_topics_stand_in_one_module(tmp_path):
    names = {value for name, value in vars(topics).items() if name.isupper()}
    names |= {of(c) for of in (topics.camera_image, topics.camera_info) for c in ("rgb", "thermal")}
    # The client imports nothing of ours, and a command may be called as a topic is.
    files = [
        path
        for path in ROOT.glob("src/windhover_*/windhover_*/**/*.py")
        if not {"windhover_client", "cli", "topics.py"} & set(path.parts)
    ]
    assert len(files) > 50
    assert [found for path in files for found in topic_literals(path, names)] == []
    (tmp_path / "x.py").write_text("node.advertise(Image, 'rgbt/image', qos)\n")
    assert list(topic_literals(tmp_path / "x.py", names)) == ["x.py:1: rgbt/image"]


def test_fields_mean_what_the_contract_says(pipeline, nodes):
    detections = nodes.listener(Detection2DArray, "detections", qos.result())
    tracks = nodes.listener(Detection2DArray, "tracks", qos.result())
    labels = nodes.listener(LabelInfo, "label_info", qos.latched())
    wait_for(lambda: any(len(m.detections) == 2 for m in detections), "both objects")
    wait_for(lambda: any(len(m.detections) == 0 for m in detections[3:]), "an empty array")
    wait_for(lambda: any(m.detections for m in tracks), "tracks")
    wait_for(lambda: labels, "labels")
    message = next(m for m in detections if len(m.detections) == 2)
    assert message.header.frame_id == "thermal_camera"
    age_s = pipeline.detector.get_clock().now().nanoseconds / 1e9 - message.header.stamp.sec
    assert 0 <= age_s < 3600
    by_label = {one.results[0].hypothesis.class_id: one for one in message.detections}
    assert set(by_label) == {"person", "vehicle"} == {c.class_name for c in labels[0].class_map}
    for label, (x1, y1, x2, y2) in (("person", PERSON_BOX), ("vehicle", VEHICLE_BOX)):
        one = by_label[label]
        box = one.bbox
        # Source pixels: centre and size, not the network's.
        assert (box.center.position.x, box.center.position.y, box.size_x, box.size_y) == (
            pytest.approx(((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1), abs=1.5)
        )
        assert one.header == message.header
        assert one.id == ""
        assert 0.25 < one.results[0].hypothesis.score <= 1.0
    track = next(m for m in tracks if m.detections).detections[0]
    assert track.id.isdecimal()


@pytest.fixture
def looks_twice(ros, tmp_path):
    """Flies a person who carries something, once there are listeners."""
    built = []

    def fly(report_armed):
        bundle = build_looks_twice(tmp_path / "twice")
        (tmp_path / "flight").mkdir()
        for index in range(15):
            cv2.imwrite(str(tmp_path / f"flight/{index:02d}.png"), full_picture())
        # In this model a vehicle is what people carry.
        tracking = {"carriers.weapon_labels": ["vehicle"], "carriers.link_seconds": 0.1}
        source = str(tmp_path / "flight")
        config = (
            Config()
            # Apart from the other pipeline of this file.
            .with_values("bringup", overlay=False, monitor=False, namespace="twice")
            .with_values("detector", model=str(bundle), backend="cpu")
            .with_values("tracker", report_armed=report_armed, **tracking)
            .with_values("rgb_camera", source=source, rate=0.0, detect_width=WIDTH)
        )
        pipeline = Pipeline(config)
        built.append(pipeline)
        for node, topic in ((pipeline.tracker, "tracks"), (pipeline.detector, "detections")):
            wait_for(lambda n=node, t=topic: n.count_subscribers(t), "discovery")
        run_to_end(pipeline)

    yield fly
    for pipeline in built:
        pipeline.close()


def results_of(one):
    return [(r.hypothesis.class_id, r.hypothesis.score) for r in one.results]


@pytest.mark.parametrize("report_armed", [True, False])
def test_a_carried_object_is_a_track_that_names_its_carrier(looks_twice, nodes, report_armed):
    detections = nodes.listener(Detection2DArray, "twice/detections", qos.result())
    tracks = nodes.listener(Detection2DArray, "twice/tracks", qos.result())
    looks_twice(report_armed)
    wait_for(lambda: detections and tracks and carried(tracks[-1]), "a carrier")
    message = tracks[-1]
    by_id = {one.id: one for one in message.detections}
    assert len(by_id) == 2
    (weapon,) = carried(message)
    (label, score), (relation, share) = results_of(weapon)
    kind, _, carrier_id = relation.partition(":")
    assert (label, kind) == ("vehicle", RELATION)
    # A link is never surer than the track itself, so that the best result stays the label.
    assert 0.0 < share <= score <= 1.0
    person = by_id[carrier_id]
    assert person.id != weapon.id
    assert all(one.id.isdecimal() for one in message.detections)
    named = results_of(person)
    assert named[0][0] == "person"
    if report_armed:
        assert [name for name, _ in named] == ["person", ARMED]
        # The person's score times the probability, which looks that add up make large.
        assert 0.5 * named[0][1] < named[1][1] <= named[0][1]
    else:
        assert len(named) == 1
    for one, box in ((person, CARRIER_BOX), (weapon, CARRIED_BOX)):
        x1, y1, x2, y2 = box
        place = one.bbox.center.position
        assert (place.x, place.y) == pytest.approx(((x1 + x2) / 2, (y1 + y2) / 2), abs=1.0)
        assert (one.bbox.size_x, one.bbox.size_y) == pytest.approx((x2 - x1, y2 - y1), abs=1.5)
    # Detections have both looks' objects; a relation is between tracks.
    found = [results_of(one) for one in detections[-1].detections]
    assert sorted(name for ((name, _),) in found) == ["person", "vehicle"]


def carried(message):
    """What is carried in a message of tracks."""
    named = ((one, [name for name, _ in results_of(one)]) for one in message.detections)
    return [one for one, names in named if any(name.startswith(RELATION) for name in names)]
