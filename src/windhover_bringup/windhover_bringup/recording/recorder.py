"""Records a run.

In the composed process by a tap that loses no result, or as a node of its own
from what crosses DDS.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CameraInfo, Image
from vision_msgs.msg import Detection2DArray, LabelInfo

from windhover.calibration import CameraCalibration
from windhover.errors import ConfigError, DataError, EncodingError
from windhover.types import Detections, Frame, Tracks
from windhover_bringup.recording.bag import BagWriter, Topic, next_part
from windhover_ros import qos
from windhover_ros.cdr import CdrReader
from windhover_ros.diagnostics import Level
from windhover_ros.images import camera_info, frame_from_image, write_compressed
from windhover_ros.lifecycle import StageNode, StageParams
from windhover_ros.links import Sink
from windhover_ros.messages import label_info, write_results
from windhover_ros.params import read_only
from windhover_ros.runner import run_node

# Between tries to record again after the disk was full.
AGAIN_S = 2.0
# At 640x512 mono16 this is 80 MB of frames that wait to be compressed.
WAITING = 128

LensOf = Callable[[Frame], CameraCalibration | None]
Result = tuple[Frame, Detections, Tracks, tuple[str, ...], bool]


class RunRecorder:
    """Writes every result of the composed process, and its images.

    Compression runs in a thread of its own. When it can't follow a live camera
    images are left out and counted; results never are. Of two cameras the images are
    recorded as each gave them, so that they can be paired anew.

    A full disk ends a recording, whole, and not the flight; the next part begins once
    there is room again.

    Args:
        path: bag folder to make; ``<path>_1`` and so on where it is there already.
        cameras: ``rgb``, ``thermal`` or both, each with what gives the calibration
            of a frame, for camera_info. The images of one are those that come with
            the results; those of two come by :meth:`side`.
        namespace: ROS namespace of the topics.
        threshold: score threshold, for label_info.
        lossless: let the pipeline wait rather than leave an image out.
        tell: called with what a person should know, and whether it is bad news.

    Raises:
        ConfigError: the folder can't be made.
    """

    def __init__(
        self,
        path: Path,
        cameras: Mapping[str, LensOf],
        *,
        namespace: str = "",
        threshold: float = 0.0,
        lossless: bool = False,
        tell: Callable[[str, bool], None] | None = None,
    ) -> None:
        root = f"/{namespace.strip('/')}/" if namespace.strip("/") else "/"
        self._cameras = {name: _CameraTopics.of(root, name, lens) for name, lens in cameras.items()}
        self._with_results = next(iter(cameras)) if len(cameras) == 1 else None
        self._detections = Topic(f"{root}detections", "vision_msgs/msg/Detection2DArray")
        self._tracks = Topic(f"{root}tracks", "vision_msgs/msg/Detection2DArray")
        self._labels = Topic(f"{root}label_info", "vision_msgs/msg/LabelInfo", latched=True)
        self._threshold = threshold
        self._lossless = lossless
        self._queue: queue.Queue[Result | tuple[str, Frame] | None] = queue.Queue()
        self._room = threading.Semaphore(WAITING)
        self._said: tuple[str, ...] = ()
        self._path = path
        self._tell = tell or (lambda *_: None)
        self._bag: BagWriter | None = BagWriter(next_part(path))
        self._again_at = 0.0
        self.images_left_out = 0
        self.error: str | None = None
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def result(
        self, frame: Frame, detections: Detections, tracks: Tracks, labels: Sequence[str]
    ) -> None:
        """Take one frame's results."""
        with_image = self._with_results is not None and self._take_room()
        self._queue.put((frame, detections, tracks, tuple(labels), with_image))

    def side(self, camera: str) -> Sink[Frame]:
        """Where one of two camera nodes puts its frames."""
        return _Side(lambda frame: self._image(camera, frame))

    def _image(self, camera: str, frame: Frame) -> None:
        if self._take_room():
            self._queue.put((camera, frame))

    def _take_room(self) -> bool:
        room = self._room.acquire(blocking=self._lossless)
        if not room:
            self.images_left_out += 1
        return room

    def close(self) -> None:
        """Write what waits, then the index; calling it twice is fine."""
        self._queue.put(None)
        self._thread.join()
        self._finish()

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if len(item) == 2 or item[4]:
                self._room.release()
            if self._bag is None and not self._resume():
                continue
            try:
                self._write_image(*item) if len(item) == 2 else self._write(*item)
            # Whatever it is: were this thread gone, the pipeline would wait for it for ever.
            except Exception as error:
                why = error.strerror if isinstance(error, OSError) else None
                self.error = f"recording stopped: {why or error}"
                self._tell(self.error, True)
                self._again_at = time.monotonic() + AGAIN_S
                self._finish()

    def _resume(self) -> bool:
        """Begin the next part, if it is time to try and there is room."""
        if time.monotonic() < self._again_at:
            return False
        self._again_at = time.monotonic() + AGAIN_S
        try:
            self._bag = BagWriter(next_part(self._path))
        except ConfigError:
            return False
        self._said = ()
        self._tell(f"recording goes on in {self._bag.path}", False)
        return True

    def _finish(self) -> None:
        bag, self._bag = self._bag, None
        if bag is None:
            return
        try:
            bag.close()
        except OSError as error:
            self.error = (
                f"the recording {bag.path} has no index ({error.strerror or error}); make room, "
                f"then 'windhover recover {bag.path}' saves what is whole"
            )
            self._tell(self.error, True)

    def _write(
        self,
        frame: Frame,
        detections: Detections,
        tracks: Tracks,
        labels: tuple[str, ...],
        with_image: bool,
    ) -> None:
        stamp, write = frame.stamp_ns, self._put
        if labels != self._said:
            message = label_info(labels, self._threshold)
            message.header.frame_id = frame.frame_id
            write(self._labels, stamp, serialize_message(message), tidy=True)
            self._said = labels
        if with_image and self._with_results:
            self._write_image(self._with_results, frame)
        write(self._detections, stamp, write_results(stamp, frame.frame_id, detections, labels))
        write(self._tracks, stamp, write_results(stamp, frame.frame_id, tracks, labels))

    def _write_image(self, camera: str, frame: Frame) -> None:
        topics = self._cameras[camera]
        info = camera_info(frame, topics.lens(frame))
        self._put(topics.info, frame.stamp_ns, serialize_message(info), tidy=True)
        self._put(topics.image, frame.stamp_ns, write_compressed(frame))

    def _put(self, topic: Topic, stamp_ns: int, data: bytes, tidy: bool = False) -> None:
        if self._bag is not None:
            self._bag.write(topic, stamp_ns, self._bag.tidy(topic, data) if tidy else data)


