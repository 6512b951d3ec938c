"""A ``/clock`` that stops is noticed, by a watch that does not need it."""

import pytest

pytest.importorskip("rclpy")

import rclpy
from rosgraph_msgs.msg import Clock

from tests.support.fixtures import wait_for
from windhover_ros import clock
from windhover_ros.clock import ClockWatch
from windhover_ros.lifecycle import StageNode


def test_the_machines_clock_is_never_reported(ros, monkeypatch):
    node = rclpy.create_node("steady")
    watch = ClockWatch(node)
    assert not watch.problem()
    monkeypatch.setattr(clock.time, "monotonic", lambda: 1e9)
    assert not watch.problem()
    node.destroy_node()


def test_a_node_says_that_the_clock_stopped_until_it_goes_on(nodes, monkeypatch):
    monkeypatch.setattr(clock, "CLOCK_SILENCE_S", 0.5)
    node = nodes.add(StageNode("stage", {"use_sim_time": True}))
    player = nodes.add(rclpy.create_node("player"))
    publisher = player.create_publisher(Clock, "/clock", 10)
    now = Clock()
    now.clock.sec = 1_000

    def said():
        return any(text.startswith("/clock stopped") for text in _problems(node))

    def publish():
        now.clock.nanosec += 1_000_000
        publisher.publish(now)

    timer = player.create_timer(0.05, publish)
    wait_for(lambda: node.get_clock().now().nanoseconds > 0, "the time")
    timer.cancel()
    wait_for(said, "the report")
    timer.reset()
    wait_for(lambda: not said(), "its end")


def _problems(node):
    values = node.health.report().values
    return [text for key, text in values.items() if key.startswith("problem_")]
