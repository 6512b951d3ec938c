"""The recorder node: writes what crosses DDS into a bag."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field
from sensor_msgs.msg import CameraInfo, Image
from vision_msgs.msg import Detection2DArray, LabelInfo

from windhover.errors import ConfigError, DataError, EncodingError
from windhover.types import Frame
from windhover_bringup.recording.bag import BagWriter, Topic, next_part
from windhover_bringup.recording.images import write_preview
from windhover_bringup.recording.run_recorder import missing_index_message
from windhover_bringup.recording.topics import CameraTopics, offered_qos, status_topics, type_name
from windhover_ros import qos, topics
from windhover_ros.cdr import CdrReader
from windhover_ros.diagnostics import Level
from windhover_ros.drone import AltitudeParams, AttitudeTopicParams
from windhover_ros.images import frame_from_image, write_compressed
from windhover_ros.lifecycle import StageNode, StageParams
from windhover_ros.params import read_only
from windhover_ros.runner import run_node


class RecorderParams(StageParams, AltitudeParams, AttitudeTopicParams):
    """Parameters of the recorder node."""

    path: str = read_only(
        "", description="folder to make for the recording; <path>_1 and so on where it exists"
    )
    cameras: list[str] = read_only(
        ["thermal"], description="cameras whose images are recorded: rgb, thermal"
    )
    jpeg_quality: int = Field(90, ge=1, le=100, description="JPEG quality of colour images")
    thermal_preview: bool = read_only(
        True, description="record thermal images in 8 bits as well, for people"
    )
    overlay: bool = read_only(
        False, description="record the overlay as well; it is then drawn all the time"
    )


class MessageSink(Protocol):
    """Takes what is recorded: an open bag's ``write``, or :meth:`RunRecorder.message`."""

    def __call__(self, topic: Topic, log_ns: int, publish_ns: int, data: bytes) -> None:
        """Take a message: its topic, times and CDR bytes."""


class RecorderNode(StageNode[RecorderParams]):
    """Records what crosses DDS; images are compressed here.

    Args:
        overrides: parameter values from a config.
        namespace: ROS namespace.
        sink: takes the messages where images and results are recorded elsewhere in this
            process; the node then subscribes to the others only, and opens no bag.
    """

    params_model = RecorderParams
    stages = ("write",)

    def __init__(
        self,
        overrides: Mapping[str, Any] | None = None,
        namespace: str = "",
        sink: MessageSink | None = None,
    ) -> None:
        super().__init__("recorder", overrides, namespace)
        self._bag: BagWriter | None = None
        self._linked = sink is not None
        self._sink = sink
        self._topics: dict[str, Topic] = {}
        params = self.params
        for status in status_topics(
            params.altitude_topic, params.attitude_topic, params.attitude_type, params.overlay
        ):
            self._record(status.kind, status.name, status.profile)
        if self._linked:
            return
        for camera in params.cameras:
            self._record_images(camera)
            self._record(CameraInfo, topics.camera_info(camera), qos.image())
        self._record(Detection2DArray, topics.DETECTIONS, qos.result())
        self._record(Detection2DArray, topics.TRACKS, qos.result())
        self._record(LabelInfo, topics.LABEL_INFO, qos.latched())

    def configure(self) -> None:
        """Open the bag; after a failure or a new start the next part of it."""
        if self._linked:
            return
        if not self.params.path:
            raise ConfigError("the recorder has no path; set its parameter 'path'")
        part = next_part(Path(self.params.path))
        self._bag = BagWriter(part)
        self._sink = self._bag.write
        self.health.set("path", part)

    def release(self) -> None:
        """Write the index."""
        bag, self._bag = self._bag, None
        if bag is None:
            return
        self._sink = None
        try:
            bag.close()
        except OSError as error:
            self.get_logger().error(missing_index_message(bag, error))

    def _record(self, kind: Any, name: str, profile: Any) -> None:
        has_header = "header" in kind.get_fields_and_field_types()

        def on_message(data: bytes) -> None:
            topic = self._topic(kind, name, profile.depth)
            try:
                stamp_ns = CdrReader(data).header()[0] if has_header else 0
            except DataError as error:
                self.health.count("messages_refused")
                self.health.problem("message", Level.ERROR, f"{name}: {error}", for_s=10.0)
                return
            self._write(topic, stamp_ns, data)

        self.listen(kind, name, on_message, profile, raw=True)

    def _record_images(self, camera: str) -> None:
        name = topics.camera_image(camera)

        def on_image(message: Image) -> None:
            image = self._topic(Image, name, qos.image().depth)
            root = self.get_namespace().rstrip("/") + "/"
            recorded = CameraTopics.of(root, camera, image, image)
            try:
                frame = frame_from_image(message)
                self._write(recorded.image, frame.stamp_ns, self._compressed(frame))
                if recorded.preview is not None and self.params.thermal_preview:
                    self._write(recorded.preview, frame.stamp_ns, write_preview(frame))
            except EncodingError as error:
                self.health.count("images_refused")
                self.health.problem("image", Level.ERROR, str(error), for_s=10.0)

        self.listen(Image, name, on_image, qos.image())

    def _compressed(self, frame: Frame) -> bytes:
        return write_compressed(frame, self.params.jpeg_quality)

    def _topic(self, kind: Any, name: str, depth: int) -> Topic:
        """A topic with its publisher's QoS, as discovery has it."""
        topic = self._topics.get(name)
        if topic is None:
            full = self.resolve_topic_name(name)
            known = self.get_publishers_info_by_topic(full)
            profile = known[0].qos_profile if known else qos.result()
            topic = Topic(full, type_name(kind), offered_qos(profile, depth))
            if known:
                self._topics[name] = topic
        return topic

    def _write(self, topic: Topic, stamp_ns: int, data: bytes) -> None:
        if self._sink is None or self.state != "active":
            return
        log_ns = self.get_clock().now().nanoseconds
        publish_ns = stamp_ns or log_ns
        before = time.monotonic_ns()
        try:
            self._sink(topic, log_ns, publish_ns, data)
        except DataError as error:
            self.fail(error)
            return
        except OSError as error:
            # A full disk is no error of the program.
            self.fail(DataError(f"recording stopped: {error.strerror or error}"))
            return
        self.health.timings.record("write", time.monotonic_ns() - before)
        self.health.frame(log_ns - publish_ns)


def main() -> int:
    """Run the node in its own process."""
    return run_node(RecorderNode)


if __name__ == "__main__":
    raise SystemExit(main())
