"""A node's executor under a flood: no event is queued without a bound, and no message stays."""

import io
import threading
import time

import pytest

pytest.importorskip("rclpy")

import rclpy
from rclpy.qos import QoSProfile
from std_msgs.msg import String

from tests.support.fixtures import wait_for
from windhover_ros import executors, qos
from windhover_ros.executors import NodeExecutor, make_executor


@pytest.fixture
def served(ros):
    """A node that takes a while for each message, its executor, and a way to publish to it."""
    node, sender = rclpy.create_node("slow"), rclpy.create_node("sender")
    taken, floods = [], []

    def take(message):
        taken.append(message.data)
        time.sleep(0.005)

    node.create_subscription(String, "frames", take, qos.image())
    node.create_subscription(String, "results", lambda m: taken.append(m.data), QoSProfile(depth=9))
    frames = sender.create_publisher(String, "frames", qos.image())
    results = sender.create_publisher(String, "results", QoSProfile(depth=9))
    executor = NodeExecutor(node, lambda: floods.append(time.monotonic()))
    done = threading.Event()

    def spin():
        while not done.is_set():
            executor.spin_once(0.1)

    thread = threading.Thread(target=spin, daemon=True)
    thread.start()
    wait_for(lambda: frames.get_subscription_count() == 1, "discovery")
    wait_for(lambda: results.get_subscription_count() == 1, "discovery")
    executor.frames, executor.results = frames, results
    executor.taken, executor.floods = taken, floods
    yield executor
    done.set()
    executor.wake()
    thread.join(30.0)
    executor.shutdown(5.0)
    for each in (node, sender):
        each.destroy_node()


def flood(executor, until):
    """Publish as fast as it goes."""
    deadline = time.monotonic() + 60.0
    while not until() and time.monotonic() < deadline:
        for _ in range(50):
            executor.frames.publish(String(data="frame"))
    assert until()


def test_a_flood_is_noticed_and_no_message_of_others_is_lost(served, monkeypatch):
    monkeypatch.setattr(executors, "MARKER_S", 0.05)
    flood(served, lambda: served.is_flooded)
    wait_for(lambda: served.floods, "the report")
    # What came while it changed, and what comes now, is taken all the same.
    for number in range(9):
        served.results.publish(String(data=f"result {number}"))
    asked = {f"result {number}" for number in range(9)}
    wait_for(lambda: asked <= set(served.taken), "the results")


def test_events_serve_again_after_a_flood(served, monkeypatch):
    monkeypatch.setattr(executors, "MARKER_S", 0.05)
    monkeypatch.setattr(executors, "WAITING_S", 0.2)
    waiting = executors.SingleThreadedExecutor
    flood(served, lambda: served.is_flooded)
    wait_for(lambda: not served.is_flooded, "its end")
    assert not isinstance(served._executor, waiting)
    served.results.publish(String(data="later"))
    wait_for(lambda: "later" in served.taken, "a message by events")


def test_slow_callbacks_alone_are_no_flood(served, monkeypatch):
    monkeypatch.setattr(executors, "MARKER_S", 0.0)
    for number in range(2 * executors.MARKER_TURNS):
        served.frames.publish(String(data=str(number)))
        wait_for(lambda n=number: str(n) in served.taken, "the frame")
    assert not served.floods


def test_an_executor_is_made_where_stderr_is_no_file(ros, monkeypatch):
    """As in a notebook: rclpy's events executor asks stderr for its file number."""
    monkeypatch.setattr("sys.stderr", io.StringIO())
    make_executor().shutdown()
