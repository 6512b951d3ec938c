"""The motion filter against its matrices written out, and its claim to compose."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windhover.tracking.bytetrack.motion import BoxFilter, to_centre_size, to_corners
from windhover.tracking.bytetrack.params import ByteTrackParams

BOXES = np.array([[10.0, 20.0, 40.0, 90.0], [300.0, 100.0, 308.0, 106.0]])
SECONDS = st.floats(1e-3, 1.5)


def moving(params=None):
    """A filter whose rows have a velocity and correlated errors."""
    boxes = BoxFilter(params or ByteTrackParams())
    boxes.append(BOXES)
    for step in range(1, 4):
        boxes.predict(0.1)
        boxes.correct(np.arange(2), BOXES + step * np.array([3.0, -2.0, 4.0, -2.5]))
    return boxes


def state_of(boxes):
    return np.stack((to_centre_size(boxes.boxes), boxes.velocities, boxes.variances))


def test_corners_and_centres_are_inverses():
    np.testing.assert_allclose(to_corners(to_centre_size(BOXES)), BOXES)


@given(SECONDS, SECONDS)
def test_two_steps_are_one_step(first, second):
    apart, at_once = moving(), moving()
    apart.predict(first)
    apart.predict(second)
    at_once.predict(first + second)
    np.testing.assert_allclose(state_of(apart), state_of(at_once), rtol=1e-9)


def test_no_time_changes_nothing():
    boxes = moving()
    before = state_of(boxes)
    boxes.predict(0.0)
    np.testing.assert_array_equal(state_of(boxes), before)


def transition_and_noise(memory, drive, wander, seconds, steps=2000):
    """The process integrated numerically in small steps, as 2x2 matrices."""
    step = seconds / steps
    flow = np.array([[1.0, step], [0.0, 1.0 - step / memory]])
    noise = np.diag([wander * step, drive * step])
    total, covariance = np.eye(2), np.zeros((2, 2))
    for _ in range(steps):
        total = flow @ total
        covariance = flow @ covariance @ flow.T + noise
    return total, covariance


@pytest.mark.parametrize("seconds", [1 / 30, 0.4, 2.0])
def test_against_the_full_kalman_filter(seconds):
    """One coordinate by textbook matrices, process noise by integration."""
    params = ByteTrackParams(velocity_memory_s=1.5)
    boxes = BoxFilter(params)
    boxes.append(BOXES[:1])
    size = np.sqrt(30.0 * 70.0)
    r = (params.measurement_noise * size + params.measurement_noise_px) ** 2
    mean = np.array([25.0, 0.0])
    start = params.initial_velocity * size + params.initial_velocity_px
    covariance = np.diag([4.0 * r, start**2])
    for measured in (31.0, 36.5, 40.0):
        drive = (params.velocity_noise * size + params.velocity_noise_px) ** 2
        wander = (params.position_noise * size) ** 2
        flow, noise = transition_and_noise(1.5, drive, wander, seconds)
        mean = flow @ mean
        covariance = flow @ covariance @ flow.T + noise
        gain = covariance[:, 0] / (covariance[0, 0] + r)
        mean = mean + gain * (measured - mean[0])
        covariance = covariance - np.outer(gain, covariance[0])

        boxes.predict(seconds)
        here = to_centre_size(boxes.boxes)[0]
        target = np.array([[measured, here[1], here[2], here[3]]])
        boxes.correct(np.array([0]), to_corners(target))
        width, height = to_centre_size(boxes.boxes)[0, 2:]
        size = np.sqrt(width * height)

        assert to_centre_size(boxes.boxes)[0, 0] == pytest.approx(mean[0], rel=1e-3)
        assert boxes.velocities[0, 0] == pytest.approx(mean[1], rel=2e-3)
        assert boxes.variances[0, 0] == pytest.approx(covariance[0, 0], rel=2e-3)


def test_a_constant_velocity_is_learnt_at_any_rate():
    for rate in (5, 15, 60):
        boxes = BoxFilter(ByteTrackParams(velocity_memory_s=1000.0))
        boxes.append(BOXES[:1])
        for frame in range(1, 3 * rate):
            boxes.predict(1 / rate)
            boxes.correct(np.array([0]), BOXES[:1] + 40.0 * frame / rate)
        np.testing.assert_allclose(boxes.velocities[0, :2], 40.0, rtol=0.02)


def test_two_boxes_give_position_and_velocity():
    """Two-point differencing, its covariance written out: R, R/t and 2R/t^2."""
    boxes = BoxFilter(ByteTrackParams())
    boxes.append(BOXES)
    boxes.predict(0.1)
    before = state_of(boxes)
    moved = BOXES[:1] + np.array([200.0, -50.0, 200.0, -50.0])
    boxes.correct_at_speed(np.array([0]), moved, np.array([0.1]))
    after = state_of(boxes)
    np.testing.assert_array_equal(after[:, 1], before[:, 1])
    np.testing.assert_allclose(after[0, 0], to_centre_size(moved)[0])
    np.testing.assert_allclose(after[1, 0], [2000.0, -500.0, 0.0, 0.0])
    params = ByteTrackParams()
    noise = (params.measurement_noise * np.sqrt(30.0 * 70.0) + params.measurement_noise_px) ** 2
    np.testing.assert_allclose(after[2, 0, :2], noise)
    # What is predicted from there: R + 2 t R/t + t^2 2R/t^2, and a little process noise.
    boxes.predict(0.1)
    np.testing.assert_allclose(state_of(boxes)[2, 0, :2], 5.0 * noise, rtol=0.1)
    np.testing.assert_allclose(
        to_centre_size(boxes.boxes)[0, :2], to_centre_size(moved)[0, :2] + [200.0, -50.0], atol=2.0
    )


def test_displacements_are_in_longer_sides():
    boxes = BoxFilter(ByteTrackParams(min_side_px=10.0))
    boxes.append(BOXES)
    moved = BOXES + np.array([35.0, 0.0, 35.0, 0.0])
    distance, shift = boxes.displacements(np.arange(2), moved)
    np.testing.assert_allclose(distance, [0.5, 3.5])
    np.testing.assert_allclose(shift, [35 / 30, 3.5])
    table, _ = boxes.displacements(np.array([[0], [1]]), moved)
    np.testing.assert_allclose(np.diag(table), [0.5, 3.5])
    assert table.shape == (2, 2)


def test_only_the_corrected_row_changes():
    boxes = moving()
    boxes.predict(0.1)
    before = state_of(boxes)
    boxes.correct(np.array([1]), BOXES[1:] + 5.0)
    after = state_of(boxes)
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    assert (after[0, 1] != before[0, 1]).any()
    assert (after[2, 1] < before[2, 1]).all()


def test_a_box_that_shrinks_unseen_stays_a_box():
    boxes = BoxFilter(ByteTrackParams(size_memory_s=100.0))
    boxes.append(np.array([[0.0, 0.0, 40.0, 40.0]]))
    for step in range(1, 4):
        boxes.predict(0.1)
        boxes.correct(np.array([0]), np.array([[0.0, 0.0, 40.0 - 12 * step, 40.0 - 12 * step]]))
    for _ in range(100):
        boxes.predict(0.1)
    corners = boxes.boxes[0]
    assert (corners[2:] > corners[:2]).all()
    assert np.isfinite(state_of(boxes)).all()


def test_rows_are_kept_by_mask():
    boxes = moving()
    second = state_of(boxes)[:, 1]
    boxes.keep(np.array([False, True]))
    assert len(boxes) == 1
    np.testing.assert_array_equal(state_of(boxes)[:, 0], second)


def test_rows_move_with_the_image():
    """A similarity moves, turns and scales position, velocity and uncertainty alike."""
    boxes = moving()
    before = state_of(boxes)
    turn = 1.1 * np.array([[0.0, -1.0], [1.0, 0.0]])
    boxes.warp(np.vstack((np.column_stack((turn, [30.0, -7.0])), [0.0, 0.0, 1.0])))
    after = state_of(boxes)
    np.testing.assert_allclose(after[0, :, :2], before[0, :, :2] @ turn.T + [30.0, -7.0])
    np.testing.assert_allclose(after[1, :, :2], before[1, :, :2] @ turn.T)
    np.testing.assert_allclose(after[:2, :, 2:], 1.1 * before[:2, :, 2:])
    # By a quarter turn the uncertainties of x and y change places.
    np.testing.assert_allclose(after[2, :, :2], 1.21 * before[2, :, 1::-1])
    np.testing.assert_allclose(after[2, :, 2:], 1.21 * before[2, :, 2:])


def test_an_image_without_motion_moves_nothing():
    boxes = moving()
    before = state_of(boxes)
    boxes.warp(np.eye(3))
    np.testing.assert_allclose(state_of(boxes), before)
