"""Camera geometry: lenses, attitudes, poses and the ground plane.

Camera frames are optical (``x`` right, ``y`` down, ``z`` forward, REP 103).
Pixels here follow OpenCV and ROS's CameraInfo: the *centre* of the top-left
pixel is (0, 0). (Boxes elsewhere count from that pixel's outer corner.)

Two cameras beside each other see a plane through a homography: points on the
ground are registered exactly, points above it are off by their parallax, which at
40 m and a baseline of 6 cm is a few hundredths of a pixel for a person's head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.calibration import CameraCalibration
from windhover.errors import ConfigError

Floats = NDArray[np.float64]
Quaternion = tuple[float, float, float, float]

#: OpenCV's default of five steps leaves errors of pixels in the corners of a wide lens.
_UNTIL_EXACT = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, 100, 1e-10)
#: Bisection steps that exhaust a float64's mantissa.
_HALVINGS = 53


def _no_distortion() -> Floats:
    return np.zeros(5)


@dataclass(frozen=True, slots=True)
class Lens:
    """A camera's intrinsics, by ROS's and OpenCV's distortion models.

    Attributes:
        width: pixels.
        height: pixels.
        matrix: ``(3, 3)`` camera matrix; principal point from the centre of the
            top-left pixel.
        distortion: ``(5,)`` k1, k2, p1, p2, k3 of ``plumb_bob``; ``(8,)``, ``(12,)`` or
            ``(14,)`` of ``rational_polynomial`` with thin prism and tilt; ``(4,)`` k1 to
            k4 of ``equidistant``.
        fisheye: the model is ``equidistant`` (Kannala and Brandt, "A Generic Camera Model
            and Calibration Method", TPAMI 2006).
    """

    width: int
    height: int
    matrix: Floats
    distortion: Floats = field(default_factory=_no_distortion)
    fisheye: bool = False

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
    def of(cls, calibration: CameraCalibration) -> Lens:
        """The lens that a calibration describes."""
        fisheye = calibration.model == "equidistant"
        distortion = calibration.d
        if len(distortion) < 5 and not fisheye:
            distortion = np.append(distortion, np.zeros(5 - len(distortion)))
        return cls(calibration.width, calibration.height, calibration.k, distortion, fisheye)

    def as_calibration(self, name: str) -> CameraCalibration:
        """For a calibration file."""
        model = "plumb_bob" if len(self.distortion) <= 5 else "rational_polynomial"
        if self.fisheye:
            model = "equidistant"
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
        """Whether the lens has no distortion: straight lines stay straight."""
        return not self.fisheye and not self.distortion.any()

    def scaled(self, width: int, height: int) -> Lens:
        """The same lens on another grid of the same view, such as a resized image."""
        x, y = width / self.width, height / self.height
        # Resizing keeps outer corners in place, half a pixel from the pixel centres.
        grid = np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2], [0, 0, 1]])
        return Lens(width, height, grid @ self.matrix, self.distortion, self.fisheye)

    def rays(self, pixels: Floats) -> Floats:
        """Directions that ``(N, 2)`` pixels look in, ``(N, 3)`` with ``z`` 1.

        A pixel beyond what a fisheye lens shows in front of the camera gives NaN.
        """
        if self.is_ideal:
            flat = np.column_stack([pixels, np.ones(len(pixels))])
            return np.asarray(flat @ np.linalg.inv(self.matrix).T, np.float64)
        if self.fisheye:
            flat = np.column_stack([pixels, np.ones(len(pixels))]) @ np.linalg.inv(self.matrix).T
            radius = np.hypot(flat[:, 0], flat[:, 1])
            slope = np.tan(_angle_of_radius(radius, self.distortion))
            scale = np.divide(slope, radius, out=np.ones_like(radius), where=radius > 0.0)
            return np.column_stack([flat[:, :2] * scale[:, None], np.ones(len(pixels))])
        bent = np.ascontiguousarray(pixels, np.float64)[:, None]
        points = cv2.undistortPoints(
            bent, self.matrix, self.distortion, None, None, None, _UNTIL_EXACT
        )
        return np.column_stack([points[:, 0], np.ones(len(pixels))])

    def project(self, rays: Floats) -> Floats:
        """Pixels ``(N, 2)`` of ``(N, 3)`` points or directions of the camera's frame.

        Points behind the lens, or beyond the widest angle of a fisheye, become NaN.
        """
        ahead = rays[:, 2] > 1e-9
        safe = np.where(ahead[:, None], rays, [0.0, 0.0, 1.0])
        if self.is_ideal:
            flat = safe @ self.matrix.T
            return np.where(ahead[:, None], flat[:, :2] / flat[:, 2:], np.nan)
        if self.fisheye:
            side = np.hypot(safe[:, 0], safe[:, 1])
            angle = np.arctan2(side, safe[:, 2])
            radius = _radius_of_angle(angle, self.distortion)
            radius[angle > _widest_angle(self.distortion)] = np.nan
            scale = np.divide(radius, side, out=1.0 / safe[:, 2], where=side > 0.0)
            flat = np.column_stack([safe[:, :2] * scale[:, None], np.ones(len(safe))])
            return np.where(ahead[:, None], (flat @ self.matrix.T)[:, :2], np.nan)
        zero = np.zeros(3)
        bent = cv2.projectPoints(safe[:, None], zero, zero, self.matrix, self.distortion)[0]
        return np.where(ahead[:, None], bent[:, 0], np.nan)


def _radius_of_angle(angle: Floats, coefficients: Floats) -> Floats:
    """Distance from the axis on a fisheye's image plane of focal length 1."""
    square = np.square(angle)
    k1, k2, k3, k4 = coefficients
    return np.asarray(
        angle * (1.0 + square * (k1 + square * (k2 + square * (k3 + square * k4)))), np.float64
    )


def _widest_angle(coefficients: Floats) -> float:
    """Angle up to which a fisheye's distance from the axis grows, at most 90 degrees."""
    k1, k2, k3, k4 = coefficients
    turns = np.roots([9 * k4, 7 * k3, 5 * k2, 3 * k1, 1.0])
    real = turns.real[(np.abs(turns.imag) < 1e-9) & (turns.real > 0.0)]
    return min(math.pi / 2, math.sqrt(real.min(initial=math.inf)))


def _angle_of_radius(radius: Floats, coefficients: Floats) -> Floats:
    """The inverse of :func:`_radius_of_angle`, by bisection; NaN beyond the widest angle."""
    widest = _widest_angle(coefficients)
    low, high = np.zeros_like(radius), np.full_like(radius, widest)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        less = _radius_of_angle(middle, coefficients) < radius
        low, high = np.where(less, middle, low), np.where(less, high, middle)
    shown = radius <= _radius_of_angle(np.array([widest]), coefficients)
    # At a right angle the ray has no slope.
    return np.where(shown & (high < math.pi / 2 - 1e-6), 0.5 * (low + high), np.nan)


@dataclass(frozen=True, slots=True)
class Extrinsics:
    """Pose of the thermal camera relative to the RGB camera.

    Attributes:
        rotation: ``(3, 3)`` takes directions of the RGB frame to the thermal one.
        translation: ``(3,)`` metres: origin of the RGB frame in the thermal frame, so that
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


def rotation_of(quaternion: Quaternion) -> Floats:
    """``(3, 3)`` rotation matrix of a quaternion x, y, z, w of any length.

    Raises:
        ConfigError: it has no length or holds a value that is not a number.
    """
    length = math.hypot(*quaternion)
    if not (math.isfinite(length) and length > 1e-6):
        raise ConfigError(f"attitude {quaternion} is no quaternion")
    x, y, z, w = (part / length for part in quaternion)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def body_to_optical(pitch_deg: float) -> Floats:
    """``(3, 3)`` from body axes (forward, left, up) to a camera's optical frame.

    Args:
        pitch_deg: tilt of the camera's axis below the drone's nose; 0 where the
            attitude is the camera's own, as a gimbal gives it.
    """
    cos, sin = math.cos(math.radians(pitch_deg)), math.sin(math.radians(pitch_deg))
    return np.array([[0.0, -1.0, 0.0], [-sin, 0.0, -cos], [cos, 0.0, -sin]])


def down_of_attitude(quaternion: Quaternion, pitch_deg: float) -> Floats:
    """Straight down in the frame of a camera that is fixed to a drone.

    Args:
        quaternion: x, y, z, w of the drone's attitude: body (``x`` forward, ``y`` left,
            ``z`` up) to a world whose ``z`` is up, as REP 103 and sensor_msgs/Imu have it.
        pitch_deg: as :func:`body_to_optical` takes it.

    Returns:
        ``(3,)`` unit vector.

    Raises:
        ConfigError: as :func:`rotation_of`.
    """
    return np.asarray(-body_to_optical(pitch_deg) @ rotation_of(quaternion)[2], np.float64)


def ray_map(extrinsics: Extrinsics, altitude_m: float, down: Floats) -> Floats:
    """Matrix from RGB rays to thermal rays through the ground plane.

    Args:
        extrinsics: RGB frame to thermal frame.
        altitude_m: height of the RGB camera over the ground, metres; infinite for
            a scene so far away that the baseline has no effect.
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
    """Homography of the ground plane from RGB pixels to thermal pixels.

    Lens distortion is ignored: this is for pictures without any.

    Args:
        rgb: lens of the RGB camera.
        thermal: lens of the thermal camera.
        extrinsics: RGB frame to thermal frame.
        altitude_m: height of the RGB camera over the ground, metres.
        down: ``(3,)`` unit vector straight down, RGB optical frame; from an IMU or
            :func:`down_of_pitch`.

    Returns:
        ``(3, 3)`` homography from RGB pixels to thermal pixels, ``[2, 2]`` = 1, as for
        ``cv2.warpPerspective(thermal, h, rgb_size, flags=WARP_INVERSE_MAP)``.

    Raises:
        ConfigError: the altitude is not above 0.
    """
    between = ray_map(extrinsics, altitude_m, down)
    matrix = thermal.matrix @ between @ np.linalg.inv(rgb.matrix)
    return np.asarray(matrix / matrix[2, 2])
