"""Lenses and the pose between two cameras from pictures of a heated checkerboard.

The board's dark squares absorb more sun, or are of another metal or foil, so that a
thermal camera sees them too, as warmer or as colder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import CalibrationError
from windhover.geometry import Extrinsics, Floats, Lens

#: With fewer views focal length and distortion are ambiguous.
MIN_VIEWS = 8
_REFINE = (cv2.TERM_CRITERIA_EPS + cv2.TERM_CRITERIA_COUNT, 100, 1e-6)


@dataclass(frozen=True, slots=True)
class Board:
    """A checkerboard.

    Attributes:
        columns: inner corners along the long side.
        rows: inner corners along the short side.
        square_m: side of a square, metres.
    """

    columns: int
    rows: int
    square_m: float

    def __post_init__(self) -> None:
        """Check the board.

        Raises:
            CalibrationError: too few corners, as many one way as the other, or no size.
        """
        if min(self.columns, self.rows) < 3 or self.columns == self.rows or self.square_m <= 0:
            raise CalibrationError(
                f"a board of {self.columns}x{self.rows} inner corners and {self.square_m} m a "
                "square can't be used: at least 3 each way, not the same both ways, above 0 m"
            )

    @property
    def points(self) -> NDArray[np.float32]:
        """``(N, 3)`` corners in the board's plane, metres, row by row."""
        grid = np.zeros((self.columns * self.rows, 3), np.float32)
        grid[:, :2] = np.mgrid[: self.columns, : self.rows].T.reshape(-1, 2) * self.square_m
        return grid


@dataclass(frozen=True, slots=True)
class LensFit:
    """A fitted lens.

    Attributes:
        lens: the lens.
        residuals_px: ``(N,)`` reprojection errors of all corners, pixels.
        views: images that it was fitted to.
    """

    lens: Lens
    residuals_px: Floats
    views: int


@dataclass(frozen=True, slots=True)
class PoseFit:
    """The fitted pose between two cameras.

    Attributes:
        extrinsics: RGB frame to thermal frame.
        residuals_px: ``(N, 2)`` reprojection error of each point, thermal pixels.
    """

    extrinsics: Extrinsics
    residuals_px: Floats

    @property
    def median_px(self) -> float:
        """Median length of the residuals."""
        return float(np.median(np.hypot(*self.residuals_px.T)))


def find_corners(grey: NDArray[np.uint8], board: Board) -> Floats | None:
    """The board's inner corners in one picture.

    Args:
        grey: ``(H, W)`` uint8.
        board: what to look for.

    Returns:
        ``(N, 2)`` pixels row by row, or ``None`` where the board is not completely in view.
    """
    size = (board.columns, board.rows)
    flags = cv2.CALIB_CB_NORMALIZE_IMAGE | cv2.CALIB_CB_ACCURACY
    for picture in (grey, cv2.createCLAHE(3.0, (4, 4)).apply(grey), cv2.bitwise_not(grey)):
        found, corners = cv2.findChessboardCornersSB(picture, size, flags=flags)
        if found:
            return np.asarray(corners, np.float64).reshape(-1, 2)
    return None


def align_corner_order(rgb: Floats, thermal: Floats) -> Floats:
    """Thermal corners in the order of the RGB corners, both ``(N, 2)``.

    A board that is light where the other camera sees dark is found in reverse order.
    Both cameras are mounted the same way up, which decides the order.
    """
    if np.dot(rgb[-1] - rgb[0], thermal[-1] - thermal[0]) < 0:
        return thermal[::-1].copy()
    return thermal


def fit_lens(views: Sequence[Floats], board: Board, size: tuple[int, int], name: str) -> LensFit:
    """Fit a lens to corners of several views.

    Args:
        views: ``(N, 2)`` corners of each.
        board: whose corners they are.
        size: ``(width, height)`` of the images.
        name: of the camera, for the message.

    Raises:
        CalibrationError: too few views, or they do not determine a lens.
    """
    if len(views) < MIN_VIEWS:
        raise CalibrationError(
            f"the complete board is in {len(views)} {name} pictures and {MIN_VIEWS} are needed: "
            "tilt it, bring it into the corners, and heat it for the thermal camera"
        )
    world = [board.points] * len(views)
    seen = [view.astype(np.float32)[:, None] for view in views]
    _, matrix, bent, turns, moves = cv2.calibrateCamera(
        world, seen, size, None, None, flags=cv2.CALIB_FIX_K3, criteria=_REFINE
    )
    off = [
        cv2.projectPoints(board.points, turn, move, matrix, bent)[0][:, 0] - view
        for turn, move, view in zip(turns, moves, views, strict=True)
    ]
    lens = Lens(*size, np.asarray(matrix, np.float64), np.asarray(bent, np.float64).ravel()[:5])
    if not np.isfinite(lens.matrix).all() or lens.matrix[0, 0] > 50 * size[0]:
        raise CalibrationError(f"the {name} views do not decide a lens: tilt the board more")
    return LensFit(lens, np.hypot(*np.concatenate(off).T), len(views))


def fit_pose_to_boards(
    rgb_views: Sequence[Floats], thermal_views: Sequence[Floats], board: Board, rgb: Lens,
    thermal: Lens,
) -> PoseFit:  # fmt: skip
    """Fit the pose between two cameras to boards that both see at one instant.

    Args:
        rgb_views: ``(N, 2)`` corners in RGB pictures, pixels.
        thermal_views: the same corners in the thermal pictures of the same instants.
        board: whose corners they are.
        rgb: the RGB camera's lens.
        thermal: the thermal camera's lens.

    Returns:
        The pose, and each thermal corner's distance from the one projected from RGB.

    Raises:
        CalibrationError: fewer than three common views.
    """
    if len(rgb_views) < 3:
        raise CalibrationError(
            f"both cameras see the complete board in {len(rgb_views)} pairs and 3 are needed"
        )
    thermal_views = [
        align_corner_order(a, b) for a, b in zip(rgb_views, thermal_views, strict=True)
    ]
    rotation, move = cv2.stereoCalibrate(
        [board.points] * len(rgb_views),
        [view.astype(np.float32)[:, None] for view in rgb_views],
        [view.astype(np.float32)[:, None] for view in thermal_views],
        rgb.matrix,
        rgb.distortion,
        thermal.matrix,
        thermal.distortion,
        rgb.size,
        flags=cv2.CALIB_FIX_INTRINSIC,
        criteria=_REFINE,
    )[5:7]
    extrinsics = Extrinsics(np.asarray(rotation, np.float64), np.asarray(move, np.float64).ravel())
    off = [
        _project_board(board, seen, extrinsics, rgb, thermal) - wanted
        for seen, wanted in zip(rgb_views, thermal_views, strict=True)
    ]
    return PoseFit(extrinsics, np.concatenate(off))


def _project_board(
    board: Board, seen: Floats, extrinsics: Extrinsics, rgb: Lens, thermal: Lens
) -> Floats:
    """Where a board that RGB sees is in the thermal picture."""
    _, turn, move = cv2.solvePnP(board.points, seen, rgb.matrix, rgb.distortion)
    in_rgb = board.points @ cv2.Rodrigues(turn)[0].T + move.ravel()
    return thermal.project(in_rgb @ extrinsics.rotation.T + extrinsics.translation)
