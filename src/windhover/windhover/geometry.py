"""How a thermal picture lies on the RGB grid: lenses, poses and the ground plane.

Camera frames are optical (``x`` right, ``y`` down, ``z`` forward, REP 103).
Pixels here follow OpenCV and ROS's CameraInfo: the *centre* of the top-left
pixel is (0, 0). (Boxes elsewhere count from that pixel's outer corner.)

Two cameras beside each other see a plane through a homography: what is on the
ground lies right, what stands above it is off by its parallax, which at 40 m
and a baseline of 6 cm is a few hundredths of a pixel for a person's head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.calibration import CameraCalibration
from windhover.errors import CalibrationError, ConfigError

Floats = NDArray[np.float64]

#: OpenCV's own five steps leave whole pixels in the corners of a wide lens.
_UNTIL_EXACT = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 100, 1e-10)


def _no_distortion() -> Floats:
    return np.zeros(5)


@dataclass(frozen=True, slots=True)
class Lens:
    """A camera's intrinsics, OpenCV's model ``plumb_bob`` or ``rational_polynomial``.

    Attributes:
        width: pixels.
        height: pixels.
        matrix: ``(3, 3)`` camera matrix; principal point from the centre of the
            top-left pixel.
        distortion: ``(5,)`` or ``(8,)`` coefficients k1, k2, p1, p2, k3, ...
    """

    width: int
    height: int
    matrix: Floats
    distortion: Floats = field(default_factory=_no_distortion)

    @classmethod
    def from_hfov(cls, size: tuple[int, int], hfov_deg: float) -> Lens:
        """An ideal lens of a horizontal field of view, degrees, on ``(width, height)``."""
        width, height = size
        focal = width / 2 / math.tan(math.radians(hfov_deg) / 2)
        return cls(
            width,
            height,
            np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]]),
        )

    @classmethod
    def of(cls, calibration: CameraCalibration, origin: str) -> Lens:
        """The lens that a calibration file describes.

        Args:
            calibration: as read.
            origin: where it came from, for the message.

        Raises:
            CalibrationError: a fisheye, which has no ground homography.
        """
        if calibration.model == "equidistant":
            raise CalibrationError(
                f"calibration {origin} is of a fisheye (equidistant), which can't be registered; "
                "calibrate as plumb_bob or rational_polynomial"
            )
        bent = np.zeros(max(5, len(calibration.d)))
        bent[: len(calibration.d)] = calibration.d
        return cls(calibration.width, calibration.height, calibration.k, bent)

    def as_calibration(self, name: str) -> CameraCalibration:
        """For a calibration file."""
        model = "plumb_bob" if len(self.distortion) <= 5 else "rational_polynomial"
        projection = np.column_stack([self.matrix, np.zeros(3)])
        return CameraCalibration(
            self.width, self.height, self.matrix, self.distortion, model, np.eye(3), projection,
            name,
        )  # fmt: skip

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)`` in pixels."""
        return self.width, self.height

    @property
    def is_ideal(self) -> bool:
        """Whether straight lines stay straight."""
        return not self.distortion.any()

    def scaled(self, width: int, height: int) -> Lens:
        """The same lens on another grid of the same view, such as a resized image."""
        x, y = width / self.width, height / self.height
        # Resizing keeps outer corners in place, which are half a pixel off centres.
        grid = np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])
        return Lens(width, height, grid @ self.matrix, self.distortion)

    def rays(self, pixels: Floats) -> Floats:
        """Directions that ``(N, 2)`` pixels look in, ``(N, 3)`` with ``z`` 1."""
        if self.is_ideal:
            flat = np.column_stack([pixels, np.ones(len(pixels))])
            return np.asarray(flat @ np.linalg.inv(self.matrix).T, np.float64)
        bent = np.ascontiguousarray(pixels, np.float64)[:, None]
        points = cv2.undistortPoints(
            bent, self.matrix, self.distortion, None, None, None, _UNTIL_EXACT
        )
        return np.column_stack([points[:, 0], np.ones(len(pixels))])

    def project(self, rays: Floats) -> Floats:
        """Pixels ``(N, 2)`` of ``(N, 3)`` points or directions of the camera's frame.

        What is not in front of the lens becomes NaN.
        """
        ahead = rays[:, 2] > 1e-9
        safe = np.where(ahead[:, None], rays, [0.0, 0.0, 1.0])
        if self.is_ideal:
            flat = safe @ self.matrix.T
            return np.where(ahead[:, None], flat[:, :2] / flat[:, 2:], np.nan)
        zero = np.zeros(3)
        bent = cv2.projectPoints(safe[:, None], zero, zero, self.matrix, self.distortion)[0]
        return np.where(ahead[:, None], bent[:, 0], np.nan)


