"""Pinhole cameras over flat ground, and the flight that carries them.

World frame: ENU metres, ``z`` up, ground at ``z = 0`` (REP 103). Camera frame:
optical, ``x`` right, ``y`` down, ``z`` forward (REP 103 suffix ``_optical``).
Pixels: continuous, origin at the outer corner of the top-left pixel, so the
centre of that pixel is (0.5, 0.5).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from windhover_sim.config import SceneConfig

Floats = NDArray[np.float64]

#: Points nearer than this to the image plane are not projected, metres.
NEAR_M = 0.5


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """Ideal lens: no distortion, square pixels, principal point in the middle.

    Attributes:
        width: pixels.
        height: pixels.
        focal: focal length, pixels.
    """

    width: int
    height: int
    focal: float

    @classmethod
    def from_hfov(cls, size: tuple[int, int], hfov_deg: float) -> Intrinsics:
        """Lens of a horizontal field of view, degrees, on ``size`` (width, height)."""
        width, height = size
        return cls(width, height, width / 2 / math.tan(math.radians(hfov_deg) / 2))

    @property
    def matrix(self) -> Floats:
        """``(3, 3)`` camera matrix in continuous pixels."""
        return np.array(
            [[self.focal, 0, self.width / 2], [0, self.focal, self.height / 2], [0, 0, 1]]
        )


@dataclass(frozen=True, slots=True)
class Camera:
    """A camera at one instant.

    Attributes:
        intrinsics: its lens.
        position: ``(3,)`` world, metres.
        rotation: ``(3, 3)`` takes world directions to the optical frame.
    """

    intrinsics: Intrinsics
    position: Floats
    rotation: Floats

    def project(self, points: Floats) -> tuple[Floats, Floats]:
        """Project world points.

        Args:
            points: ``(..., 3)`` world, metres.

        Returns:
            ``(..., 2)`` continuous pixels and ``(...)`` depth along the optical
            axis, metres. Pixels mean nothing where depth is below ``NEAR_M``.
        """
        local = (points - self.position) @ self.rotation.T
        depth = local[..., 2]
        scale = self.intrinsics.focal / np.maximum(depth, NEAR_M)
        centre = np.array([self.intrinsics.width / 2, self.intrinsics.height / 2])
        return local[..., :2] * scale[..., None] + centre, depth

    def ground_to_image(self) -> Floats:
        """``(3, 3)`` homography from ground ``(X, Y, 1)``, metres, to pixels."""
        columns = np.column_stack(
            [self.rotation[:, 0], self.rotation[:, 1], -self.rotation @ self.position]
        )
        return np.asarray(self.intrinsics.matrix @ columns)

    def to_ground(self, pixels: Floats) -> Floats:
        """Where the rays of ``(N, 2)`` pixels meet the ground.

        Returns:
            ``(N, 2)`` world X, Y in metres; NaN for rays at or above the horizon.
        """
        centre = np.array([self.intrinsics.width / 2, self.intrinsics.height / 2])
        rays = np.column_stack([(pixels - centre) / self.intrinsics.focal, np.ones(len(pixels))])
        world = rays @ self.rotation
        with np.errstate(divide="ignore", invalid="ignore"):
            reach = np.where(world[:, 2] < -1e-9, -self.position[2] / world[:, 2], np.nan)
        return np.asarray(self.position[:2] + reach[:, None] * world[:, :2])


def look_rotation(yaw: float, pitch: float, roll: float) -> Floats:
    """``(3, 3)`` world-to-optical rotation.

    Args:
        yaw: heading of the view, radians anticlockwise from world x.
        pitch: tilt below the horizon, radians.
        roll: right side down, radians.
    """
    forward = np.array(
        [math.cos(yaw) * math.cos(pitch), math.sin(yaw) * math.cos(pitch), -math.sin(pitch)]
    )
    # Not crossed with world up: that would fail at pitch 90 degrees.
    right = np.array([math.sin(yaw), -math.cos(yaw), 0.0])
    down = np.cross(forward, right)
    cos, sin = math.cos(roll), math.sin(roll)
    return np.array([cos * right + sin * down, cos * down - sin * right, forward])


class Flight:
    """The drone's pose as a function of time, and the two cameras it carries.

    Drift and yaw are slow sums of sines, shake is a small fast one: each is a
    function of time, so any time can be requested in any order.
    """

    #: Thermal lens to RGB lens in the optical frame, metres.
    BASELINE_M = np.array([0.06, 0.0, 0.01])
    #: RGB axis against the thermal axis: yaw, pitch, roll in radians.
    MISALIGNMENT = np.radians([0.25, -0.15, 0.1])

    def __init__(self, config: SceneConfig, rng: np.random.Generator) -> None:
        self._config = config
        self._yaw = float(rng.uniform(0, 2 * math.pi))
        self._rate = rng.uniform([[0.25], [0.7], [20.0]], [[0.5], [1.1], [40.0]], (3, 6))
        self._phase = rng.uniform(0, 2 * math.pi, (3, 6))
        self._lens = {
            "thermal": Intrinsics.from_hfov(config.thermal_size, config.thermal_hfov_deg),
            "rgb": Intrinsics.from_hfov(config.rgb_size, config.rgb_hfov_deg),
        }

    @property
    def yaw(self) -> float:
        """Mean heading of the view, radians."""
        return self._yaw

    def camera(self, which: str, t: float) -> Camera:
        """Pose of the ``thermal`` or ``rgb`` camera at ``t`` seconds."""
        position, (yaw, pitch, roll) = self._pose(t)
        if which == "thermal":
            return Camera(self._lens[which], position, look_rotation(yaw, pitch, roll))
        rotation = look_rotation(yaw, pitch, roll)
        offset = rotation.T @ self.BASELINE_M
        d_yaw, d_pitch, d_roll = self.MISALIGNMENT
        rotation = look_rotation(yaw + d_yaw, pitch + d_pitch, roll + d_roll)
        return Camera(self._lens[which], position + offset, rotation)

    def _pose(self, t: float) -> tuple[Floats, tuple[float, float, float]]:
        config = self._config
        waves = np.sin(self._rate * t + self._phase) - np.sin(self._phase)
        slow, mid, shake = waves * config.motion
        pitch = math.radians(config.pitch_deg)
        # The ground point in the middle of the first frame is the world's origin.
        back = config.altitude_m / math.tan(pitch)
        heading = np.array([math.cos(self._yaw), math.sin(self._yaw)])
        side = np.array([-heading[1], heading[0]])
        reach = config.altitude_m / 40.0
        ahead = -back + config.speed_mps * t + reach * (1.2 * slow[0] + 0.25 * mid[0])
        across = reach * (1.2 * slow[1] + 0.25 * mid[1])
        up = config.altitude_m + reach * (0.4 * slow[2] + 0.08 * mid[2])
        yaw = self._yaw + math.radians(3.0 * slow[3] + 0.5 * mid[3] + 0.03 * shake[3])
        tilt = pitch + math.radians(0.8 * slow[4] + 0.2 * mid[4] + 0.03 * shake[4])
        roll = math.radians(0.8 * slow[5] + 0.2 * mid[5] + 0.02 * shake[5])
        position = np.array([*(heading * ahead + side * across), up])
        return position, (yaw, tilt, roll)
