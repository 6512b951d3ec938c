"""Refines a calibration in flight, because mounts shift with heat and vibration.

Slow and bounded on purpose: each step is a small fraction of a pixel, their sum is
limited, and a pair without common edges changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from windhover.geometry import Extrinsics, Floats, ray_map
from windhover.pairing.edges import EdgeCorrespondences, align, apply_homography, coverage_mask
from windhover.pairing.files import RgbtCalibration
from windhover.pairing.fitting import fit_pose
from windhover.pairing.registration import Picture, Pose, ThermalWarp


@dataclass(frozen=True, slots=True)
class RefineLimits:
    """How far refinement may go.

    Attributes:
        step_deg: largest rotation of one step.
        total_deg: largest rotation away from the calibration on file.
        min_correlation: of the edges; with less no step is taken.
    """

    step_deg: float = 0.02
    total_deg: float = 1.0
    min_correlation: float = 0.4


class Refiner:
    """Rotates the thermal camera of a calibration until the pictures' edges match.

    Args:
        calibration: on file; its baseline and lenses stay.
        limits: of the refinement.

    Attributes:
        calibration: as refined so far.
        steps: steps taken.
        refused: pairs whose edges had too little in common.
    """

    def __init__(self, calibration: RgbtCalibration, limits: RefineLimits | None = None) -> None:
        self.calibration = calibration
        self.limits = limits or RefineLimits()
        self.steps = 0
        self.refused = 0
        self._first = calibration.extrinsics.rotation

    @property
    def turned_deg(self) -> float:
        """Rotation away from the calibration on file, degrees."""
        return _angle_deg(self.calibration.extrinsics.rotation @ self._first.T)

    def step(self, bgr: Picture, thermal: Picture, pose: Pose) -> bool:
        """Take one step from a pair of pictures.

        Args:
            bgr: ``(H, W, 3)`` uint8 of the RGB lens's size.
            thermal: ``(h, w)`` uint8 of the thermal lens's size.
            pose: of the drone; without an altitude nothing is done.

        Returns:
            Whether the calibration has changed.
        """
        if pose.altitude_m is None:
            return False
        seen = self._find_correspondences(bgr, thermal, pose)
        if seen is None or seen.correlation < self.limits.min_correlation:
            self.refused += 1
            return False
        now = self.calibration
        # The baseline stays: at one height it can't be separated from a rotation.
        found = fit_pose([seen], now.rgb, now.thermal, now.extrinsics, 1e-6).extrinsics
        turn = found.rotation @ now.extrinsics.rotation.T
        rotation = _limit_turn(turn, self.limits.step_deg) @ now.extrinsics.rotation
        if _angle_deg(rotation @ self._first.T) > self.limits.total_deg:
            self.refused += 1
            return False
        pose_now = Extrinsics(rotation, now.extrinsics.translation)
        self.calibration = replace(now, extrinsics=pose_now)
        self.steps += 1
        return True

    def _find_correspondences(
        self, bgr: Picture, thermal: Picture, pose: Pose
    ) -> EdgeCorrespondences | None:
        now = self.calibration
        assert pose.altitude_m is not None
        # Half the thermal grid: a tenth of a pixel there is enough for so small a step.
        width = now.thermal.width // 2
        grid = now.rgb.scaled(width, round(now.rgb.height * width / now.rgb.width))
        between = ray_map(now.extrinsics, pose.altitude_m, pose.down)
        warp = ThermalWarp(grid, now.thermal)
        small = cv2.resize(bgr, grid.size, interpolation=cv2.INTER_AREA)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)
        cover = coverage_mask(warp, thermal.shape, between)
        found = align(grey, warp.apply(thermal, between), cover, rigid=True)
        if found is None:
            return None
        x, y = np.meshgrid(
            np.linspace(0.2, 0.8, 5) * grid.width, np.linspace(0.2, 0.8, 5) * grid.height
        )
        spots = np.column_stack([x.ravel(), y.ravel()])
        moved = apply_homography(found.matrix, spots)
        return EdgeCorrespondences(
            now.rgb.project(grid.rays(spots)),
            now.thermal.project(grid.rays(moved) @ between.T),
            pose.altitude_m,
            pose.down,
            found.correlation,
        )


def _angle_deg(rotation: Floats) -> float:
    return float(np.degrees(np.linalg.norm(cv2.Rodrigues(rotation)[0])))


def _limit_turn(turn: Floats, max_deg: float) -> Floats:
    """The rotation, limited to an angle."""
    vector = np.asarray(cv2.Rodrigues(turn)[0])
    angle = float(np.degrees(np.linalg.norm(vector)))
    return np.asarray(cv2.Rodrigues(vector * min(1.0, max_deg / max(angle, 1e-12)))[0])
