"""What a running chain opens to others, and who may publish what."""

import json
import os
import re
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from test.support.fixtures import wait_for
from windhover_bringup.composed import Pipeline
from windhover_bringup.config import Config
from windhover_bringup.plan import MODULES
from windhover_ros.runner import spinning

ROOT = Path(__file__).resolve().parents[1]
SECURITY = ROOT / "config" / "security"


def sockets():
    """Inodes of this process's sockets."""
    found = set()
    for fd in Path("/proc/self/fd").iterdir():
        try:
            target = str(fd.readlink())
        except OSError:
            continue
        if target.startswith("socket:["):
            found.add(target[8:-1])
    return found


def ports(table, state=None):
    """Local ports of this process in one of the kernel's tables."""
    own = sockets()
    rows = [line.split() for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    return {
        int(row[1].rsplit(":", 1)[1], 16)
        for row in rows
        if row[9] in own and (state is None or row[3] == state)
    }


def test_a_running_chain_listens_for_dds_alone(ros, blob_bundle, blob_folder):
    before = {table: ports(table) for table in ("tcp", "tcp6", "udp", "udp6")}
    config = (
        Config()
        .replaced("detector", model=str(blob_bundle))
        .replaced("thermal_camera", source=str(blob_folder), loop=True, rate=0.5)
    )
    pipeline = Pipeline(config)
    try:
        pipeline.start()
        with spinning(pipeline.nodes):
            wait_for(lambda: pipeline.tracker.health.frames.count > 3, "frames")
            assert ports("tcp", "0A") | ports("tcp6", "0A") <= before["tcp"] | before["tcp6"]
            domain = int(os.environ["ROS_DOMAIN_ID"])
            low = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]
            # Above are the ports that the kernel gives to who only sends.
            bound = {p for t in ("udp", "udp6") for p in ports(t) if p < int(low)}
            assert bound
            own = range(7400 + 250 * domain, 7650 + 250 * domain)
            # Fast DDS binds one port from 7000 on for itself, with any node and no code of ours.
            assert not {port for port in bound if port not in own and port not in range(7000, 7100)}
    finally:
        pipeline.close()


def policy():
    """Enclave to node to {("publish", topic), ...}, less what all nodes have."""
    tree = ET.parse(SECURITY / "policy.xml")
    found = {}
    for enclave in tree.iter("enclave"):
        nodes = found.setdefault(enclave.get("path"), {})
        for profile in enclave.iter("profile"):
            rules = nodes.setdefault(profile.get("node"), set())
            for group in profile:
                for verb in ("publish", "subscribe", "request", "reply"):
                    if group.get(verb) == "ALLOW":
                        rules |= {(verb, entry.text) for entry in group}
    return found


def test_only_the_named_nodes_publish_detections_and_tracks():
    owner = {"detections": "detector", "tracks": "tracker", "health": "monitor"}
    for enclave, nodes in policy().items():
        for node, rules in nodes.items():
            for topic, only in owner.items():
                assert (("publish", topic) in rules) == (node == only), (enclave, node, topic)


def test_nodes_may_do_what_the_contract_has_them_do():
    together = policy()["/windhover"]
    for one in json.loads((ROOT / "test" / "contract.json").read_text()):
        topic = one["topic"].lstrip("/")
        if topic == "diagnostics":
            continue
        verb = "publish" if one["side"] == "publisher" else "subscribe"
        holders = {node for node, rules in together.items() if (verb, topic) in rules}
        assert holders, (verb, topic)


def test_each_node_has_an_enclave_of_its_own_with_the_same_rights():
    enclaves = policy()
    for node in MODULES:
        assert enclaves[f"/windhover/{node}"] == {node: enclaves["/windhover"][node]}


def test_consumers_may_publish_nothing():
    (rules,) = policy()["/mission"].values()
    assert {verb for verb, _ in rules} == {"subscribe"}


def test_ros_own_schema_takes_the_policy():
    sros2 = pytest.importorskip(
        "sros2.policy", reason="sros2 is not installed: it comes with ROS and is not on PyPI"
    )
    assert sros2.load_policy(str(SECURITY / "policy.xml")) is not None


def test_the_keystore_script_is_bash_and_finds_every_enclave():
    script = SECURITY / "make_keystore.sh"
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    (pattern,) = re.findall(r"sed -n '([^']+)'", script.read_text())
    found = subprocess.run(
        ["sed", "-n", pattern, SECURITY / "policy.xml"], capture_output=True, text=True
    )
    assert set(found.stdout.split()) == set(policy())
