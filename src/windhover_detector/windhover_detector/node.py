"""The detector node: images in, ``detections`` out, by a model bundle.

Wiring only. Which thread does what: images arrive on the executor's thread (or
from a camera node in this process) and go into a link; one worker takes the
newest from it, detects and publishes.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2DArray, LabelInfo

from windhover.errors import BackendError, ConfigError, EncodingError
from windhover.inference import BACKENDS
from windhover.inference.fallback import BackendChain
from windhover.model.bundle import Bundle
from windhover.model.detector import Detector
from windhover.model.manifest import Thresholds
from windhover.types import Detections, Frame
from windhover_ros import qos
from windhover_ros.diagnostics import Level
from windhover_ros.drone import AltitudeParams, listen_to_altitude
from windhover_ros.images import frame_from_compressed, frame_from_image
from windhover_ros.lifecycle import TICK_S, StageNode, StageParams
from windhover_ros.links import LatestSlot, Link
from windhover_ros.messages import label_info, write_results
from windhover_ros.params import read_only
from windhover_ros.runner import run_node

# A run that takes longer than this, and five times longer than any of the last thousand,
# hangs. Shorter, and a machine that is busy elsewhere would be taken for a backend that
# hangs; longer, and nothing is seen for as long.
STUCK_S = 0.4
# The longest wait for a frame in work when the stage is to stop, and that for the first run.
STOP_S = 10.0

Listener = Callable[[Frame, Detections], None]

if TYPE_CHECKING:
    BackendName = str
else:
    # Backends of other packages are choices too, so the parameter's values are not written here.
    BackendName = Literal[("auto", *BACKENDS)]


class DetectorParams(AltitudeParams, StageParams):
    """Parameters of the detector node."""

    model: str = read_only("thermal-n", description="model bundle: a folder, or a name in models/")
    public_key: str = read_only(
        "",
        description="file of an Ed25519 public key (PEM or 32 raw bytes): a bundle that is not "
        "signed with it is refused; empty = no signature is asked for",
    )
    backend: BackendName = read_only(
        "auto", description="what runs the graph; auto takes the fastest that works"
    )
    fallback_after: int = read_only(
        3,
        ge=0,
        le=1000,
        description="after so many failures of a backend within a minute take the next; 0 = never",
    )
    cpu_threads: int = read_only(
        0, ge=0, le=256, description="threads of the cpu backend; 0 = one a core"
    )
    score_threshold: float = Field(
        0.0,
        ge=0.0,
        le=1.0,
        description="least score of a detection; 0 = as the bundle was tuned. Below the tracker's "
        "low_score nothing is gained",
    )
    image_topic: str = read_only(
        "", description="images to detect in; empty = the camera that the bundle is for"
    )
    compressed: bool = read_only(
        False, description="take <image_topic>/compressed (JPEG or PNG), as recordings have it"
    )
    deadline_s: float = read_only(
        0.5, ge=0.0, le=60.0, description="longest time between two detections; 0 = none offered"
    )
    altitude_min_m: float = Field(
        30.0, ge=0.0, le=1000.0, description="below this results are flagged, metres"
    )
    altitude_max_m: float = Field(
        50.0, ge=0.0, le=1000.0, description="above this results are flagged, metres"
    )


class DetectorNode(StageNode[DetectorParams]):
    """Detects in the newest image.

    Attributes:
        input: frames to detect in. Where a camera in this process fills it,
            nothing is subscribed.
        idle: set once the input was closed and all of it is done.
        refusal: why the last frame that was refused can't be used.
        taken_ns: monotonic time at which the frame in work was taken.
    """

    params_model = DetectorParams
    stages = ("convert", "preprocess", "inference", "postprocess", "publish")

    def __init__(
        self,
        overrides: Mapping[str, Any] | None = None,
        namespace: str = "",
        frames: Link[Frame] | None = None,
    ) -> None:
        super().__init__("detector", overrides, namespace)
        self.input: Link[Frame] = LatestSlot() if frames is None else frames
        self.idle = threading.Event()
        self.taken_ns = 0
        self.refusal = ""
        self._linked = frames is not None
        # Where no frame may be left out, one that takes its time is worth a longer wait.
        self._patience_s = STUCK_S if isinstance(self.input, LatestSlot) else STOP_S
        self._detector: Detector | None = None
        self._chain = BackendChain(self.params.backend, self.params.fallback_after)
        self._stuck = False
        self._at_work = False
        self._run_ns = 0
        self._ticked = 0.0
        self._images: Any = None
        self._listeners: list[Listener] = []
        self._stopping = threading.Event()
        self._retune = threading.Event()
        self._thread: threading.Thread | None = None
        self._received = 0
        self._last_stamp: int | None = None
        self._last_hw: tuple[int, int] | None = None
        self._altitude_at = float("-inf")
        self._detections = self.advertise(
            Detection2DArray, "detections", qos.result(self.params.deadline_s)
        )
        self._labels = self.advertise(LabelInfo, "label_info", qos.latched())
        listen_to_altitude(self, self.params, self._on_altitude)

    @property
    def bundle(self) -> Bundle | None:
        """The loaded bundle, while configured."""
        return self._detector.bundle if self._detector else None

    def on_result(self, listener: Listener) -> None:
        """Hand each frame and its detections to a stage in this process."""
        self._listeners.append(listener)

    def configure(self) -> None:
        """Load the bundle and open a backend."""
        bundle = Bundle.load(self.params.model, public_key=self.params.public_key)
        self._detector = self._open(bundle)
        # Another backend, or the same one anew, may be slower.
        self.health.timings["inference"].clear()
        self.health.set("model", f"{bundle.name} {bundle.version}")
        self.health.set("model_hash", bundle.digest)
        self.health.set("model_signature", bundle.signature)
        self.health.set("backend", self._detector.backend.name)
        self.health.set("device", self._detector.backend.device)
        self.health.set("backends_passed_over", "; ".join(self._detector.passed_over) or "none")
        if not self._linked:
            self._subscribe(bundle)

    def start(self) -> None:
        """Say the labels and begin to work."""
        if self._stuck:
            # Its backend hangs: only another one helps.
            self.release()
            self.configure()
        if self._detector is None:
            raise ConfigError("the detector was not configured; configure it before activating")
        bundle = self._detector.bundle
        self._labels.publish(label_info(bundle.labels, self._detector.thresholds.score))
        # Its own, so that a worker that was stuck ends when it comes back.
        self._stopping = threading.Event()
        self._at_work, self._run_ns = False, 0
        self._thread = threading.Thread(
            target=self._run, args=(self._stopping,), name="detector", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop the worker after the frame that it has."""
        self._stopping.set()
        thread, self._thread = self._thread, None
        if thread is None or thread is threading.current_thread():
            return
        slowest_s = self._slowest_s()
        limit_s = min(STOP_S, max(self._patience_s, 5 * slowest_s)) if slowest_s else STOP_S
        at_work_s = (time.monotonic_ns() - self.taken_ns) / 1e9 if self._at_work else 0.0
        thread.join(timeout=max(0.05, limit_s - at_work_s))
        self._stuck = thread.is_alive()
        if self._stuck and self._detector is not None:
            self._chain.failed(self._detector.backend.name, "a frame went in and nothing came out")

    def release(self) -> None:
        """Close the backend."""
        detector, self._detector = self._detector, None
        # One that is still at work would crash if it were closed: it is left to itself.
        if detector is not None and not self._stuck:
            detector.close()
        self._stuck = False

    def tick(self) -> None:
        """Housekeeping; also take the stage down when a run hangs."""
        now = time.monotonic()
        # After a pause of the whole process the worker has its chance first.
        late, self._ticked = now - self._ticked > 2 * TICK_S, now
        run_s = (time.monotonic_ns() - self._run_ns) / 1e9 if self._run_ns else 0.0
        if run_s > self._patience_s and not late and self.state == "active":
            slowest_s = self._slowest_s()
            # How long the first run of a backend takes is not known: that is left to the monitor.
            if slowest_s and run_s > 5 * slowest_s:
                self.fail(
                    BackendError(
                        f"a run has not ended after {run_s:.1f} s, and none took longer than "
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
        if self.params.altitude_topic and time.monotonic() - self._altitude_at > 5.0:
            self.health.set("altitude_m", "unknown")

    def detect(self, frame: Frame) -> None:
        """Detect in one frame, publish, and hand on.

        A frame that can't be used is counted and told, and gives no message:
        silence means a fault, while an empty array means nothing was seen.

        Raises:
            BackendError: the backend failed; the stage must be brought up anew.
        """
        detector = self._detector
        if detector is None:
            return
        self.taken_ns = time.monotonic_ns()
        if self._retune.is_set():
            self._retune.clear()
            limits = self._limits(detector.bundle)
            detector = Detector(detector.bundle, detector.backend, thresholds=limits)
            self._detector = detector
        self._watch(frame)
        if detector.bundle.channels == "rgbt":
            self._watch_thermal(frame)
        self._run_ns = time.monotonic_ns()
        try:
            found = detector.detect(frame)
        except (EncodingError, ConfigError) as error:
            self._refuse(error)
            return
        finally:
            self._run_ns = 0
        if self._detector is not detector:
            # Taken down while it was stuck in this frame, which nobody waits for any more.
            return
        self.health.solved("frame")
        before = time.monotonic_ns()
        self._detections.publish(
            write_results(frame.stamp_ns, frame.frame_id, found, detector.labels)
        )
        record = self.health.timings.record
        record("publish", time.monotonic_ns() - before)
        record("preprocess", detector.timings.pre_ns)
        record("inference", detector.timings.inference_ns)
        record("postprocess", detector.timings.post_ns)
        self.health.frame(self.get_clock().now().nanoseconds - frame.stamp_ns)
        for listener in self._listeners:
            listener(frame, found)

    def _slowest_s(self) -> float:
        """The longest of the last runs of this backend; 0 before the first."""
        return (self.health.timings["inference"].summary().max_ms or 0.0) / 1000

    def _limits(self, bundle: Bundle) -> Thresholds:
        score = self.params.score_threshold
        if score == 0.0:
            return bundle.thresholds
        return bundle.thresholds.model_copy(update={"score": score, "per_class": {}})

    def _open(self, bundle: Bundle) -> Detector:
        name = self._chain.current
        options: dict[str, Any] = {}
        if name in {"auto", "cpu"}:
            options = {"threads": self.params.cpu_threads, "keep": True}
        try:
            detector = Detector(bundle, name, thresholds=self._limits(bundle), **options)
        except BackendError as error:
            self._chain.failed(name, str(error))
            raise
        if self._chain.fallen_back:
            self.health.problem(
                "backend",
                Level.WARN,
                f"{self._chain.why}; {detector.backend.name} runs in its place: see 'windhover "
                f"doctor', and start the detector anew to try {self.params.backend} again",
            )
        return detector

    def _run(self, stopping: threading.Event) -> None:
        detector = self._detector
        try:
            while not stopping.is_set():
                frame = self.input.take(0.2)
                if frame is not None:
                    self.taken_ns = time.monotonic_ns()
                    self._at_work = True
                    self.detect(frame)
                    self._at_work = False
                elif self.input.closed:
                    self.health.active(False)
                    self.idle.set()
                    return
        except Exception as error:
            if stopping.is_set():
                return
            if isinstance(error, BackendError) and detector is not None:
                self._chain.failed(detector.backend.name, str(error))
            else:
                self.get_logger().error(f"unexpected: {error!r}")
            self.fail(error)

    def _subscribe(self, bundle: Bundle) -> None:
        if self._images is not None:
            return
        camera = {"rgb": "camera/rgb/image_raw", "thermal": "camera/thermal/image_raw"}
        topic = self.params.image_topic or camera.get(bundle.channels, "rgbt/image")
        if self.params.compressed:
            self._images = self.listen(
                CompressedImage, f"{topic}/compressed", self._on_compressed, qos.image()
            )
        else:
            self._images = self.listen(Image, topic, self._on_image, qos.image())
        self.health.set("input", self.resolve_topic_name(topic))

    def _on_image(self, message: Image) -> None:
        self._take(lambda: frame_from_image(message, self._received))

    def _on_compressed(self, message: CompressedImage) -> None:
        self._take(lambda: frame_from_compressed(message, self._received))

    def _take(self, convert: Callable[[], Frame]) -> None:
        before = time.monotonic_ns()
        try:
            frame = convert()
        except EncodingError as error:
            self._refuse(error)
            return
        self._received += 1
        self.health.timings.record("convert", time.monotonic_ns() - before)
        self.input.put(frame)

    def _refuse(self, error: Exception) -> None:
        self.refusal = str(error)
        self.health.count("frames_refused")
        self.health.problem("frame", Level.ERROR, str(error), for_s=10.0)
        self.get_logger().error(str(error), throttle_duration_sec=10.0)

    def _watch(self, frame: Frame) -> None:
        if self._last_stamp is not None and frame.stamp_ns <= self._last_stamp:
            self.health.count("stamps_backwards")
            self.health.problem(
                "stamp",
                Level.WARN,
                f"image stamps go backwards ({self._last_stamp} then {frame.stamp_ns} ns); "
                "check the clock of the camera",
                for_s=10.0,
            )
        self._last_stamp = frame.stamp_ns
        size = (frame.height, frame.width)
        if self._last_hw is not None and size != self._last_hw:
            self.health.count("size_changes")
            self.health.problem(
                "size",
                Level.WARN,
                f"images changed from {self._last_hw[1]}x{self._last_hw[0]} to "
                f"{frame.width}x{frame.height}; going on with the new size",
                for_s=10.0,
            )
        self._last_hw = size

    def _watch_thermal(self, frame: Frame) -> None:
        # A grid of points is enough: a thermal picture is never black all over.
        if frame.encoding != "8UC4" or frame.image[::8, ::8, 3].any():
            self.health.solved("thermal")
            return
        self.health.count("frames_without_thermal")
        self.health.problem(
            "thermal",
            Level.WARN,
            "no thermal in the picture: detecting by RGB alone; the pairing node says why",
            for_s=5.0,
        )

    def _on_altitude(self, altitude: float) -> None:
        if not math.isfinite(altitude):
            return
        self._altitude_at = time.monotonic()
        self.health.set("altitude_m", f"{altitude:.1f}")
        low, high = self.params.altitude_min_m, self.params.altitude_max_m
        if low <= altitude <= high:
            self.health.solved("altitude")
        else:
            self.health.problem(
                "altitude",
                Level.WARN,
                f"altitude {altitude:.1f} m is outside {low:g}-{high:g} m: results are less sure",
                for_s=5.0,
            )


def main() -> int:
    """Run the node as a process of its own."""
    return run_node(DetectorNode)


if __name__ == "__main__":
    raise SystemExit(main())
