"""The detector node: images in, ``detections`` out, by a model bundle.

Wiring only. Which thread does what: images arrive on the executor's thread (or
from a camera node in this process) and go into a link; one worker takes the
newest from it, detects and publishes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from vision_msgs.msg import Detection2DArray, LabelInfo

from windhover.boxes import clip_results
from windhover.errors import BackendError, CalibrationError, ConfigError, EncodingError
from windhover.geometry import Lens
from windhover.health.altitude import AltitudeMonitor
from windhover.health.watchdog import MAX_WAIT_S, RunWatchdog
from windhover.inference.fallback import BackendChain
from windhover.model.bundle import Bundle
from windhover.model.detector import Detector
from windhover.model.input_checks import InputChecks
from windhover.model.manifest import Thresholds
from windhover.pairing.drone_state import DroneState
from windhover.types import Detections, Frame
from windhover_detector.looking import SecondLookControl
from windhover_detector.params import DetectorParams
from windhover_detector.worker import FrameWorker
from windhover_ros import qos, topics
from windhover_ros.diagnostics import Level
from windhover_ros.drone import listen_to_altitude, listen_to_attitude
from windhover_ros.images import frame_from_compressed, frame_from_image
from windhover_ros.lenses import lens_of
from windhover_ros.lifecycle import TICK_S, StageNode
from windhover_ros.links import LatestSlot, Link
from windhover_ros.messages import label_info, serialize_results
from windhover_ros.runner import run_node

# Shorter, and a machine that is busy elsewhere would be taken for a backend that hangs;
# longer, and nothing is seen for as long.
HANG_AFTER_S = 0.4
_PROBLEM_S = 10.0

Listener = Callable[[Frame, Detections, int], None]
"""Takes a frame, its detections, and when the frame was taken (monotonic nanoseconds)."""


class DetectorNode(StageNode[DetectorParams]):
    """Detects in the newest image.

    Attributes:
        input: frames to detect in. Where a camera in this process fills it,
            nothing is subscribed.
        idle: set once the input was closed and all of it is done.
        refusal: why the last frame that was refused can't be used.
        drone: its altitude and attitude.
        looking: what it does about a second look.
    """

    params_model = DetectorParams
    stages = ("convert", "preprocess", "inference", "postprocess", "second_look", "publish")

    def __init__(
        self,
        overrides: Mapping[str, Any] | None = None,
        namespace: str = "",
        frames: Link[Frame] | None = None,
        drone: DroneState | None = None,
    ) -> None:
        super().__init__("detector", overrides, namespace)
        self.input: Link[Frame] = LatestSlot() if frames is None else frames
        self.idle = threading.Event()
        self.refusal = ""
        self._linked = frames is not None
        # Where no frame may be left out, a slow one is worth a longer wait.
        self._patience_s = HANG_AFTER_S if isinstance(self.input, LatestSlot) else MAX_WAIT_S
        self._worker: FrameWorker | None = None
        self._detector: Detector | None = None
        self._checks: InputChecks | None = None
        self._chain = BackendChain(self.params.backend, self.params.fallback_after)
        self._hung = False
        self._images: Any = None
        self._infos: Any = None
        self._stated_lens: Lens | None = None
        self.drone = drone or DroneState(self.params.camera_pitch_deg)
        # At the rate of an autopilot it costs: only where chips are cut by it.
        self._needs_attitude = drone is None
        self.looking = SecondLookControl(self.params.second_look, self.health, self.drone)
        self._listeners: list[Listener] = []
        self._retune = threading.Event()
        self._received = 0
        self._altitude = AltitudeMonitor()
        self._detections = self.advertise(
            Detection2DArray, topics.DETECTIONS, qos.result(self.params.deadline_s)
        )
        self._labels = self.advertise(LabelInfo, topics.LABEL_INFO, qos.latched())
        listen_to_altitude(self, self.params, self._on_altitude)

    @property
    def bundle(self) -> Bundle | None:
        """The loaded bundle, while configured."""
        return self._detector.bundle if self._detector else None

    def on_result(self, listener: Listener) -> None:
        """Hand each frame and its detections to a stage in this process."""
        self._listeners.append(listener)

    def thresholds_for(self, bundle: Bundle) -> Thresholds:
        """What a detection must exceed, by ``score_threshold`` or ``operating_point``.

        Raises:
            ConfigError: the bundle has no such operating point.
        """
        score = self.params.score_threshold
        if score == 0.0:
            return bundle.thresholds_at(self.params.operating_point)
        return bundle.thresholds.model_copy(update={"score": score, "per_class": {}})

    def least_scores(self, bundle: Bundle) -> tuple[float, ...]:
        """Least score of each label in what is published, the lower of both looks' ones."""
        scores = self.thresholds_for(bundle).score_vector(bundle.labels)
        carried = self.looking.limits
        pairs = zip(bundle.labels, scores, strict=True)
        return tuple(min(score, carried.get(label, score)) for label, score in pairs)

    def configure(self) -> None:
        """Load the bundle and open a backend."""
        bundle = Bundle.load(self.params.model, public_key=self.params.public_key)
        self._detector = self._open(bundle)
        self.looking.open(self._detector)
        self._checks = InputChecks(bundle.name, bundle.modality)
        # Another backend, or the same one opened again, may be slower.
        self.health.timings["inference"].clear()
        self.health.timings["second_look"].clear()
        for key, value in self._detector.facts().items():
            self.health.set(key, value)
        self.health.set("operating_point", self.params.operating_point)
        if not self._linked:
            self._subscribe(bundle)
        if self.looking.is_open and self._needs_attitude:
            self._needs_attitude = False
            listen_to_attitude(self, self.params, lambda _, attitude: self.drone.attitude(attitude))

    def start(self) -> None:
        """Publish the labels and begin to work."""
        if self._hung:
            # Only another backend helps.
            self.release()
            self.configure()
        if self._detector is None:
            raise ConfigError("the detector was not configured; configure it before activating")
        bundle = self._detector.bundle
        self._labels.publish(label_info(bundle.labels, self._detector.thresholds.score))
        self._worker = FrameWorker(
            self.input, self._detect, self._end, self._fail, self._patience_s
        )

    def stop(self) -> None:
        """Stop the worker after the frame that it has."""
        worker, self._worker = self._worker, None
        self._hung = worker is not None and not worker.stop(self._slowest_s())
        if self._hung and self._detector is not None:
            self._chain.failed(self._detector.backend.name, "a frame went in and nothing came out")

    def release(self) -> None:
        """Close the backend."""
        detector, self._detector = self._detector, None
        # One that is still at work would crash if it were closed: it is left to itself.
        if detector is not None and not self._hung:
            detector.close()
        self._hung = False

    def tick(self) -> None:
        """Housekeeping; also take the stage down when a run hangs."""
        worker, slowest_s = self._worker, self._slowest_s()
        hung_s = worker.watchdog.hung_s(slowest_s, TICK_S) if worker else None
        if hung_s is not None and self.state == "active":
            self.fail(
                BackendError(
                    f"a run has not ended after {hung_s:.1f} s, and none took longer than "
                    f"{slowest_s:.2f} s: the backend hangs and is opened again"
                )
            )
        super().tick()

    def changed(self) -> None:
        """Let the worker take over a new threshold before its next frame."""
        self._retune.set()

    def refresh(self) -> None:
        """Bring what depends on other nodes up to date."""
        self.health.set("dropped", self.input.dropped)
        if not self.params.altitude_topic:
            return
        altitude_m = self._altitude.altitude_m
        text = self._altitude.outside(self.params.altitude_min_m, self.params.altitude_max_m)
        if text:
            self.health.problem("altitude", Level.WARN, text)
        else:
            self.health.clear_problem("altitude")
        self.health.set("altitude_m", "unknown" if altitude_m is None else f"{altitude_m:.1f}")

    def _detect(self, frame: Frame, taken_ns: int, watchdog: RunWatchdog) -> None:
        """Detect in one frame, publish, and hand on.

        A frame that can't be used is counted and reported, and gives no message:
        silence means a fault, while an empty array means nothing was seen.

        Raises:
            BackendError: the backend failed; the stage must be brought up again.
        """
        detector = self._detector
        if detector is None:
            return
        if self._retune.is_set():
            self._retune.clear()
            detector.use_thresholds(self.thresholds_for(detector.bundle))
        self._check(frame)
        self.looking.prepare(frame)
        try:
            with watchdog.run():
                found = detector.detect(frame)
        except (EncodingError, ConfigError) as error:
            self._refuse(error)
            return
        if self._detector is not detector:
            # Taken down while it hung in this frame, which nobody waits for any more.
            return
        self.health.clear_problem("frame")
        self.looking.finish(frame, found)
        before = time.monotonic_ns()
        shown = found
        if self.params.clip_boxes:
            shown = clip_results(found, frame.width, frame.height)
        self._detections.publish(
            serialize_results(frame.stamp_ns, frame.frame_id, shown, detector.labels)
        )
        self.health.timings.record("publish", time.monotonic_ns() - before)
        for stage, duration_ns in detector.timings.by_stage().items():
            self.health.timings.record(stage, duration_ns)
        self.health.frame(self.get_clock().now().nanoseconds - frame.stamp_ns)
        for listener in self._listeners:
            listener(frame, found, taken_ns)

    def _slowest_s(self) -> float:
        """The longest of the last runs of this backend, both looks; 0 before the first."""
        timings, detector = self.health.timings, self._detector
        first_ms = timings["inference"].summary().max_ms
        if not first_ms:
            return 0.0
        second_ms = timings["second_look"].summary().max_ms or 0.0
        if detector is not None and detector.second_pass is not None:
            # So long take as many people as there may be, where there have been fewer so far.
            second_ms = max(second_ms, detector.second_pass.longest_ms)
        return (first_ms + second_ms) / 1000

    def _open(self, bundle: Bundle) -> Detector:
        name = self._chain.current
        options: dict[str, Any] = {}
        if name in {"auto", "cpu"}:
            options = {"threads": self.params.cpu_threads, "keep": True}
        try:
            detector = Detector(
                bundle,
                name,
                thresholds=self.thresholds_for(bundle),
                second_look=self.params.second_look.enabled,
                **options,
            )
        except BackendError as error:
            self._chain.failed(name, str(error))
            raise
        if self._chain.fallen_back:
            self.health.problem("backend", Level.WARN, self._chain.warning(detector.backend.name))
        return detector

    def _end(self) -> None:
        self.health.set_active(False)
        self.idle.set()

    def _fail(self, error: Exception) -> None:
        if isinstance(error, BackendError) and self._detector is not None:
            self._chain.failed(self._detector.backend.name, str(error))
        else:
            self.get_logger().error(f"unexpected: {error!r}")
        self.fail(error)

    def _subscribe(self, bundle: Bundle) -> None:
        if self._images is not None:
            return
        topic = self.params.image_topic or topics.image_of(bundle.modality)
        if self.params.compressed:
            take = partial(self._take, frame_from_compressed)
            self._images = self.listen(CompressedImage, topics.compressed(topic), take, qos.image())
        else:
            take = partial(self._take, frame_from_image)
            self._images = self.listen(Image, topic, take, qos.image())
        self.health.set("input", self.resolve_topic_name(topic))
        if self.looking.is_open:
            info = topics.info_of(topic)
            self._infos = self.listen(CameraInfo, info, self._on_camera_info, qos.image())
            self.looking.lens = lambda _: self._stated_lens

    def _on_camera_info(self, message: CameraInfo) -> None:
        try:
            self._stated_lens = lens_of(message)
        except CalibrationError as error:
            self._stated_lens = None
            self.health.problem("camera_info", Level.WARN, str(error), for_s=_PROBLEM_S)

    def _on_altitude(self, altitude_m: float) -> None:
        self._altitude.update(altitude_m)
        self.drone.altitude(altitude_m)

    def _take(self, convert: Callable[[Any, int], Frame], message: Any) -> None:
        before = time.monotonic_ns()
        try:
            frame = convert(message, self._received)
        except EncodingError as error:
            self._refuse(error)
            return
        self._received += 1
        self.health.timings.record("convert", time.monotonic_ns() - before)
        self.input.put(frame)

    def _refuse(self, error: Exception) -> None:
        self.refusal = str(error)
        self.health.count("frames_refused")
        self.health.problem("frame", Level.ERROR, str(error), for_s=_PROBLEM_S)
        self.get_logger().error(str(error), throttle_duration_sec=_PROBLEM_S)

    def _check(self, frame: Frame) -> None:
        problems = self._checks.check(frame) if self._checks else []
        for problem in problems:
            self.health.count(problem.counter)
            self.health.problem(problem.key, Level.WARN, problem.text, for_s=_PROBLEM_S)
        for key in InputChecks.LASTING - {problem.key for problem in problems}:
            self.health.clear_problem(key)


def main() -> int:
    """Run the node in its own process."""
    return run_node(DetectorNode)


if __name__ == "__main__":
    raise SystemExit(main())
