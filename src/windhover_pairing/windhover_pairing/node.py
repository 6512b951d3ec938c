"""The pairing node: both cameras in, ``rgbt/image`` out.

Wiring only. Threads: images arrive on the executor's thread (or from camera nodes in
this process) and go into the intake; one worker pairs, registers and publishes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

from sensor_msgs.msg import CameraInfo, Image

from windhover.calibration import CameraCalibration
from windhover.errors import CalibrationError, EncodingError
from windhover.geometry import Extrinsics, Lens
from windhover.pairing.composer import Composer, lens_mismatch
from windhover.pairing.drone_state import DroneState
from windhover.pairing.files import RgbtCalibration, open_calibration
from windhover.pairing.intake import Intake, Modality
from windhover.pairing.matching import Match, Pairer
from windhover.pairing.refine import RefineLimits, Refiner
from windhover.pairing.registration import Registration, full_size_of
from windhover.pairing.stream import PairStream
from windhover.types import Frame
from windhover_pairing.params import PairingParams
from windhover_pairing.refining import BackgroundRefiner
from windhover_ros import qos, topics
from windhover_ros.diagnostics import Level
from windhover_ros.drone import listen_to_altitude, listen_to_attitude
from windhover_ros.images import camera_info, frame_from_image, image_message
from windhover_ros.lenses import lens_of
from windhover_ros.lifecycle import StageNode
from windhover_ros.links import Sink
from windhover_ros.runner import run_node

# Longest wait for a frame before the worker looks whether it is to stop.
_POLL_S = 0.2
# Longest wait for a worker that is to stop; one that hangs is left to itself.
_STOP_S = 1.0


class PairingNode(StageNode[PairingParams]):
    """Makes one picture of two cameras.

    Args:
        overrides: parameter values from a config.
        namespace: ROS namespace.
        intake: filled by camera nodes in this process; nothing is subscribed then
            but altitude and attitude.

    Attributes:
        intake: links for the two cameras.
        outputs: links to stages in this process; each gets every frame.
        ended: set when RGB has ended (or both cameras, where thermal may go on alone)
            and all its frames are handed on.
        refusal: why the last refused frame can't be used.
        drone: its altitude and attitude.
    """

    params_model = PairingParams
    stages = ("convert", "register", "publish")

    def __init__(
        self,
        overrides: Mapping[str, Any] | None = None,
        namespace: str = "",
        intake: Intake | None = None,
    ) -> None:
        super().__init__("pairing", overrides, namespace)
        self.intake = intake or Intake()
        self.outputs: list[Sink[Frame]] = []
        self.ended = threading.Event()
        self.refusal = ""
        self._linked = intake is not None
        self.drone = DroneState(self.params.camera_pitch_deg)
        self._pairer = Pairer(self.params.policy(self.intake.lossless))
        self._stream = PairStream(self.intake, self._pairer)
        self._registration = Registration(None)
        self._composer = Composer(self._registration)
        self._refining: BackgroundRefiner | None = None
        self._stated_lenses: dict[Modality, Lens] = {}
        self._received = {"rgb": 0, "thermal": 0}
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._pictures = self.advertise(Image, topics.RGBT_IMAGE, qos.image())
        self._info = self.advertise(CameraInfo, topics.RGBT_CAMERA_INFO, qos.image())
        listen_to_altitude(self, self.params, self.drone.altitude)
        listen_to_attitude(self, self.params, lambda _, attitude: self.drone.attitude(attitude))
        for queue in (self.intake.rgb, self.intake.thermal):
            if queue.modality not in self.params.cameras:
                queue.close()
            elif not self._linked:
                self._listen_to_camera(queue.modality, queue)

    def configure(self) -> None:
        """Read the calibration."""
        params = self.params
        geometry = open_calibration(params.calibration)
        self._registration = Registration(
            geometry, params.nominal_altitude_m, params.output_width, params.tone
        )
        self._composer = Composer(self._registration)
        self._stated_lenses.clear()
        self.health.clear_problem("pose")
        self.health.set("calibration", params.calibration or "none")
        residual = getattr(geometry, "residual_px", None)
        self.health.set("calibration_residual_px", "" if residual is None else f"{residual:.2f}")

        if params.refine and isinstance(geometry, RgbtCalibration):
            limits = RefineLimits(step_deg=params.refine_step_deg)
            self._refining = BackgroundRefiner(
                Refiner(geometry, limits), self._registration, params.refine_period_s
            )

    def release(self) -> None:
        """Stop refining."""
        refining, self._refining = self._refining, None
        if refining is not None:
            refining.close()

    def start(self) -> None:
        """Begin to pair."""
        # A new event each time, so that a worker that hung ends when it comes back.
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(self._stopping,), name="pairing", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop the worker after the frame that it has."""
        self._stopping.set()
        thread, self._thread = self._thread, None
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=_STOP_S)

    def refresh(self) -> None:
        """Show rates, errors and what is in use."""
        health = self.health
        for name, value in self._stream.values().items():
            health.set(name, value)
        health.set("registration", self._registration.in_use)
        health.set("maps_rebuilt", self._registration.rebuilt)
        if self._refining is not None:
            refiner = self._refining.refiner
            health.set("refined_deg", f"{refiner.turned_deg:.4f}")
            health.set("refine_steps", refiner.steps)
            health.set("refine_refused", refiner.refused)
        health.set("altitude_m", _or_unknown(self.drone.altitude_m))
        health.set("attitude", "known" if self.drone.attitude_known else "unknown, taken as level")
        self._report_stale()

    @property
    def rgb_lens(self) -> Lens | None:
        """Of the calibration; ``None`` where it has no lenses."""
        geometry = self._registration.geometry
        return geometry.rgb if isinstance(geometry, RgbtCalibration) else None

    def facts(self) -> dict[str, str]:
        """What became of the pairs of a run, for its record."""
        values = self._stream.values()
        names = ("pairs", "rgb_alone", "pairing_error_worst_ms")
        facts = {name: values.get(name, "") for name in names}
        return {**facts, "registration": self._registration.in_use}

    def _listen_to_camera(self, modality: Modality, queue: Sink[Frame]) -> None:
        def on_image(message: Image) -> None:
            before = time.monotonic_ns()
            try:
                frame = frame_from_image(message, self._received[modality])
            except EncodingError as error:
                self._refuse(error)
                return
            self._received[modality] += 1
            self.health.timings.record("convert", time.monotonic_ns() - before)
            queue.put(frame)

        self.listen(Image, topics.camera_image(modality), on_image, qos.image())
        self.listen(
            CameraInfo,
            topics.camera_info(modality),
            lambda message: self._on_camera_info(modality, message),
            qos.image(),
        )

    def _on_camera_info(self, modality: Modality, info: CameraInfo) -> None:
        """Compare a camera's stated lens with the calibration's, or use it where there is none."""
        key = f"info_{modality}"
        try:
            lens = lens_of(info)
        except CalibrationError as error:
            self.health.problem(key, Level.WARN, str(error), for_s=10.0)
            return
        if lens is None:
            return
        geometry = self._registration.geometry
        if geometry is None:
            self._stated_lenses[modality] = lens
            if len(self._stated_lenses) == 2:
                self._use_stated_lenses()
            return
        mismatch = lens_mismatch(geometry, modality, lens)
        if mismatch:
            self.health.problem(key, Level.WARN, mismatch, for_s=10.0)
        else:
            self.health.clear_problem(key)

    def _use_stated_lenses(self) -> None:
        rgb, thermal = self._stated_lenses["rgb"], self._stated_lenses["thermal"]
        self._registration.use(RgbtCalibration(rgb, thermal, Extrinsics(), None, "camera_info"))
        self.health.set("calibration", "lenses of camera_info")
        self.health.problem(
            "pose",
            Level.WARN,
            "no calibration: lenses are camera_info's and both cameras are taken to look the same "
            "way; run 'windhover calibrate' and set the parameter calibration",
        )

    def _run(self, stopping: threading.Event) -> None:
        try:
            while not stopping.is_set():
                if not self._step(stopping):
                    return
        except Exception as error:
            self.get_logger().error(f"unexpected: {error!r}")
            self.fail(error)

    def _step(self, stopping: threading.Event) -> bool:
        """Publish what the stream has; False at its end."""
        for match in self._stream.next(_POLL_S):
            self._hand_on(match)
            if stopping.is_set():
                return False
        if self._stream.ended:
            self.health.set_active(False)
            for link in self.outputs:
                link.close()
            self.ended.set()
        return not self._stream.ended

    def _hand_on(self, match: Match) -> None:
        before = time.monotonic_ns()
        frame = self._register(match)
        if frame is None:
            return
        after = time.monotonic_ns()
        if self._pictures.get_subscription_count():
            self._pictures.publish(image_message(frame))
        if self._info.get_subscription_count():
            self._info.publish(camera_info(frame, self._lens(match)))
        record = self.health.timings.record
        record("register", after - before)
        record("publish", time.monotonic_ns() - after)
        self.health.frame(self.get_clock().now().nanoseconds - frame.stamp_ns)
        for link in self.outputs:
            link.put(frame)

    def _lens(self, match: Match) -> CameraCalibration | None:
        if match.rgb is None:
            return None
        size = match.rgb.width, match.rgb.height
        return self._registration.camera(size, full_size_of(match.rgb))

    def _register(self, match: Match) -> Frame | None:
        pose = self.drone.pose()
        composed = self._composer.compose(match, pose)
        if composed.problem is not None:
            self._refuse(composed.problem)
            return composed.frame
        self.health.clear_problem("frame")
        if self._refining is not None and composed.pair is not None:
            self._refining.offer(composed.pair, pose)
        substituted = self._registration.substituted
        if substituted and match.thermal is not None:
            self.health.problem("registration", Level.WARN, substituted, for_s=5.0)
        else:
            self.health.clear_problem("registration")
        return composed.frame

    def _refuse(self, error: Exception) -> None:
        self.refusal = str(error)
        self.health.count("frames_refused")
        self.health.problem("frame", Level.ERROR, str(error), for_s=10.0)
        self.get_logger().error(str(error), throttle_duration_sec=10.0)

    def _report_stale(self) -> None:
        due = self.state == "active" and not self.ended.is_set() and not self.intake.lossless
        consequence = {"thermal": "RGB goes on alone", "rgb": self._without_rgb()}
        for modality, stale in self._stream.stale(time.monotonic_ns()).items():
            self.health.set(f"{modality}_state", "stale" if stale else "fresh")
            if stale and due and modality in self.params.cameras:
                self.health.problem(
                    f"stale_{modality}",
                    Level.WARN,
                    f"no {modality} frame for {self.params.thermal_timeout_s:g} s: "
                    f"{consequence[modality]}; check that camera",
                )
            else:
                self.health.clear_problem(f"stale_{modality}")

    def _without_rgb(self) -> str:
        return "thermal goes on alone" if self.params.thermal_alone else "nothing goes on"


def _or_unknown(metres: float | None) -> str:
    return "unknown" if metres is None else f"{metres:.1f}"


def main() -> int:
    """Run the node in its own process."""
    return run_node(PairingNode)


if __name__ == "__main__":
    raise SystemExit(main())
