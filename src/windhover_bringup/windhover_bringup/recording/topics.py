"""Which topics a recording holds, under which names, and with which QoS."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Float64
from vision_msgs.msg import Detection2DArray, LabelInfo

from windhover_bringup.recording.bag import Topic
from windhover_bringup.recording.metadata import OfferedQos
from windhover_ros import qos, topics
from windhover_ros.drone import ATTITUDE_TYPES

COMPRESSED = "sensor_msgs/msg/CompressedImage"
#: What rosbag2 keeps of messages that come faster than they are written.
STATUS_DEPTH = 100


@dataclass(frozen=True, slots=True)
class CameraTopics:
    """What is recorded of one camera.

    Attributes:
        info: its calibration.
        image: its images, compressed, on image_transport's name.
        preview: of a thermal camera, its images in 8 bits for people.
    """

    info: Topic
    image: Topic
    preview: Topic | None

    @classmethod
    def of(cls, root: str, camera: str, info: Topic, image: Topic) -> CameraTopics:
        """Those of a camera.

        Args:
            root: the namespace, with a slash at its end.
            camera: ``rgb`` or ``thermal``.
            info: topic of its calibration.
            image: topic of its raw images.
        """
        name = f"{root}preview/{camera}/compressed"
        return cls(
            info,
            Topic(topics.compressed(image.name), COMPRESSED, image.qos),
            Topic(name, COMPRESSED, OfferedQos(1, reliable=False)) if camera == "thermal" else None,
        )


@dataclass(frozen=True, slots=True)
class RunTopics:
    """What is recorded of a run in one process."""

    detections: Topic
    tracks: Topic
    labels: Topic
    cameras: Mapping[str, CameraTopics]

    @classmethod
    def by_contract(cls, cameras: Iterable[str], namespace: str = "") -> RunTopics:
        """Names and QoS as the ROS contract has them.

        Args:
            cameras: ``rgb``, ``thermal`` or both.
            namespace: of the topics.
        """
        root = f"/{namespace.strip('/')}/" if namespace.strip("/") else "/"
        image = OfferedQos(1, reliable=False)

        def of_camera(camera: str) -> CameraTopics:
            return CameraTopics.of(
                root,
                camera,
                Topic(root + topics.camera_info(camera), type_name(CameraInfo), image),
                Topic(root + topics.camera_image(camera), type_name(Image), image),
            )

        return cls(
            Topic(root + topics.DETECTIONS, type_name(Detection2DArray)),
            Topic(root + topics.TRACKS, type_name(Detection2DArray)),
            Topic(root + topics.LABEL_INFO, type_name(LabelInfo), OfferedQos(1, latched=True)),
            {camera: of_camera(camera) for camera in cameras},
        )

    @classmethod
    def of_nodes(cls, detector: Node, tracker: Node, cameras: Mapping[str, Node]) -> RunTopics:
        """Names and QoS with which nodes publish, after remapping and overrides.

        Args:
            detector: publishes ``detections`` and ``label_info``.
            tracker: publishes ``tracks``.
            cameras: ``rgb``, ``thermal`` or both; each publishes its images.
        """
        root = tracker.get_namespace().rstrip("/") + "/"

        def of_camera(camera: str, node: Node) -> CameraTopics:
            return CameraTopics.of(
                root,
                camera,
                published_topic(node, CameraInfo, topics.camera_info(camera)),
                published_topic(node, Image, topics.camera_image(camera)),
            )

        return cls(
            published_topic(detector, Detection2DArray, topics.DETECTIONS),
            published_topic(tracker, Detection2DArray, topics.TRACKS),
            published_topic(detector, LabelInfo, topics.LABEL_INFO),
            {camera: of_camera(camera, node) for camera, node in cameras.items()},
        )


def published_topic(node: Node, kind: Any, name: str) -> Topic:
    """The topic that a node publishes under a relative name."""
    full = node.resolve_topic_name(name)
    profile = next(p.qos_profile for p in node.publishers if p.topic_name == full)
    return Topic(full, type_name(kind), offered_qos(profile))


def offered_qos(profile: QoSProfile, depth: int | None = None) -> OfferedQos:
    """A profile as a recording states it.

    Args:
        profile: of a publisher.
        depth: of its history, where the profile came by discovery, which has none.
    """
    nanoseconds = profile.deadline.nanoseconds
    return OfferedQos(
        profile.depth if depth is None else depth,
        reliable=profile.reliability == ReliabilityPolicy.RELIABLE,
        latched=profile.durability == DurabilityPolicy.TRANSIENT_LOCAL,
        # No deadline is 0 in a profile, and hundreds of years in one that was discovered.
        deadline_ns=nanoseconds if 0 < nanoseconds < 1 << 60 else None,
    )


def type_name(kind: Any) -> str:
    """A message class's type, as ``package/msg/Type``."""
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"


@dataclass(frozen=True, slots=True)
class StatusTopic:
    """A topic that is recorded beside images and results.

    Attributes:
        kind: message class.
        name: relative name.
        profile: to subscribe with.
    """

    kind: Any
    name: str
    profile: QoSProfile


def status_topics(
    altitude_topic: str, attitude_topic: str, attitude_type: str, overlay: bool
) -> list[StatusTopic]:
    """Health of the stages, and the altitude and attitude that they got.

    Args:
        altitude_topic: std_msgs/Float64; empty for none.
        attitude_topic: empty for none.
        attitude_type: ``imu`` or ``quaternion``.
        overlay: the drawn images as well.
    """
    reliable = QoSProfile(depth=STATUS_DEPTH, reliability=ReliabilityPolicy.RELIABLE)
    sensor = QoSProfile(depth=STATUS_DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)
    topics = [
        StatusTopic(DiagnosticArray, "/diagnostics", reliable),
        StatusTopic(DiagnosticArray, "health", qos.latched()),
        StatusTopic(Time, "heartbeat", reliable),
    ]
    if altitude_topic:
        topics.append(StatusTopic(Float64, altitude_topic, sensor))
    if attitude_topic:
        kind, _ = ATTITUDE_TYPES[attitude_type]
        topics.append(StatusTopic(kind, attitude_topic, sensor))
    if overlay:
        topics.append(StatusTopic(CompressedImage, "overlay/image/compressed", qos.image()))
    return topics
