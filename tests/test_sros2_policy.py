"""config/sros2/: the policy grants what the nodes really open, and nothing else."""

from __future__ import annotations

import os
import subprocess
import xml.etree.ElementTree as ET
from collections import defaultdict
from functools import partial
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from sensor_msgs.msg import CompressedImage

from tests.support.fixtures import wait_for
from windhover_bringup.monitor.node import MonitorNode
from windhover_bringup.monitor.stages import STAGE_OUTPUTS
from windhover_bringup.overlay.node import OverlayNode
from windhover_bringup.recording.recorder import RecorderNode
from windhover_bringup.runtime.node_states import NodeStates
from windhover_bringup.runtime.plan import NODE_MODULES, enclave_of
from windhover_cameras.rgb_camera import RgbCamera
from windhover_cameras.thermal_camera import ThermalCamera
from windhover_detector.node import DetectorNode
from windhover_pairing.node import PairingNode
from windhover_ros import qos
from windhover_tracker.node import TrackerNode

FOLDER = Path(__file__).resolve().parents[1] / "config" / "sros2"
POLICY = FOLDER / "windhover.policy.xml"
VERBS = {"topics": ("publish", "subscribe"), "services": ("reply", "request")}

Grants = set[tuple[str, str]]


def absolute(name: str, namespace: str, node: str) -> str:
    if name.startswith("/"):
        return name
    return namespace.rstrip("/") + "/" + name.replace("~", node, 1)


def policy() -> dict[str, dict[str, Grants]]:
    """Enclave to node to (verb, full name) of all that is allowed."""
    granted: dict[str, dict[str, Grants]] = defaultdict(dict)
    for enclave in ET.parse(POLICY).getroot().iter("enclave"):
        for profile in enclave.iter("profile"):
            node, namespace = profile.attrib["node"], profile.attrib["ns"]
            rules = granted[enclave.attrib["path"]].setdefault(node, set())
            for group in profile:
                for verb in VERBS[group.tag]:
                    if group.get(verb) == "ALLOW":
                        rules |= {(verb, absolute(e.text or "", namespace, node)) for e in group}
    return granted


def opened(asker, name: str) -> Grants:
    """(verb, full name) of every endpoint that a node has, as in the ROS graph."""
    lists = {
        "publish": asker.get_publisher_names_and_types_by_node,
        "subscribe": asker.get_subscriber_names_and_types_by_node,
        "reply": asker.get_service_names_and_types_by_node,
        "request": asker.get_client_names_and_types_by_node,
    }
    return {(verb, topic) for verb, ask in lists.items() for topic, _ in ask(name, "/")}


def settled(asker, name: str) -> Grants:
    """The same, once the graph stands still."""
    seen: list[Grants] = [set()]

    def still() -> bool:
        seen.append(opened(asker, name))
        return bool(seen[-1]) and seen[-1] == seen[-2]

    wait_for(still, f"a graph that stands still around {name}", pause_s=0.3)
    return seen[-1]


def test_the_policy_has_the_shape_that_sros2_asks() -> None:
    root = ET.parse(POLICY).getroot()
    assert (root.tag, root.get("version")) == ("policy", "0.2.0")
    assert [child.tag for child in root] == ["enclaves"]
    # sros2 takes a comment there for an enclave.
    assert "<!--" not in POLICY.read_text().partition("<enclaves>")[2]
    paths = [enclave.attrib["path"] for enclave in root.iter("enclave")]
    assert len(set(paths)) == len(paths)
    for enclave in root.iter("enclave"):
        for profile in enclave.iter("profile"):
            assert set(profile.attrib) == {"ns", "node"}
            for group in profile:
                (verb,) = group.attrib
                assert verb in VERBS[group.tag]
                assert group.get(verb) == "ALLOW"
                assert [e.tag for e in group] == [group.tag[:-1]] * len(group)


def test_only_its_own_node_may_say_what_each_node_says() -> None:
    owners = {
        "/detections": "detector", "/label_info": "detector", "/tracks": "tracker",
        "/rgbt/image": "pairing", "/rgbt/camera_info": "pairing",
        "/health": "monitor", "/heartbeat": "monitor",
        "/overlay/image/compressed": "overlay",
        **{f"/camera/{c}/{kind}": f"{c}_camera" for c in ("rgb", "thermal")
           for kind in ("image_raw", "camera_info")},
    }  # fmt: skip
    for path, nodes in policy().items():
        for node, rules in nodes.items():
            for topic, owner in owners.items():
                assert (("publish", topic) in rules) == (node == owner), (path, node, topic)
            said_to_us = any(verb == "publish" and "mavros" in name for verb, name in rules)
            assert said_to_us == (path == "/autopilot_bridge")