@dataclass(frozen=True, slots=True)
class Extrinsics:
    """Where the thermal camera is, seen from the RGB one.

    Attributes:
        rotation: ``(3, 3)`` takes directions of the RGB frame to the thermal one.
        translation: ``(3,)`` metres: the RGB lens in the thermal frame, so that
            ``x_thermal = rotation @ x_rgb + translation``.
    """

    rotation: Floats = field(default_factory=lambda: np.eye(3))
    translation: Floats = field(default_factory=lambda: np.zeros(3))


def down_of_pitch(pitch_deg: float, roll_deg: float = 0.0) -> Floats:
    """Straight down in a camera's frame.

    Args:
        pitch_deg: tilt of the optical axis below the horizon; 90 looks straight down.
        roll_deg: right side down.

    Returns:
        ``(3,)`` unit vector.
    """
    pitch, roll = math.radians(pitch_deg), math.radians(roll_deg)
    sideways = math.cos(pitch)
    return np.array([sideways * math.sin(roll), sideways * math.cos(roll), math.sin(pitch)])


def down_of_attitude(quaternion: tuple[float, float, float, float], pitch_deg: float) -> Floats:
    """Straight down in the frame of a camera that is fixed to a drone.

    Args:
        quaternion: x, y, z, w of the drone's attitude: body (``x`` forward, ``y`` left,
            ``z`` up) to a world whose ``z`` is up, as REP 103 and sensor_msgs/Imu have it.
        pitch_deg: tilt of the camera's axis below the drone's nose; 0 where the
            attitude is the camera's own, as a gimbal gives it.

    Returns:
        ``(3,)`` unit vector.

    Raises:
        ConfigError: the quaternion has no length or holds what is not a number.
    """
    x, y, z, w = quaternion
    length = math.hypot(x, y, z, w)
    if not (math.isfinite(length) and length > 1e-6):
        raise ConfigError(f"attitude {quaternion} is no quaternion")
    x, y, z, w = x / length, y / length, z / length, w / length
    # World down, taken back through the rotation.
    forward, left, up = 2 * (w * y - x * z), -2 * (y * z + w * x), 2 * (x * x + y * y) - 1
    cos, sin = math.cos(math.radians(pitch_deg)), math.sin(math.radians(pitch_deg))
    return np.array([-left, -sin * forward - cos * up, cos * forward - sin * up])


def ray_map(extrinsics: Extrinsics, altitude_m: float, down: Floats) -> Floats:
    """What takes RGB rays to thermal rays by way of the ground.

    Args:
        extrinsics: RGB frame to thermal frame.
        altitude_m: height of the RGB camera over the ground, metres; infinite for
            what is so far away that the baseline does not count.
        down: ``(3,)`` unit vector straight down, RGB optical frame.

    Returns:
        ``(3, 3)``: ``R + t down / altitude``.

    Raises:
        ConfigError: the altitude is not above 0.
    """
    if not altitude_m > 0:
        raise ConfigError(f"altitude {altitude_m} m: a ground plane needs one above 0")
    return extrinsics.rotation + np.outer(extrinsics.translation, down) / altitude_m


def ground_homography(
    rgb: Lens, thermal: Lens, extrinsics: Extrinsics, altitude_m: float, down: Floats
) -> Floats:
    """Where the ground that RGB pixels show is in the thermal picture.

    Lens distortion is left out: this is for pictures without any.

    Args:
        rgb: lens of the RGB camera.
        thermal: lens of the thermal camera.
        extrinsics: RGB frame to thermal frame.
        altitude_m: height of the RGB camera over the ground, metres.
        down: ``(3,)`` unit vector straight down, RGB optical frame; of an IMU or
            of :func:`down_of_pitch`.

    Returns:
        ``(3, 3)`` homography from RGB pixels to thermal pixels, ``[2, 2]`` = 1: what
        ``cv2.warpPerspective(thermal, h, rgb_size, flags=WARP_INVERSE_MAP)`` takes.

    Raises:
        ConfigError: the altitude is not above 0.
    """
    between = ray_map(extrinsics, altitude_m, down)
    matrix = thermal.matrix @ between @ np.linalg.inv(rgb.matrix)
    return np.asarray(matrix / matrix[2, 2])
