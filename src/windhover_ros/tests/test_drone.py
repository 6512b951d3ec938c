"""Altitude and attitude as every node hears them."""

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

import rclpy
from geometry_msgs.msg import QuaternionStamped
from sensor_msgs.msg import Imu
from std_msgs.msg import Float64

from tests.support.fixtures import wait_for
from windhover_ros import qos
from windhover_ros.drone import (
    AltitudeParams,
    AttitudeParams,
    listen_to_altitude,
    listen_to_attitude,
)
from windhover_ros.lifecycle import StageNode, StageParams


class Params(AltitudeParams, AttitudeParams, StageParams):
    """A node that hears both."""


class Listener(StageNode[Params]):
    params_model = Params

    def __init__(self, **overrides):
        super().__init__("listener", overrides)
        self.altitudes, self.attitudes = [], []
        listen_to_altitude(self, self.params, self.altitudes.append)
        listen_to_attitude(self, self.params, lambda *heard: self.attitudes.append(heard))


@pytest.mark.parametrize(
    ("kind", "message", "field"),
    [("imu", Imu, "orientation"), ("quaternion", QuaternionStamped, "quaternion")],
)
def test_an_attitude_comes_with_its_stamp_and_the_altitude_as_it_is(nodes, kind, message, field):
    node = nodes.add(Listener(attitude_type=kind))
    attitude = message()
    attitude.header.stamp.sec, attitude.header.stamp.nanosec = 7, 5
    for axis, value in zip("xyzw", (0.5, -0.5, 0.25, 1.0), strict=True):
        setattr(getattr(attitude, field), axis, value)
    autopilot = nodes.add(rclpy.create_node("autopilot"))
    attitudes = autopilot.create_publisher(message, node.params.attitude_topic, qos.sensor())
    altitudes = autopilot.create_publisher(Float64, node.params.altitude_topic, qos.sensor())

    def heard():
        attitudes.publish(attitude)
        altitudes.publish(Float64(data=41.5))
        return node.altitudes and node.attitudes

    wait_for(heard, "altitude and attitude")
    assert node.attitudes[0] == (7_000_000_005, (0.5, -0.5, 0.25, 1.0))
    assert node.altitudes[0] == 41.5


def test_nothing_is_subscribed_where_there_is_no_topic(nodes):
    silent = nodes.add(Listener(altitude_topic="", attitude_topic=""))
    subscribed = {subscription.topic_name for subscription in silent.subscriptions}
    assert not {name for name in subscribed if "mavros" in name}