@dataclass(frozen=True, slots=True)
class _CameraTopics:
    """Where one camera's messages go."""

    image: Topic
    info: Topic
    lens: LensOf

    @classmethod
    def of(cls, root: str, camera: str, lens: LensOf) -> _CameraTopics:
        base = f"{root}camera/{camera}"
        image = f"{base}/image_raw/compressed"
        return cls(
            Topic(image, "sensor_msgs/msg/CompressedImage", reliable=False),
            Topic(f"{base}/camera_info", "sensor_msgs/msg/CameraInfo", reliable=False),
            lens,
        )


class _Side:
    """A camera node's end of a recorder; never full."""

    dropped = 0

    def __init__(self, give: Callable[[Frame], None]) -> None:
        self._give = give

    def put(self, item: Frame) -> bool:
        """Record a frame."""
        self._give(item)
        return True

    def close(self) -> None:
        """The recorder is closed by itself."""


class RecorderParams(StageParams):
    """Parameters of the recorder node."""

    path: str = read_only(
        "", description="folder to make for the recording; <path>_1 and so on where it is there"
    )
    cameras: list[str] = read_only(
        ["thermal"], description="cameras whose images are recorded: rgb, thermal"
    )
    jpeg_quality: int = Field(90, ge=1, le=100, description="JPEG quality of colour images")


class RecorderNode(StageNode[RecorderParams]):
    """Records what crosses DDS; images are compressed here."""

    params_model = RecorderParams
    stages = ("write",)

    def __init__(self, overrides: Mapping[str, Any] | None = None, namespace: str = "") -> None:
        super().__init__("recorder", overrides, namespace)
        self._bag: BagWriter | None = None
        for camera in self.params.cameras:
            base = f"camera/{camera}"
            self._record_images(base)
            self._record(CameraInfo, f"{base}/camera_info", qos.image(), reliable=False)
        self._record(Detection2DArray, "detections", qos.result())
        self._record(Detection2DArray, "tracks", qos.result())
        self._record(LabelInfo, "label_info", qos.latched(), latched=True)

    def configure(self) -> None:
        """Open the bag; after a failure or a new start the next part of it."""
        if not self.params.path:
            raise ConfigError("the recorder has no path; set its parameter 'path'")
        part = next_part(Path(self.params.path))
        self._bag = BagWriter(part)
        self.health.set("path", part)

    def release(self) -> None:
        """Write the index."""
        bag, self._bag = self._bag, None
        if bag is None:
            return
        try:
            bag.close()
        except OSError as error:
            self.get_logger().error(
                f"the recording {bag.path} has no index ({error.strerror or error}); make room, "
                f"then 'windhover recover {bag.path}' saves what is whole"
            )

    def _record(
        self, kind: Any, name: str, profile: Any, latched: bool = False, reliable: bool = True
    ) -> None:
        topic = Topic(self.resolve_topic_name(name), _type_name(kind), latched, reliable)

        def take(data: bytes) -> None:
            self._write(topic, CdrReader(data).header()[0], data)

        self.listen(kind, name, take, profile, raw=True)

    def _record_images(self, base: str) -> None:
        topic = Topic(
            self.resolve_topic_name(f"{base}/image_raw/compressed"),
            "sensor_msgs/msg/CompressedImage",
            reliable=False,
        )

        def take(message: Image) -> None:
            try:
                frame = frame_from_image(message)
                self._write(
                    topic, frame.stamp_ns, write_compressed(frame, self.params.jpeg_quality)
                )
            except EncodingError as error:
                self.health.count("images_refused")
                self.health.problem("image", Level.ERROR, str(error), for_s=10.0)

        self.listen(Image, f"{base}/image_raw", take, qos.image())

    def _write(self, topic: Topic, stamp_ns: int, data: bytes) -> None:
        if self._bag is None or self.state != "active":
            return
        before = time.monotonic_ns()
        try:
            self._bag.write(topic, stamp_ns, data)
        except (OSError, DataError) as error:
            self.fail(error)
            return
        self.health.timings.record("write", time.monotonic_ns() - before)
        self.health.frame(self.get_clock().now().nanoseconds - stamp_ns)


def _type_name(kind: Any) -> str:
    return f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}"


def main() -> int:
    """Run the node as a process of its own."""
    return run_node(RecorderNode)


if __name__ == "__main__":
    raise SystemExit(main())
