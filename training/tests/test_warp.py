"""Boxes stay exact under warps: against what the warped pixels themselves show."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from windhover_training.data.augment.warp import random_homography, warp_boxes, warp_pixels

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


RECTANGLES = {
    "seed": st.integers(0, 2**31),
    "x": st.integers(0, 150),
    "y": st.integers(0, 130),
    "width": st.integers(8, 60),
    "height": st.integers(8, 60),
}


def seen_points(box: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points of a warped rectangle in the target that its extent depends on, found by sampling.

    Those are of its edges, 4000 points each, and the target's corners where it covers them.
    """
    t = np.linspace(0, 1, 4000)[:, None]
    corners = box[[0, 1, 2, 1, 2, 3, 0, 3]].reshape(4, 2).astype(float)
    others = np.roll(corners, -1, axis=0)
    edges = np.concatenate([a + (b - a) * t for a, b in zip(corners, others, strict=True)])
    points = np.c_[edges, np.ones(len(edges))] @ matrix.T
    points = (points[:, :2] / points[:, 2:])[points[:, 2] > 0]
    target = np.array([[0, 0], [SIZE, 0], [SIZE, SIZE], [0, SIZE]], float)
    back = np.c_[target, np.ones(4)] @ np.linalg.inv(matrix).T
    back = back[:, :2] / back[:, 2:]
    covered = ((back >= box[:2]) & (back <= box[2:])).all(axis=1)
    points = np.concatenate([points, target[covered]])
    return points[((points >= 0) & (points <= SIZE)).all(axis=1)]


@settings(max_examples=60, deadline=None)
@given(**RECTANGLES)
def test_a_box_is_the_extent_of_what_is_seen(seed, x, y, width, height) -> None:
    box = np.float32([x, y, x + width, y + height])
    matrix = homography(seed)
    (found,), (seen,) = warp_boxes(box[None], matrix, SIZE, SIZE)
    points = seen_points(box, matrix)
    if not len(points):
        assert seen < 1e-2
        return
    np.testing.assert_allclose(found, [*points.min(0), *points.max(0)], atol=0.15)


@settings(max_examples=40, deadline=None)
@given(**RECTANGLES)
def test_pixels_and_boxes_move_together(seed, x, y, width, height) -> None:
    pixels = np.zeros((200, 220), np.uint8)
    pixels[y : y + height, x : x + width] = 255
    matrix = homography(seed)
    shown = warp_pixels(pixels, matrix, SIZE, SIZE, 0) >= 128
    (box,), (seen,) = warp_boxes(np.float32([[x, y, x + width, y + height]]), matrix, SIZE, SIZE)
    rows, columns = np.flatnonzero(shown.any(axis=1)), np.flatnonzero(shown.any(axis=0))
    if not len(rows):
        assert (box[2:] - box[:2]).min() < 2
        return
    assert (np.array([columns[0], rows[0]]) >= box[:2] - 1).all()
    assert (np.array([columns[-1], rows[-1]]) + 1 <= box[2:] + 1).all()
    # A pixel's side of the box may show nothing, at a sharp corner or a shallow edge; where
    # the whole rectangle is inside, the corners are nearly right.
    if seen == 1:
        measured = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        assert np.abs(box - measured).max() < 3


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
