"""Boxes stay exact under warps: against what the warped pixels themselves show."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from windhover_training.data.warp import random_homography, warp_boxes, warp_pixels

SIZE = 160


def homography(seed: int, perspective: float = 0.001, centre=(100.0, 90.0), size: int = SIZE):
    rng = np.random.default_rng(seed)
    return random_homography(
        rng,
        centre,
        size,
        scale=(0.8, 1.2),
        degrees=15,
        shear=5,
        perspective=perspective,
        flip_x=bool(rng.integers(2)),
        flip_y=bool(rng.integers(2)),
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    x=st.integers(0, 150),
    y=st.integers(0, 130),
    width=st.integers(8, 60),
    height=st.integers(8, 60),
)
def test_a_box_lies_around_the_warped_pixels(seed, x, y, width, height) -> None:
    x2, y2 = min(x + width, 200), min(y + height, 180)
    pixels = np.zeros((180, 200), np.uint8)
    pixels[y:y2, x:x2] = 255
    matrix = homography(seed)
    shown = warp_pixels(pixels, matrix, SIZE, SIZE, 0) >= 128
    (box,), _ = warp_boxes(np.float32([[x, y, x2, y2]]), matrix, SIZE, SIZE)
    assume(shown.sum() >= 30)
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    measured = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    # A sharp corner of a turned rectangle covers less than half of the pixels at its tip.
    assert np.abs(box - measured).max() < 2.6
    assert (box >= -1e-3).all()
    assert (box <= SIZE + 1e-3).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_a_box_holds_its_corners_and_touches_them(seed) -> None:
    matrix = homography(seed)
    rng = np.random.default_rng(seed)
    corner = rng.uniform(90, 105, 2)
    box = np.float32([[*corner, *(corner + rng.uniform(2, 15, 2))]])
    corners = box[0, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2)
    mapped = np.c_[corners, np.ones(4)] @ matrix.T
    mapped = mapped[:, :2] / mapped[:, 2:]
    (warped,), (seen,) = warp_boxes(box, matrix, SIZE, SIZE)
    np.testing.assert_allclose(warped, [*mapped.min(axis=0), *mapped.max(axis=0)], atol=1e-3)
    assert seen == 1


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), size=st.sampled_from([64, 320, 640]))
def test_the_horizon_is_never_inside(seed, size) -> None:
    back = np.linalg.inv(homography(seed, 0.0012, size=size))
    corners = np.array([[0, 0, 1], [size, 0, 1], [size, size, 1], [0, size, 1.0]])
    depth = (corners @ back.T)[:, 2]
    assert (depth / (back[2] @ [size / 2, size / 2, 1]) > 0).all()


def test_a_box_behind_the_camera_is_not_seen() -> None:
    matrix = np.array([[1, 0, 0], [0, 1, 0], [-0.01, 0, 1.0]])  # horizon at x = 100
    boxes = np.float32([[120, 10, 140, 30], [90, 10, 140, 30], [10, 10, 20, 20]])
    found, seen = warp_boxes(boxes, matrix, 50, 50)
    assert seen[0] == 0
    assert not found[0].any()
    assert seen[1] < 0.05
    np.testing.assert_allclose(found[2], [10 / 0.9, 10 / 0.9, 25, 25], rtol=1e-5)


def test_a_part_outside_counts_as_unseen() -> None:
    found, seen = warp_boxes(np.float32([[-10, 5, 10, 15], [60, 0, 70, 9]]), np.eye(3), 50, 50)
    np.testing.assert_allclose(found[0], [0, 5, 10, 15])
    np.testing.assert_allclose(seen, [0.5, 0])


def test_a_turned_rectangle_at_the_edge_gets_the_box_of_what_shows() -> None:
    turn = np.array([[0.7071, -0.7071, 0], [0.7071, 0.7071, 0], [0, 0, 1.0]])
    # A diamond with its left half outside: only its right corner is inside.
    (found,), (seen,) = warp_boxes(np.float32([[0, 0, 40, 40]]), turn, 100, 100)
    np.testing.assert_allclose(found, [0, 0, 28.28, 56.57], atol=0.01)
    np.testing.assert_allclose(seen, 0.5, atol=1e-3)
