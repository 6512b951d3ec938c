"""Records a run of the composed process without losing a result."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rclpy.serialization import serialize_message

from windhover.calibration import CameraCalibration
from windhover.errors import ConfigError
from windhover.types import Detections, Frame, Tracks
from windhover_bringup.recording.bag import BagWriter, Topic, next_part
from windhover_bringup.recording.images import write_preview
from windhover_bringup.recording.topics import RunTopics
from windhover_ros.images import camera_info, write_compressed
from windhover_ros.links import Sink
from windhover_ros.messages import label_info, serialize_results

# Between tries to record again after the disk was full.
RETRY_S = 2.0
# At 640x512 mono16 this is 80 MB of frames that wait to be compressed.
WAITING = 128

LensOf = Callable[[Frame], CameraCalibration | None]


@dataclass(frozen=True, slots=True)
class _Results:
    """One frame's results, and its image where there was room for it."""

    log_ns: int
    frame: Frame
    detections: Detections
    tracks: Tracks
    labels: tuple[str, ...]
    camera: str | None


@dataclass(frozen=True, slots=True)
class _Image:
    """One of two cameras' frames."""

    log_ns: int
    frame: Frame
    camera: str


@dataclass(frozen=True, slots=True)
class _Message:
    """A message that crossed DDS."""

    log_ns: int
    topic: Topic
    publish_ns: int
    data: bytes


_Item = _Results | _Image | _Message


