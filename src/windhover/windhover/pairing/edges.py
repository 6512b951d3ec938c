"""Registers an RGB and a thermal picture of one scene by their edges.

Temperature and brightness share only the places where they change. So the magnitudes
of both gradients are correlated (ECC: Evangelidis & Psarakis, IEEE TPAMI 30, 2008),
from a coarse grid to a fine one.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.geometry import Extrinsics, Floats, Lens, ray_map
from windhover.pairing.registration import Picture, Pose, ThermalWarp

_BLUR_PX = 1.5
_ECC_BLUR = 5
_UNTIL = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 60, 1e-5)
_MIN_COVERAGE = 0.1


@dataclass(frozen=True, slots=True)
class Alignment:
    """Displacement of a thermal picture on a grid.

    Attributes:
        matrix: ``(3, 3)`` takes a pixel of the grid to the pixel at which the
            thermal picture shows the same point.
        correlation: of the edges, -1 to 1.
    """

    matrix: Floats
    correlation: float


@dataclass(frozen=True, slots=True)
class EdgeCorrespondences:
    """The same spots of the ground in both pictures of one instant.

    Attributes:
        rgb_px: ``(N, 2)``.
        thermal_px: ``(N, 2)``.
        altitude_m: of the RGB camera.
        down: ``(3,)`` in its frame.
        correlation: of the edges that they were found by.
    """

    rgb_px: Floats
    thermal_px: Floats
    altitude_m: float
    down: Floats
    correlation: float


def edge_strength(grey: Picture) -> NDArray[np.float32]:
    """Gradient magnitude, ``(H, W)`` float32, mostly in 0..1."""
    soft = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), _BLUR_PX)
    slopes = cv2.Scharr(soft, cv2.CV_32F, 1, 0), cv2.Scharr(soft, cv2.CV_32F, 0, 1)
    # The root, so that a few strong edges do not outweigh all the others.
    strength = np.sqrt(cv2.magnitude(*slopes))
    return np.asarray(strength / max(1e-6, float(np.percentile(strength, 99))), np.float32)


def align(
    grey: Picture, thermal: Picture, cover: NDArray[np.uint8], rigid: bool = False
) -> Alignment | None:
    """Find how a thermal picture is displaced against an RGB one on the same grid.

    Args:
        grey: ``(H, W)`` uint8.
        thermal: ``(H, W)`` uint8.
        cover: ``(H, W)`` uint8, above 0 where the thermal picture is.
        rigid: look for a shift and a turn only, not for a homography.

    Returns:
        The alignment, or ``None`` where the edges have too little in common.
    """
    if np.count_nonzero(cover) < _MIN_COVERAGE * cover.size:
        return None
    strengths = edge_strength(grey), edge_strength(thermal)
    matrix: NDArray[np.float32] = np.eye(3, dtype=np.float32)
    correlation = 0.0
    for step in (4, 2, 1):
        motion = cv2.MOTION_HOMOGRAPHY if step == 1 and not rigid else cv2.MOTION_EUCLIDEAN
        size = grey.shape[1] // step, grey.shape[0] // step
        first, second = (cv2.resize(s, size, interpolation=cv2.INTER_AREA) for s in strengths)
        mask = cv2.resize(cover, size, interpolation=cv2.INTER_NEAREST)
        scale = np.diag([1 / step, 1 / step, 1]).astype(np.float32)
        start = scale @ matrix @ np.linalg.inv(scale)
        rows = 3 if motion == cv2.MOTION_HOMOGRAPHY else 2
        try:
            correlation, found = cv2.findTransformECC(
                first, second, start[:rows].copy(), motion, _UNTIL, mask, _ECC_BLUR
            )
        except cv2.error:
            # It did not converge: the pictures show different scenes.
            return None
        full = np.eye(3, dtype=np.float32)
        full[:rows] = found
        matrix = np.asarray(np.linalg.inv(scale) @ full @ scale, np.float32)
    return Alignment(matrix.astype(np.float64) / matrix[2, 2], float(correlation))


def match(
    bgr: Picture, thermal: Picture, rgb: Lens, thermal_lens: Lens, guess: Extrinsics, pose: Pose
) -> EdgeCorrespondences | None:
    """Find the same spots in a pair of pictures of the ground.

    Args:
        bgr: ``(H, W, 3)`` uint8.
        thermal: ``(h, w)`` uint8.
        rgb: lens of the RGB camera.
        thermal_lens: lens of the thermal camera.
        guess: the pose between them, to within a few degrees.
        pose: of the drone; its altitude is known.

    Returns:
        The spots, or ``None`` where the edges have too little in common.
    """
    assert pose.altitude_m is not None
    # No finer than the thermal picture: more pixels hold no more detail.
    width = min(rgb.width, thermal_lens.width)
    grid = rgb.scaled(width, round(rgb.height * width / rgb.width))
    grey = cv2.cvtColor(
        cv2.resize(bgr, grid.size, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY
    )
    between = ray_map(guess, pose.altitude_m, pose.down)
    warp = ThermalWarp(grid, thermal_lens)
    plane = warp.apply(thermal, between)
    cover = coverage_mask(warp, thermal.shape, between)
    found = align(np.asarray(grey, np.uint8), plane, cover)
    if found is None:
        return None
    spots = _grid_points(cover)
    moved = apply_homography(found.matrix, spots)
    return EdgeCorrespondences(
        rgb.project(grid.rays(spots)),
        thermal_lens.project(grid.rays(moved) @ between.T),
        pose.altitude_m,
        pose.down,
        found.correlation,
    )


def coverage_mask(warp: ThermalWarp, shape: tuple[int, ...], between: Floats) -> NDArray[np.uint8]:
    """``(H, W)`` uint8, above 0 well inside what the thermal camera sees."""
    full = warp.apply(np.full(shape[:2], 255, np.uint8), between)
    inside = (full == 255).astype(np.uint8)
    return np.asarray(cv2.erode(inside, np.ones((15, 15), np.uint8)), np.uint8)


def apply_homography(matrix: Floats, pixels: Floats) -> Floats:
    """``(N, 2)`` pixels mapped by a homography."""
    flat = np.column_stack([pixels, np.ones(len(pixels))]) @ matrix.T
    return np.asarray(flat[:, :2] / flat[:, 2:])


def _grid_points(cover: NDArray[np.uint8]) -> Floats:
    """``(N, 2)`` pixels, evenly spaced over the mask."""
    height, width = cover.shape
    x, y = np.meshgrid(np.arange(8, width, 24), np.arange(8, height, 24))
    inside = cover[y, x] > 0
    return np.column_stack([x[inside], y[inside]]).astype(np.float64)