def test_only_the_monitor_may_take_stages_down() -> None:
    """To change a lifecycle state or a parameter from outside stops or blinds a stage."""
    for path, nodes in policy().items():
        for node, rules in nodes.items():
            asked = {name for verb, name in rules if verb == "request"}
            changing = {name for name in asked if not name.endswith("/get_state")}
            wanted = (
                {f"/{name}/change_state" for name in STAGE_OUTPUTS} if node == "monitor" else set()
            )
            assert changing == wanted, (path, node)


def test_the_composed_process_has_the_rights_of_its_nodes() -> None:
    granted = policy()
    for node, rules in granted["/windhover/composed"].items():
        assert granted[enclave_of(node)] == {node: rules}
    assert set(granted["/windhover/composed"]) == set(NODE_MODULES)


def test_who_only_listens_can_say_nothing_of_it() -> None:
    (rules,) = policy()["/mission"].values()
    published = {name for verb, name in rules if verb == "publish"}
    assert published == {"/rosout", "/parameter_events"}


@pytest.fixture
def all_nodes(nodes, blob_bundle, rgbt_bundle, tmp_path, blob_folder):
    """Every node, as in its own process."""
    model = {"model": str(blob_bundle)}
    source = {"source": str(blob_folder), "loop": True, "rate": 0.1}
    made = [
        RgbCamera(source),
        ThermalCamera(source),
        PairingNode({}),
        TrackerNode({"camera_info_topic": "camera/rgb/camera_info"}),
        OverlayNode({}),
        RecorderNode({"path": str(tmp_path / "bag"), "cameras": ["rgb", "thermal"]}),
        MonitorNode({"watch": list(STAGE_OUTPUTS)}),
        DetectorNode(model),
    ]
    for node in made:
        nodes.add(node)
        node.bring_up()
    nodes.listener(CompressedImage, "overlay/image/compressed", qos.image())
    wait_for(lambda: made[4].watched, "the overlay to be watched")
    return made


def test_each_node_is_granted_what_it_opens_and_nothing_else(all_nodes):
    asker = all_nodes[0]
    granted = policy()
    wait_for(
        lambda: ("subscribe", "/tracks") in opened(asker, "overlay"), "the overlay's subscriptions"
    )
    # What depends on the model, on which camera leads, and on what is recorded.
    choice = {
        "detector": {("subscribe", f"/{t}") for t in ("camera/rgb/image_raw", "rgbt/image")},
        "overlay": {("subscribe", f"/{t}") for t in ("camera/rgb/image_raw", "rgbt/image")},
        "tracker": {("subscribe", "/camera/thermal/camera_info")},
        "recorder": {("subscribe", "/overlay/image/compressed")},
    }
    assert {node.get_name() for node in all_nodes} == set(NODE_MODULES)
    for node in NODE_MODULES:
        (rules,) = granted[enclave_of(node)].values()
        wanted = rules - choice.get(node, set())
        # Discovery takes its time on a busy machine: nothing seen yet is no answer.
        wait_for(
            partial(lambda n, w: w <= opened(asker, n), node, wanted),
            f"{node} to open all that the policy grants it",
        )
        found = settled(asker, node)
        assert found - rules == set(), f"{node} opens what the policy does not grant"
        assert rules - found == choice.get(node, set()), f"{node} is granted what it never opens"


def test_whoever_starts_and_asks_is_granted_what_that_opens(nodes):
    states = NodeStates(list(NODE_MODULES), diagnostics=True)
    try:
        found = settled(states.node, "windhover_up")
    finally:
        states.close()
    assert found == policy()["/windhover/operator"]["windhover_up"]


def test_the_keystore_script_makes_every_enclave_in_the_namespace(tmp_path: Path) -> None:
    """With a stand-in for ros2, which is not on PyPI, that notes what it is asked."""
    program = tmp_path / "bin" / "ros2"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\necho "$@" >> "$NOTES"\n'
        'if [ "$2" = create_permission ]; then cp "$5" "$NOTES.policy"; fi\n'
    )
    program.chmod(0o755)
    notes = tmp_path / "notes"
    environment = {
        **os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "NOTES": str(notes)
    }  # fmt: skip
    store = tmp_path / "store"

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        command = [FOLDER / "keystore.sh", *map(str, words)]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    done = run(store, "/drone1")
    assert done.returncode == 0, done.stderr
    asked = [line.split()[1:4] for line in notes.read_text().splitlines()]
    assert asked[0] == ["create_keystore", str(store)]
    for enclave in policy():
        assert ["create_enclave", str(store), enclave] in asked
        assert ["create_permission", str(store), enclave] in asked
    written = ET.parse(f"{notes}.policy").getroot()
    assert {profile.get("ns") for profile in written.iter("profile")} == {"/drone1"}
    refused = run(store, "drone 1")
    assert (refused.returncode, "no ROS namespace" in refused.stderr) == (2, True)
    environment["PATH"] = "/usr/bin:/bin"
    without = run(store)
    assert (without.returncode, "ros2 is not here" in without.stderr) == (2, True)
