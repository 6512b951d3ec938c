"""What a reader may hold by the Fast DDS profile, whoever else publishes on its topic."""

import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

import rclpy
from std_msgs.msg import UInt8MultiArray

from tests.support.fixtures import wait_for
from windhover_ros import qos

ROOT = Path(__file__).resolve().parents[3]
XML = "{http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles}"
LARGE = 256 << 10
# Two publishers of one topic: what is large and slow is overtaken by what is small and fast.
SENDER = """
import sys, time
from windhover_ros import qos
from windhover_ros.runner import ros
size, pause_s, seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
with ros([]):
    import rclpy
    from std_msgs.msg import UInt8MultiArray
    publisher = rclpy.create_node("sender").create_publisher(UInt8MultiArray, "in", qos.image())
    message = UInt8MultiArray()
    message._data = bytes(size)
    while not publisher.get_subscription_count():
        time.sleep(0.05)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        publisher.publish(message)
        time.sleep(pause_s)
"""


def anon_mib():
    """Memory of this process alone that no file backs."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def limits():
    """max_samples by the name of a profile; that of the default one by ``None``."""
    found = {}
    for reader in ET.parse(ROOT / "config" / "fastdds.xml").iter(f"{XML}data_reader"):
        name = None if reader.get("is_default_profile") == "true" else reader.get("profile_name")
        found[name] = int(reader.find(f".//{XML}max_samples").text)
    return found


def test_every_depth_of_the_contract_fits_into_a_reader():
    profiles = (qos.image(), qos.result(), qos.sensor(), qos.latched())
    assert max(profile.depth for profile in profiles) < limits()[None]


def test_what_rmw_reads_for_itself_keeps_its_own_limit():
    # All participants' nodes at once, and up to 1000 requests.
    others = limits()
    assert {others[name] for name in ("ros_discovery_info", "service", "client")} == {5000}


def test_messages_that_another_publisher_overtakes_do_not_fill_the_memory(ros):
    """Without a limit this takes some ten MiB a second, on a machine that is not too slow."""
    node = rclpy.create_node("full")
    # Never taken from, so that it is always full.
    node.create_subscription(UInt8MultiArray, "in", lambda _: None, qos.image())
    senders = [
        subprocess.Popen([sys.executable, "-c", SENDER, str(size), str(pause_s), "4"])
        for size, pause_s in ((LARGE, 0.005), (100, 0.0))
    ]
    try:
        wait_for(lambda: node.count_publishers("in") == 2, "both publishers")
        time.sleep(0.5)
        before_mib = anon_mib()
        for sender in senders:
            assert sender.wait(120.0) == 0
        grown_mib = anon_mib() - before_mib
    finally:
        for sender in senders:
            sender.kill()
            sender.wait()
        node.destroy_node()
    assert grown_mib < 2 * limits()[None] * LARGE / 2**20
