"""Base of the RGB and the thermal camera node.

A camera node plays a source: it paces frames by their capture stamps, maps
those to ROS time, publishes them for whoever subscribes, and hands the frame
itself to the stages in the same process.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal, TypeVar

import cv2
from sensor_msgs.msg import CameraInfo, Image

from windhover.calibration import CameraCalibration, load_calibration
from windhover.errors import SourceError
from windhover.imaging.reduction import flipped_full
from windhover.sources import open_source
from windhover.sources.base import Source
from windhover.sources.live import LiveSource
from windhover.types import Frame
from windhover_cameras.live_report import LiveReport
from windhover_cameras.pacing import Pacer
from windhover_cameras.params import FLIPS, CameraParams, device_settings
from windhover_ros import qos, topics
from windhover_ros.diagnostics import Level
from windhover_ros.images import camera_info, image_message
from windhover_ros.lifecycle import StageNode
from windhover_ros.links import Sink
from windhover_ros.runner import run_node

P = TypeVar("P", bound=CameraParams)


class CameraNode(StageNode[P]):
    """A lifecycle node that turns a source into image topics.

    Attributes:
        outputs: links to stages in this process; each gets every frame.
        ended: set at the end of a recorded source.
        unreadable: the error of the last frame that could not be read.
        opener: opens the source, as ``windhover.sources.open_source`` does.
    """

    params_model: ClassVar[type[CameraParams]] = CameraParams
    stages: ClassVar[tuple[str, ...]] = ("source", "publish")
    camera: ClassVar[Literal["rgb", "thermal"]]
    expected: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, name: str, overrides: Mapping[str, Any] | None = None, namespace: str = ""
    ) -> None:
        super().__init__(name, overrides, namespace)
        self.outputs: list[Sink[Frame]] = []
        self.ended = threading.Event()
        self.unreadable = ""
        self.opener: Callable[..., Source] = open_source
        self._source: Source | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._live = False
        self._count = 0
        self._passes = 0
        self._shape: tuple[int, ...] = ()
        self._calibration: CameraCalibration | None = None
        self._report = LiveReport(self.health)
        self._images = self.advertise(Image, topics.camera_image(self.camera), qos.image())
        self._infos = self.advertise(CameraInfo, topics.camera_info(self.camera), qos.image())

    def is_finished(self) -> bool:
        """Whether the node's own process should end now.

        Raises:
            Exception: what ended a recorded source.
        """
        if not self.params.end_process:
            return False
        if self.last_error is not None and not self._live:
            raise self.last_error
        return self.ended.is_set()

    def lens(self, frame: Frame) -> CameraCalibration | None:
        """The calibration that goes with a frame; ``None`` while there is none.

        One that was made with full frames also serves for those that are reduced from them.

        Raises:
            CalibrationError: the calibration is for images of another size.
        """
        if self._calibration is not None:
            calibration, full = self._calibration, frame.full
            if full and (full.width, full.height) == (calibration.width, calibration.height):
                return calibration.scaled(frame.width, frame.height)
            calibration.check_size(frame.width, frame.height, self.params.calibration_file)
            return calibration
        if self.params.fov_deg > 0:
            return CameraCalibration.ideal(frame.width, frame.height, self.params.fov_deg)
        return None

    def prepare(self, frame: Frame) -> Frame | None:
        """Turn a source's frame into the published one; ``None`` leaves it out."""
        return frame

    def source_options(self) -> dict[str, Any]:
        """Options of the source that this kind of camera adds."""
        return {}

    def configure(self) -> None:
        """Read the calibration and open the source."""
        uri = self.params.source
        if not uri:
            raise SourceError(
                f"{self.get_name()} has no source; set its parameter 'source' "
                "(a folder, video, bag, v4l2:///dev/video0, scene:demo)"
            )
        self._calibrate()
        self._source = self._open()
        self._live = self._source.live
        self.health.set("source", self._source.name)
        self.health.set("nominal_rate_hz", f"{self._source.rate_hz:.3f}")

    def release(self) -> None:
        """Close the source."""
        source, self._source = self._source, None
        if source is not None:
            source.close()
            if isinstance(source, LiveSource):
                self._report.close(source.statistics)

    def start(self) -> None:
        """Play in a separate thread."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name=self.get_name(), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop playing."""
        self._stopping.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=5.0)

    def refresh(self) -> None:
        """Report the frames that links dropped, and a camera's capture statistics."""
        self.health.set("dropped", sum(link.dropped for link in self.outputs))
        source = self._source
        if isinstance(source, LiveSource):
            self._report.show(source.statistics)

    def _calibrate(self) -> None:
        """Load the calibration file; a missing one is reported, and the node runs without."""
        path, fov_deg = self.params.calibration_file, self.params.fov_deg
        self._calibration = None
        self.health.clear_problem("calibration")
        if path:
            try:
                self._calibration = load_calibration(path)
            except FileNotFoundError:
                self.health.problem(
                    "calibration",
                    Level.WARN,
                    f"calibration {path} does not exist: camera_info "
                    + (f"is of an ideal lens of {fov_deg:g} degrees" if fov_deg else "is empty")
                    + "; put the file there or set calibration_file",
                )
        ideal = f"ideal lens, {fov_deg:g} degrees" if fov_deg else "none"
        self.health.set("calibration", path if self._calibration else ideal)

    def _open(self) -> Source:
        settings, without_effect = device_settings(self.params)
        if without_effect:
            self.health.problem(
                "settings",
                Level.WARN,
                f"{', '.join(without_effect)}: only for v4l2: cameras, without effect on "
                f"{self.params.source}",
            )
        return self.opener(
            self.params.source,
            camera=self.camera,
            as_gray=self.camera == "thermal",
            on_bad="skip",
            on_skip=self._report_skipped,
            on_warning=self._report_warning,
            **settings,
            **self.source_options(),
        )

    def _report_warning(self, text: str) -> None:
        self.health.problem("source", Level.WARN, text)
        self.get_logger().warning(text)

    def _report_skipped(self, error: SourceError) -> None:
        self.unreadable = str(error)
        self.health.count("frames_unreadable")
        self.health.problem("frame", Level.WARN, f"{error} (skipped)", for_s=10.0)
        self.get_logger().warning(f"{error} (skipped)", throttle_duration_sec=10.0)

    def _run(self) -> None:
        try:
            while self._play() and not self._stopping.is_set():
                self.release()
                self._source = self._open()
        except Exception as error:
            # A camera that is gone, an incomplete file: reported, then retried.
            if not self._stopping.is_set():
                self.fail(error)

    def _play(self) -> bool:
        """Play the source once.

        Returns:
            Whether to play it again.
        """
        source = self._source
        if source is None:
            return False
        pacer = Pacer(
            rate=lambda: self.params.rate,
            live=source.live,
            keep_stamps=self.params.stamps == "source",
            now_ns=lambda: self.get_clock().now().nanoseconds,
            wait=self._stopping.wait,
            start=self._start_of_pass(source),
        )
        before = time.monotonic_ns()
        for frame in source:
            read_ns = time.monotonic_ns() - before
            stamp_ns = pacer.pace(frame.stamp_ns)
            if self._stopping.is_set():
                return False
            self.health.timings.record("source", read_ns)
            self._check_stream(pacer, frame)
            self._count += 1
            prepared = self.prepare(frame)
            if prepared is not None:
                self._emit(prepared, stamp_ns)
            if self.params.max_frames and self._count >= self.params.max_frames:
                self._end()
                return False
            before = time.monotonic_ns()
        if source.live:
            raise SourceError(f"{source.name} stopped giving frames; check its cable and power")
        if self.params.loop:
            self._passes += 1
            return True
        self._end()
        return False

    def _start_of_pass(self, source: Source) -> tuple[int, int] | None:
        params = self.params
        if not params.start_time_ns:
            return None
        span_ns = round((source.length or 0) / source.rate_hz * 1e9)
        if params.rate > 0:
            span_ns = round(span_ns / params.rate)
        return params.start_stamp_ns, params.start_time_ns + self._passes * span_ns

    def _emit(self, frame: Frame, stamp_ns: int) -> None:
        if self._live:
            stamp_ns += round(self.params.stamp_offset_ms * 1e6)
        before = time.monotonic_ns()
        image: Any = frame.image
        full = frame.full
        if self.params.flip != "none":
            code = FLIPS[self.params.flip]
            image = cv2.flip(image, code)
            full = full and flipped_full(full, code)
        frame = replace(
            frame, image=image, stamp_ns=stamp_ns, frame_id=self.params.frame_id, full=full
        )
        lens = self.lens(frame)
        if self._images.get_subscription_count():
            self._images.publish(image_message(frame))
        if self._infos.get_subscription_count():
            self._infos.publish(camera_info(frame, lens))
        self.health.timings.record("publish", time.monotonic_ns() - before)
        self.health.frame(self.get_clock().now().nanoseconds - stamp_ns)
        for link in self.outputs:
            link.put(frame)

    def _check_stream(self, pacer: Pacer, frame: Frame) -> None:
        """Report stamps that go back, and changes of size or encoding."""
        if pacer.went_back and not self._live:
            # A camera's stamps go back only with the clock, which is reported separately.
            self.health.count("stamps_backwards")
            self.health.problem(
                "stamp",
                Level.WARN,
                f"stamp of frame {self._count} of {self.params.source} goes backwards; "
                "time continues from the previous frame",
                for_s=10.0,
            )
        shape = frame.image.shape
        if self._shape and shape != self._shape:
            self.health.count("size_changes")
            self.health.problem(
                "size",
                Level.WARN,
                f"frames changed from {self._shape} to {shape} at frame {self._count}",
                for_s=10.0,
            )
        self._shape = shape
        if frame.encoding in self.expected:
            self.health.clear_problem("encoding")
        else:
            self.health.problem(
                "encoding",
                Level.WARN,
                f"{self.params.source} gives {frame.encoding}; a {self.camera} camera is "
                f"expected to give {' or '.join(self.expected)}",
            )

    def _end(self) -> None:
        self.health.set_active(False)
        self.health.set("source_state", f"ended after {self._count} frames")
        self.get_logger().info(f"{self.params.source} ended after {self._count} frames")
        for link in self.outputs:
            link.close()
        self.ended.set()


def run_camera(make: Callable[[], CameraNode[Any]]) -> int:
    """Run a camera node as a separate process.

    With ``end_process`` it ends with its source: 0 at the end, 2 if a recorded source
    can't be read any further, which a retry would not change.
    """
    return run_node(make, until=CameraNode.is_finished)
