"""The pairing node: both cameras in, ``rgbt/image`` out.

Wiring only. Which thread does what: images arrive on the executor's thread (or
from camera nodes in this process) and go into the intake; one worker pairs,
registers and hands on.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, Image

from windhover.calibration import CameraCalibration
from windhover.errors import CalibrationError, EncodingError
from windhover.geometry import Extrinsics, Lens
from windhover.health.latency import LatencyStats
from windhover.pairing.files import RgbtCalibration, open_calibration
from windhover.pairing.matching import Match, Pairer
from windhover.pairing.refine import RefineLimits, Refiner
from windhover.pairing.registration import Registration
from windhover.types import Frame, RgbtFrame
from windhover_pairing.attitude import DroneState
from windhover_pairing.intake import Intake, Which
from windhover_pairing.params import PairingParams
from windhover_pairing.refining import BackgroundRefiner
from windhover_ros import qos, topics
from windhover_ros.diagnostics import Level
from windhover_ros.drone import listen_to_altitude, listen_to_attitude
from windhover_ros.images import camera_info, frame_from_image, image_message
from windhover_ros.lifecycle import StageNode
from windhover_ros.links import Sink
from windhover_ros.runner import run_node

_PATIENCE_S = 0.2
# Longest wait for a worker that is to stop; one that hangs is left to itself.
_STOP_S = 1.0
# Share of the focal length by which two calibrations of one lens may differ.
_SAME_LENS = 0.02


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
            and all of it is handed on.
        refusal: why the last frame that was refused can't be used.
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
        self._drone = DroneState(self.params.camera_pitch_deg)
        self._pairer = Pairer(self.params.policy(self.intake.lossless))
        self._registration = Registration(None)
        self._refining: BackgroundRefiner | None = None
        self._infos: dict[str, Lens] = {}
        self._errors = LatencyStats()
        self._offsets = LatencyStats()
        self._rates = {"rgb": LatencyStats(64), "thermal": LatencyStats(64)}
        self._received = {"rgb": 0, "thermal": 0}
        self._last_rgb: Frame | None = None
        self._count = 0
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._pictures = self.advertise(Image, topics.RGBT_IMAGE, qos.image())
        self._info = self.advertise(CameraInfo, topics.RGBT_CAMERA_INFO, qos.image())
        listen_to_altitude(self, self.params, self._drone.altitude)
        listen_to_attitude(self, self.params, lambda _, attitude: self._drone.attitude(attitude))
        for which, side in (("rgb", self.intake.rgb), ("thermal", self.intake.thermal)):
            if which not in self.params.cameras:
                side.close()
            elif not self._linked:
                self._listen_to_camera(which)

    def configure(self) -> None:
        """Read the calibration."""
        params = self.params
        geometry = open_calibration(params.calibration)
        self._registration = Registration(
            geometry, params.nominal_altitude_m, params.output_width, params.tone
        )
        self._infos.clear()
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
        # Its own, so that a worker that was stuck ends when it comes back.
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
        now = time.monotonic_ns()
        pairer, health = self._pairer, self.health
        for name in ("pairs", "rgb_alone", "thermal_alone", "late", "resets"):
            health.set(name, getattr(pairer.counts, name))
        for name, rate in self._rates.items():
            health.set(f"{name}_rate_hz", f"{rate.rate_hz():.2f}")
        error = self._errors.summary()
        if error.mean_ms is not None and error.p99_ms is not None and error.worst_ms is not None:
            health.set("pairing_error_mean_ms", f"{error.mean_ms:.2f}")
            health.set("pairing_error_p99_ms", f"{error.p99_ms:.2f}")
            health.set("pairing_error_worst_ms", f"{error.worst_ms:.2f}")
            health.set("thermal_offset_mean_ms", f"{self._offsets.summary().mean_ms:.2f}")
        health.set("tolerance_ms", f"{pairer.tolerance_ns / 1e6:.2f}")
        health.set("registration", self._registration.in_use)
        health.set("maps_rebuilt", self._registration.rebuilt)
        if self._refining is not None:
            refiner = self._refining.refiner
            health.set("refined_deg", f"{refiner.turned_deg:.4f}")
            health.set("refine_steps", refiner.steps)
            health.set("refine_refused", refiner.refused)
        health.set("altitude_m", _or_unknown(self._drone.altitude_m))
        health.set("attitude", "known" if self._drone.attitude_known else "unknown, taken as level")
        health.set("dropped", self.intake.dropped)
        self._tell_stale(now)

    def facts(self) -> dict[str, str]:
        """What became of the pairs of a run, for its record."""
        counts = self._pairer.counts
        worst = self._errors.summary().worst_ms
        return {
            "pairs": str(counts.pairs),
            "rgb_alone": str(counts.rgb_alone),
            "pairing_error_worst_ms": "" if worst is None else f"{worst:.2f}",
            "registration": self._registration.in_use,
        }

    def _listen_to_camera(self, which: Which) -> None:
        link = self.intake.rgb if which == "rgb" else self.intake.thermal

        def take(message: Image) -> None:
            before = time.monotonic_ns()
            try:
                frame = frame_from_image(message, self._received[which])
            except EncodingError as error:
                self._refuse(error)
                return
            self._received[which] += 1
            self.health.timings.record("convert", time.monotonic_ns() - before)
            link.put(frame)

        self.listen(Image, topics.camera_image(which), take, qos.image())
        self.listen(
            CameraInfo,
            topics.camera_info(which),
            lambda message: self._on_info(which, message),
            qos.image(),
        )

    def _on_info(self, which: Which, info: CameraInfo) -> None:
        """Hold a camera's own calibration against ours, or take it where we have none."""
        if not any(info.k):
            return
        theirs = Lens(info.width, info.height, np.array(info.k).reshape(3, 3), _bent(info))
        geometry = self._registration.geometry
        if geometry is None:
            self._infos[which] = theirs
            if len(self._infos) == 2:
                self._take_infos(self._infos["rgb"], self._infos["thermal"])
            return
        ours = getattr(geometry, which, None)
        if ours is None:
            return
        off = np.abs(ours.matrix - theirs.matrix).max()
        if theirs.size != ours.size or off > _SAME_LENS * ours.matrix[0, 0]:
            self.health.problem(
                f"info_{which}",
                Level.WARN,
                f"camera_info of {which} ({_in_words(theirs)}) is not what "
                f"{geometry.origin} says ({_in_words(ours)}); calibrate "
                "again or correct the camera's file",
                for_s=10.0,
            )
        else:
            self.health.clear_problem(f"info_{which}")

    def _take_infos(self, rgb: Lens, thermal: Lens) -> None:
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
        """Take and hand on what there is; False at the end of the stream that leads."""
        pairer, intake = self._pairer, self.intake
        due = pairer.due_ns()
        wait_s = _PATIENCE_S
        if due is not None:
            wait_s = min(wait_s, max(0.0, (due - time.monotonic_ns()) / 1e9))
        arrival = intake.take(wait_s)
        if arrival is not None:
            self._rates[arrival.which].record(0, arrival.at_ns)
            add = pairer.add_rgb if arrival.which == "rgb" else pairer.add_thermal
            add(arrival.frame, arrival.at_ns)
        if intake.rgb.ended:
            pairer.end_rgb()
        if intake.thermal.ended:
            pairer.end_thermal()
        for match in pairer.take(time.monotonic_ns()):
            self._hand_on(match)
            if stopping.is_set():
                return False
        goes_on_alone = pairer.policy.thermal_alone and not intake.thermal.ended
        if intake.rgb.ended and not pairer.undecided and not goes_on_alone:
            # A thermal camera that goes on must not wait for room.
            intake.thermal.close()
            self.health.set_active(False)
            for link in self.outputs:
                link.close()
            self.ended.set()
            return False
        return True

    def _hand_on(self, match: Match) -> None:
        if match.offset_ns is not None:
            self._errors.record(abs(match.offset_ns))
            self._offsets.record(match.offset_ns)
        before = time.monotonic_ns()
        frame = self._register(match)
        if frame is None:
            return
        after = time.monotonic_ns()
        self._count += 1
        if self._pictures.get_subscription_count():
            self._pictures.publish(image_message(frame))
        # Also where nobody takes the pictures: by it others see that there are any.
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
        return self._registration.camera((match.rgb.width, match.rgb.height))

    def _register(self, match: Match) -> Frame | None:
        """One picture of a match; with the thermal plane empty where it can't be used."""
        rgb = match.rgb or self._black(match.thermal)
        if match.rgb is not None:
            self._last_rgb = match.rgb
        pose = self._drone.pose()
        try:
            frame = self._registration.frame(RgbtFrame(rgb, match.thermal), pose)
        except (CalibrationError, EncodingError) as error:
            self._refuse(error)
            return self._alone(rgb)
        self.health.clear_problem("frame")
        if self._refining is not None and match.rgb is not None:
            self._refining.offer(RgbtFrame(rgb, match.thermal), pose)
        if self._registration.substituted and match.thermal is not None:
            self.health.problem(
                "registration", Level.WARN, self._registration.substituted, for_s=5.0
            )
        else:
            self.health.clear_problem("registration")
        return frame

    def _alone(self, rgb: Frame) -> Frame | None:
        try:
            return self._registration.frame(RgbtFrame(rgb, None), self._drone.pose())
        except EncodingError as error:
            self._refuse(error)
            return None

    def _black(self, thermal: Frame | None) -> Frame:
        """The RGB frame of a thermal frame that goes alone."""
        assert thermal is not None
        last, geometry = self._last_rgb, self._registration.geometry
        width, height = thermal.width, thermal.height
        if last is not None:
            width, height = last.width, last.height
        elif geometry is not None:
            width, height = geometry.rgb_size
        image = np.zeros((height, width, 3), np.uint8)
        name = last.frame_id if last is not None else "rgb_camera"
        return Frame(image, "bgr8", thermal.stamp_ns, name, self._count)

    def _refuse(self, error: Exception) -> None:
        self.refusal = str(error)
        self.health.count("frames_refused")
        self.health.problem("frame", Level.ERROR, str(error), for_s=10.0)
        self.get_logger().error(str(error), throttle_duration_sec=10.0)

    def _tell_stale(self, now_ns: int) -> None:
        flowing = self.state == "active" and not self.ended.is_set() and not self.intake.lossless
        for name, stale, goes_on in (
            ("thermal", self._pairer.thermal_stale(now_ns), "RGB goes on alone"),
            ("rgb", self._pairer.rgb_stale(now_ns), self._without_rgb()),
        ):
            self.health.set(f"{name}_state", "stale" if stale else "fresh")
            if stale and flowing and name in self.params.cameras:
                self.health.problem(
                    f"stale_{name}",
                    Level.WARN,
                    f"no {name} frame for {self.params.thermal_timeout_s:g} s: {goes_on}; check "
                    "that camera",
                )
            else:
                self.health.clear_problem(f"stale_{name}")

    def _without_rgb(self) -> str:
        return "thermal goes on alone" if self.params.thermal_alone else "nothing goes on"


def _bent(info: CameraInfo) -> np.ndarray[Any, np.dtype[np.float64]]:
    bent = np.zeros(max(5, len(info.d)))
    bent[: len(info.d)] = info.d
    return bent


def _in_words(lens: Lens) -> str:
    return f"{lens.width}x{lens.height}, focal {lens.matrix[0, 0]:.0f}"


def _or_unknown(metres: float | None) -> str:
    return "unknown" if metres is None else f"{metres:.1f}"


def main() -> int:
    """Run the node as a process of its own."""
    return run_node(PairingNode)


if __name__ == "__main__":
    raise SystemExit(main())
