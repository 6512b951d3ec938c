import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest

from windhover.errors import CalibrationError
from windhover.geometry import Extrinsics, Lens, down_of_pitch, ray_map
from windhover.imaging.agc import tone_map
from windhover.pairing.board import (
    Board,
    align_corner_order,
    find_corners,
    fit_lens,
    fit_pose_to_boards,
)

_spec = importlib.util.spec_from_file_location("boards", Path(__file__).with_name("boards.py"))
boards = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(boards)

BOARD = Board(boards.COLUMNS, boards.ROWS, boards.SQUARE_M)
RGB = Lens(640, 360, np.array([[520.0, 0, 322], [0, 519, 178], [0, 0, 1]]),
           np.array([-0.15, 0.06, 0.001, -0.0005, 0.0]))  # fmt: skip
THERMAL = Lens(320, 256, np.array([[300.0, 0, 158], [0, 301, 130], [0, 0, 1]]),
               np.array([-0.25, 0.1, 0.0, 0.001, 0.0]))  # fmt: skip
TRUE = Extrinsics(cv2.Rodrigues(np.radians([0.8, -1.2, 0.5]))[0], np.array([0.05, 0.004, -0.01]))


@pytest.fixture(scope="module")
def pictures():
    """Pairs of pictures; the heated board is light in thermal where RGB sees dark."""
    rng = np.random.default_rng(1)
    pairs = []
    eye, warm_eye = boards.BoardPainter(RGB), boards.BoardPainter(THERMAL)
    for turn, move in boards.poses(11):
        visible = eye.draw(turn, move, 40, 210)
        visible = cv2.GaussianBlur(visible, (0, 0), 0.6)
        visible = np.clip(visible + rng.normal(0, 2, visible.shape), 0, 255).astype(np.uint8)
        warm_turn = cv2.Rodrigues(TRUE.rotation @ cv2.Rodrigues(turn)[0])[0]
        warm_move = TRUE.rotation @ move + TRUE.translation
        counts = warm_eye.draw(warm_turn, warm_move, 30_400, 29_800)
        counts = cv2.GaussianBlur(counts, (0, 0), 0.7) + rng.normal(0, 15, counts.shape)
        pairs.append((visible, tone_map(counts.astype(np.uint16))))
    return pairs


@pytest.fixture(scope="module")
def corners(pictures):
    return [tuple(find_corners(one, BOARD) for one in pair) for pair in pictures]


def test_the_board_is_found_in_both_kinds_of_picture(corners):
    assert all(a is not None and b is not None for a, b in corners)


def test_no_board_is_found_where_there_is_none():
    noise = np.random.default_rng(0).integers(0, 255, (256, 320), np.uint8)
    assert find_corners(noise, BOARD) is None


def test_lenses_and_pose_are_recovered(corners):
    fits = []
    for side, lens in enumerate((RGB, THERMAL)):
        fit = fit_lens([pair[side] for pair in corners], BOARD, lens.size, "test")
        fits.append(fit.lens)
        assert np.median(fit.residuals_px) < 0.35
        assert fit.lens.matrix[0, 0] == pytest.approx(lens.matrix[0, 0], rel=0.02)
    pose = fit_pose_to_boards(*zip(*corners, strict=True), BOARD, *fits)
    assert pose.median_px < 0.35
    np.testing.assert_allclose(pose.extrinsics.translation, TRUE.translation, atol=0.02)
    # Focal length, centre and turn trade off against each other; what counts is where
    # RGB pixels come to lie in the thermal picture, far beyond the board.
    x, y = np.meshgrid(np.linspace(80, 560, 7), np.linspace(60, 300, 5))
    pixels = np.column_stack([x.ravel(), y.ravel()])
    measured, true = (
        target.project(source.rays(pixels) @ ray_map(extrinsics, 40, down_of_pitch(60)).T)
        for source, target, extrinsics in ((*fits, pose.extrinsics), (RGB, THERMAL, TRUE))
    )
    assert np.median(np.hypot(*(measured - true).T)) < 1.5


def test_a_board_counted_from_the_other_end_is_turned():
    corners = np.array([[0.0, 0], [1, 0], [0, 1], [1, 1]])
    np.testing.assert_array_equal(align_corner_order(corners, corners), corners)
    np.testing.assert_array_equal(align_corner_order(corners, corners[::-1]), corners)


def test_too_few_views_are_an_error_with_advice(corners):
    views = [a for a, _ in corners]
    with pytest.raises(CalibrationError, match=r"5 thermal pictures and 8 are needed: tilt it"):
        fit_lens(views[:5], BOARD, RGB.size, "thermal")
    with pytest.raises(CalibrationError, match="in 2 pairs and 3 are needed"):
        fit_pose_to_boards(views[:2], views[:2], BOARD, RGB, RGB)


@pytest.mark.parametrize(("columns", "rows", "square"), [(2, 5, 0.1), (6, 6, 0.1), (8, 5, 0)])
def test_an_unusable_board_is_refused(columns, rows, square):
    with pytest.raises(CalibrationError, match="inner corners"):
        Board(columns, rows, square)
