"""The pose between two cameras from points that both saw, in flight or beside a wall."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from scipy.optimize import least_squares

from windhover.errors import CalibrationError
from windhover.geometry import Extrinsics, Floats, Lens, ray_map
from windhover.pairing.board import PoseFit
from windhover.pairing.edges import EdgeCorrespondences


def fit_pose(
    seen: Sequence[EdgeCorrespondences],
    rgb: Lens,
    thermal: Lens,
    first: Extrinsics,
    baseline_sigma_m: float,
) -> PoseFit:
    """Fit the pose to correspondences on the ground.

    At one height the baseline can't be separated from a rotation, so it stays near the
    one measured with a ruler; pictures from several heights may move it.

    Args:
        seen: correspondences of one pair of pictures or more.
        rgb: lens of the RGB camera.
        thermal: lens of the thermal camera.
        first: pose to begin with, its translation as measured.
        baseline_sigma_m: how far each part of that translation may be off, metres.

    Raises:
        CalibrationError: there are no correspondences.
    """
    if not seen:
        raise CalibrationError(
            "no pair of pictures has edges in common: take a scene with roads, roofs or cars, "
            "both cameras in focus, and check altitude, pitch and fields of view"
        )
    rays = [rgb.rays(one.rgb_px) for one in seen]

    def pose(values: Floats) -> Extrinsics:
        turn = np.asarray(cv2.Rodrigues(values[:3])[0])
        return Extrinsics(turn @ first.rotation, values[3:])

    def off(values: Floats) -> Floats:
        extrinsics = pose(values)
        return np.concatenate(
            [
                thermal.project(ray @ ray_map(extrinsics, one.altitude_m, one.down).T)
                - one.thermal_px
                for ray, one in zip(rays, seen, strict=True)
            ]
        )

    # The points of a pair come from one homography, which has eight degrees of freedom.
    weights = np.concatenate([np.full(len(ray), np.sqrt(min(1.0, 4 / len(ray)))) for ray in rays])

    def cost(values: Floats) -> Floats:
        drift = (values[3:] - first.translation) / baseline_sigma_m
        spots = np.nan_to_num(off(values), nan=1e3) * weights[:, None]
        return np.concatenate([spots.ravel(), drift])

    start = np.concatenate([np.zeros(3), first.translation])
    # Points on a roof or a moving car are not on the ground: soft_l1 tolerates some.
    found = least_squares(cost, start, loss="soft_l1", x_scale="jac")
    return PoseFit(pose(found.x), off(found.x))


def fit_homography(seen: EdgeCorrespondences) -> Floats:
    """One homography, ``(3, 3)``, RGB pixels to thermal ones, for one pair of pictures' height.

    Raises:
        CalibrationError: the points do not determine it.
    """
    matrix, _ = cv2.findHomography(seen.rgb_px, seen.thermal_px, cv2.LMEDS)
    if matrix is None:
        raise CalibrationError("the points that both pictures show do not determine a homography")
    return np.asarray(matrix, np.float64)
