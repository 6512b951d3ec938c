"""Altitude and attitude of the drone: topics, parameters and subscriptions for all nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from geometry_msgs.msg import QuaternionStamped
from sensor_msgs.msg import Imu
from std_msgs.msg import Float64

from windhover_ros import qos, topics
from windhover_ros.images import to_ns
from windhover_ros.lifecycle import StageNode
from windhover_ros.params import NodeParams, read_only

if TYPE_CHECKING:
    from windhover.geometry import Quaternion

# Message type and the field that holds the quaternion.
ATTITUDE_TYPES: dict[str, tuple[Any, str]] = {
    "imu": (Imu, "orientation"),
    "quaternion": (QuaternionStamped, "quaternion"),
}


class AltitudeParams(NodeParams):
    """Where the altitude is published."""

    altitude_topic: str = read_only(
        topics.ALTITUDE,
        description="std_msgs/Float64, metres above ground; empty = none",
    )


class AttitudeTopicParams(NodeParams):
    """Where the attitude is published."""

    attitude_topic: str = read_only(
        topics.ATTITUDE, description="attitude of the drone or gimbal; empty = none"
    )
    attitude_type: Literal["imu", "quaternion"] = read_only(
        "imu", description="sensor_msgs/Imu or geometry_msgs/QuaternionStamped"
    )


class AttitudeParams(AttitudeTopicParams):
    """Where the attitude is published, and how the camera is mounted to it."""

    camera_pitch_deg: float = read_only(
        60.0,
        ge=-90.0,
        le=90.0,
        description="tilt of the camera (of two, the RGB one) below the drone's nose, degrees; 0 "
        "where the attitude is the gimbal's own",
    )


def listen_to_altitude(
    node: StageNode[Any], params: AltitudeParams, take: Callable[[float], object]
) -> None:
    """Pass each altitude on, metres above ground, unchecked; nothing without a topic."""

    def on_altitude(message: Float64) -> None:
        take(message.data)

    if params.altitude_topic:
        node.listen(Float64, params.altitude_topic, on_altitude, qos.sensor())


def listen_to_attitude(
    node: StageNode[Any], params: AttitudeParams, take: Callable[[int, Quaternion], object]
) -> None:
    """Pass each attitude on: its stamp, nanoseconds, and x, y, z, w, unchecked.

    Args:
        node: that subscribes.
        params: its own; nothing is subscribed where there is no topic.
        take: called on the executor's thread.
    """
    kind, field = ATTITUDE_TYPES[params.attitude_type]

    def on_attitude(message: Any) -> None:
        value = getattr(message, field)
        take(to_ns(message.header.stamp), (value.x, value.y, value.z, value.w))

    if params.attitude_topic:
        node.listen(kind, params.attitude_topic, on_attitude, qos.sensor())