class RunRecorder:
    """Writes every result of the composed process, and its images.

    Compression runs in its own thread. When it can't keep up with a live camera,
    images are dropped and counted; results never are. Of two cameras the images are
    recorded as each gave them, so that they can be paired again.

    Log times are the times of recording. Where the run waits for every frame they are the
    frames' stamps, so that two runs give the same bytes. Publish times are stamps.

    A full disk ends a recording, complete, and not the flight; the next part begins once
    there is room again.

    Args:
        path: bag folder to make; ``<path>_1`` and so on where it exists already.
        lenses: by ``rgb``, ``thermal`` or both, what gives the calibration of a frame, for
            camera_info. The images of one camera are those that come with the results;
            those of two come by :meth:`camera_sink`.
        topics: names and QoS; those of the contract if not given.
        threshold: score threshold, for label_info.
        lossless: let the pipeline wait rather than drop an image.
        jpeg_quality: of colour images.
        preview: record thermal images in 8 bits as well, for people.
        report: called with what a person should know, and whether it is an error.

    Raises:
        ConfigError: the folder can't be made.
    """

    def __init__(
        self,
        path: Path,
        lenses: Mapping[str, LensOf],
        topics: RunTopics | None = None,
        *,
        threshold: float = 0.0,
        lossless: bool = False,
        jpeg_quality: int = 90,
        preview: bool = True,
        report: Callable[[str, bool], None] | None = None,
    ) -> None:
        self._topics = topics or RunTopics.by_contract(lenses)
        self._lenses = lenses
        self._only_camera = next(iter(lenses)) if len(lenses) == 1 else None
        self._threshold = threshold
        self._lossless = lossless
        self._jpeg_quality = jpeg_quality
        self._preview = preview
        self._queue: queue.Queue[_Item | None] = queue.Queue()
        self._room = threading.Semaphore(WAITING)
        self._written_labels: tuple[str, ...] = ()
        self._path = path
        self._report = report or (lambda *_: None)
        self._bag: BagWriter | None = BagWriter(next_part(path))
        self._retry_at = 0.0
        self.images_left_out = 0
        self.error: str | None = None
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def result(
        self, frame: Frame, detections: Detections, tracks: Tracks, labels: Sequence[str]
    ) -> None:
        """Take one frame's results."""
        camera = self._only_camera if self._only_camera and self._take_room() else None
        self._queue.put(
            _Results(self._log_ns(frame), frame, detections, tracks, tuple(labels), camera)
        )

    def camera_sink(self, camera: str) -> Sink[Frame]:
        """Where one of two camera nodes puts its frames."""
        return _CameraSink(lambda frame: self._image(camera, frame))

    def message(self, topic: Topic, log_ns: int, publish_ns: int, data: bytes) -> None:
        """Take a message that crossed DDS, as CDR bytes."""
        self._queue.put(_Message(log_ns, topic, publish_ns, data))

    def close(self) -> None:
        """Write what waits, then the index; calling it twice is fine."""
        self._queue.put(None)
        self._thread.join()
        self._finish()

    def _image(self, camera: str, frame: Frame) -> None:
        if self._take_room():
            self._queue.put(_Image(self._log_ns(frame), frame.without_full(), camera))

    def _log_ns(self, frame: Frame) -> int:
        return frame.stamp_ns if self._lossless else time.time_ns()

    def _take_room(self) -> bool:
        room = self._room.acquire(blocking=self._lossless)
        if not room:
            self.images_left_out += 1
        return room

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if not isinstance(item, _Message) and item.camera is not None:
                self._room.release()
            if self._bag is None and not self._resume():
                continue
            try:
                self._write(item)
            # Whatever it is: were this thread gone, the pipeline would wait for it for ever.
            except Exception as error:
                why = error.strerror if isinstance(error, OSError) else None
                self.error = f"recording stopped: {why or error}"
                self._report(self.error, True)
                self._retry_at = time.monotonic() + RETRY_S
                self._finish()

    def _resume(self) -> bool:
        """Begin the next part, if it is time to try and there is room."""
        if time.monotonic() < self._retry_at:
            return False
        self._retry_at = time.monotonic() + RETRY_S
        try:
            self._bag = BagWriter(next_part(self._path))
        except ConfigError:
            return False
        self._written_labels = ()
        self._report(f"recording continues in {self._bag.path}", False)
        return True

    def _finish(self) -> None:
        bag, self._bag = self._bag, None
        if bag is None:
            return
        try:
            bag.close()
        except OSError as error:
            self.error = missing_index_message(bag, error)
            self._report(self.error, True)

    def _write(self, item: _Item) -> None:
        if isinstance(item, _Message):
            self._put(item.topic, item.log_ns, item.publish_ns, item.data)
        elif isinstance(item, _Image):
            self._write_image(item.camera, item.log_ns, item.frame)
        else:
            self._write_results(item)

    def _write_results(self, item: _Results) -> None:
        frame, labels, topics = item.frame, item.labels, self._topics
        if labels != self._written_labels:
            message = label_info(labels, self._threshold)
            message.header.frame_id = frame.frame_id
            data = serialize_message(message)
            self._put(topics.labels, item.log_ns, frame.stamp_ns, data, canonical=True)
            self._written_labels = labels
        if item.camera is not None:
            self._write_image(item.camera, item.log_ns, frame)
        for topic, found in ((topics.detections, item.detections), (topics.tracks, item.tracks)):
            data = serialize_results(frame.stamp_ns, frame.frame_id, found, labels)
            self._put(topic, item.log_ns, frame.stamp_ns, data)

    def _write_image(self, camera: str, log_ns: int, frame: Frame) -> None:
        topics, stamp_ns = self._topics.cameras[camera], frame.stamp_ns
        info = serialize_message(camera_info(frame, self._lenses[camera](frame)))
        self._put(topics.info, log_ns, stamp_ns, info, canonical=True)
        self._put(topics.image, log_ns, stamp_ns, write_compressed(frame, self._jpeg_quality))
        if topics.preview is not None and self._preview:
            self._put(topics.preview, log_ns, stamp_ns, write_preview(frame))

    def _put(
        self, topic: Topic, log_ns: int, publish_ns: int, data: bytes, canonical: bool = False
    ) -> None:
        if self._bag is not None:
            data = self._bag.canonical_cdr(topic, data) if canonical else data
            self._bag.write(topic, log_ns, publish_ns, data)


def missing_index_message(bag: BagWriter, error: OSError) -> str:
    """What to say of a recording that could not be closed."""
    return (
        f"the recording {bag.path} has no index ({error.strerror or error}); make room, then "
        f"'windhover bag recover {bag.path}' saves all complete messages"
    )


class _CameraSink:
    """A camera node's end of a recorder; never full."""

    dropped = 0

    def __init__(self, give: Callable[[Frame], None]) -> None:
        self._give = give

    def put(self, item: Frame) -> bool:
        """Record a frame."""
        self._give(item)
        return True

    def close(self) -> None:
        """The recorder is closed by its owner."""
