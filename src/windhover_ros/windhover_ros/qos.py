"""The quality of service of every topic in the contract.

Images are best effort and keep the newest only: a frame that is late is of no
use. Results are reliable with a short queue and a deadline, so that silence is
noticed. Every policy can be overridden through the ROS parameters
``qos_overrides.<topic>.<publisher|subscription>.<policy>``.
"""

from __future__ import annotations

from rclpy.duration import Duration
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSPolicyKind,
    QoSProfile,
    ReliabilityPolicy,
)
from rclpy.qos_overriding_options import QoSOverridingOptions

RESULT_DEPTH = 10


def image() -> QoSProfile:
    """Images and camera_info: best effort, newest wins."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT
    )


def result(deadline_s: float = 0.0) -> QoSProfile:
    """Detections and tracks: reliable, keep last 10, with a deadline.

    Args:
        deadline_s: longest time between two messages; 0 sets none.
    """
    profile = QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=RESULT_DEPTH,
        reliability=ReliabilityPolicy.RELIABLE,
    )
    if deadline_s > 0:
        profile.deadline = Duration(nanoseconds=int(deadline_s * 1e9))
    return profile


def latched() -> QoSProfile:
    """Messages that a late subscriber still gets: transient local."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )


def sensor() -> QoSProfile:
    """For the autopilot's bridge: a best-effort subscriber matches either reliability."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=1, reliability=ReliabilityPolicy.BEST_EFFORT
    )


def overridable() -> QoSOverridingOptions:
    """Let ROS parameters override the policies that make peers match or not."""
    return QoSOverridingOptions(
        (
            QoSPolicyKind.HISTORY,
            QoSPolicyKind.DEPTH,
            QoSPolicyKind.RELIABILITY,
            QoSPolicyKind.DURABILITY,
            QoSPolicyKind.DEADLINE,
        )
    )
