"""Image motion of a camera that turns, against the projection of points."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windhover.errors import ConfigError
from windhover.geometry import Lens, body_to_optical, down_of_attitude, rotation_of
from windhover.tracking.attitude import (
    AttitudeHistory,
    turn_motion,
)

LENS = Lens.from_hfov((640, 512), 60.0)
LEVEL = (0.0, 0.0, 0.0, 1.0)
MS = 1_000_000


def about(axis, degrees):
    half = math.radians(degrees) / 2
    return (*(np.array(axis, float) * math.sin(half)).tolist(), math.cos(half))


def mapped(motion, points):
    flat = np.column_stack([points, np.ones(len(points))]) @ motion.T
    return flat[:, :2] / flat[:, 2:]


@given(
    st.tuples(*[st.floats(-8, 8)] * 3),
    st.tuples(*[st.floats(-8, 8)] * 3),
    st.floats(20, 90),
)
def test_pixels_move_as_distant_points_project(first, second, pitch):
    """Points so far off that only the turn counts, through both attitudes."""

    def attitude(angles):
        turns = [rotation_of(about(axis, a)) for axis, a in zip(np.eye(3), angles, strict=True)]
        matrix = turns[2] @ turns[1] @ turns[0]
        w = math.sqrt(max(0.0, 1 + np.trace(matrix))) / 2
        x, y, z = (
            (matrix[2, 1] - matrix[1, 2]) / (4 * w),
            (matrix[0, 2] - matrix[2, 0]) / (4 * w),
            (matrix[1, 0] - matrix[0, 1]) / (4 * w),
        )
        return (float(x), float(y), float(z), w)

    before, after = attitude(first), attitude(second)
    pixels = np.array([[200.0, 150.0], [320.0, 256.0], [450.0, 400.0]])
    # Corner pixels to centres, rays, world directions.
    world = LENS.rays(pixels - 0.5) @ body_to_optical(pitch) @ rotation_of(before).T
    seen = LENS.project(world @ rotation_of(after) @ body_to_optical(pitch).T) + 0.5
    np.testing.assert_allclose(
        mapped(turn_motion(before, after, LENS, pitch), pixels), seen, atol=1e-6
    )


@given(st.floats(-30, 30), st.floats(-30, 30), st.floats(0, 90))
def test_the_mount_agrees_with_down_of_attitude(roll, tilt, pitch):
    matrix = rotation_of(about((0, 1, 0), tilt)) @ rotation_of(about((1, 0, 0), roll))
    half = about((0, 1, 0), tilt)
    other = about((1, 0, 0), roll)
    w = half[3] * other[3]
    quaternion = (half[3] * other[0], half[1] * other[3], -half[1] * other[0], w)
    np.testing.assert_allclose(rotation_of(quaternion), matrix, atol=1e-9)
    down = body_to_optical(pitch) @ matrix.T @ [0.0, 0.0, -1.0]
    np.testing.assert_allclose(down, down_of_attitude(quaternion, pitch), atol=1e-9)


def test_a_yaw_to_the_left_moves_the_picture_to_the_right():
    motion = turn_motion(LEVEL, about((0, 0, 1), 2.0), LENS, 0.0)
    moved = mapped(motion, np.array([[320.0, 256.0]]))[0]
    assert moved[0] == pytest.approx(320 + LENS.matrix[0, 0] * math.tan(math.radians(2.0)))
    assert moved[1] == pytest.approx(256)


@pytest.mark.parametrize("bad", [(0.0,) * 4, (math.nan, 0, 0, 1), (math.inf, 0, 0, 1)])
def test_an_invalid_attitude_is_refused(bad):
    assert AttitudeHistory(60.0).add(0, bad) is False
    with pytest.raises(ConfigError, match="quaternion"):
        rotation_of(bad)


def test_frames_take_the_attitude_between_its_neighbours():
    history = AttitudeHistory(0.0)
    for k in range(11):
        # Either sign is the same attitude.
        sign = -1 if k % 2 else 1
        assert history.add(k * 20 * MS, tuple(sign * v for v in about((0, 0, 1), 0.4 * k)))
    motion = history.motion(30 * MS, 130 * MS, LENS)
    expected = turn_motion(about((0, 0, 1), 0.6), about((0, 0, 1), 2.6), LENS, 0.0)
    np.testing.assert_allclose(motion, expected, atol=1e-4)


def test_a_frame_without_an_attitude_near_it_has_no_motion():
    history = AttitudeHistory(0.0)
    assert history.motion(0, 1, LENS) is None
    history.add(0, LEVEL)
    assert history.motion(0, 40 * MS, LENS) is not None
    assert history.motion(0, 200 * MS, LENS) is None
    assert history.add(0, LEVEL) is False


def test_a_fisheye_has_no_homography_of_a_turn():
    history = AttitudeHistory(0.0)
    history.add(0, LEVEL)
    fisheye = Lens(640, 512, LENS.matrix, np.zeros(4), True)
    assert history.motion(0, 40 * MS, LENS) is not None
    assert history.motion(0, 40 * MS, fisheye) is None


def test_a_clock_that_was_set_back_restarts_the_history():
    history = AttitudeHistory(0.0)
    for k in range(5):
        history.add(10**18 + k * 20 * MS, LEVEL)
    assert history.add(10**9, LEVEL) is False
    assert history.add(10**9 + 20 * MS, LEVEL)
    assert history.motion(10**9 + 20 * MS, 10**9 + 30 * MS, LENS) is not None


def test_memory_is_bounded():
    history = AttitudeHistory(0.0)
    for k in range(20_000):
        history.add(k * MS, LEVEL)
    assert len(history._history) <= 4096
