"""Prediction of boxes: a Kalman filter over all tracks at once, in seconds.

State of a box: centre x, centre y, width, height (pixels) and their velocities
(pixels a second). Position and velocity of one coordinate depend on each other
and on no other coordinate, so the 8x8 covariance is four 2x2 blocks and every
step is a handful of operations on ``(N, 4)`` arrays, with no matrix inverted.

A velocity is an Ornstein-Uhlenbeck process (Singer 1970 without the target's
acceleration): it decays with a time constant and is driven by white noise. Its
exact discretisation composes: predicting by ``a`` and then by ``b`` seconds
equals predicting by ``a + b``, so dropped frames and a rate that changes give
the same state and the same uncertainty as a steady rate.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from windhover.tracking.bytetrack.params import ByteTrackParams

Array = NDArray[np.float64]
_P, _V, _PP, _PV, _VV = range(5)
# A coasting box that shrinks must stay a box.
_MIN_SIDE_PX = 0.1
_MIN_DEPTH = 0.1


def to_centre_size(boxes: Array) -> Array:
    """``(N, 4)`` x1, y1, x2, y2 to centre x, centre y, width, height."""
    low, high = boxes[:, :2], boxes[:, 2:]
    return np.concatenate(((low + high) * 0.5, high - low), axis=1)


def to_corners(boxes: Array) -> Array:
    """``(N, 4)`` centre x, centre y, width, height to x1, y1, x2, y2."""
    centre, half = boxes[:, :2], boxes[:, 2:] * 0.5
    return np.concatenate((centre - half, centre + half), axis=1)


def _discretise(seconds: float, memory: float) -> tuple[float, float, float, float, float]:
    """Transition and unit process noise of a step: decay, reach and the three below.

    With memory ``m`` and ``e = 1 - exp(-t/m)``, the noise integrals of the
    process driven by unit white noise are (expm1 keeps them exact where
    ``t`` is much shorter than ``m``):

        position             m^3 (t/m - e - e^2/2)
        position, velocity   m^2 e^2 / 2
        velocity             m e (2 - e) / 2
    """
    ratio = seconds / memory
    decayed = -math.expm1(-ratio)
    square = 0.5 * decayed * decayed
    return (
        1.0 - decayed,
        memory * decayed,
        memory**3 * (ratio - decayed - square),
        memory**2 * square,
        memory * (decayed - square),
    )


class BoxFilter:
    """Kalman filter over ``N`` boxes, one row a track."""

    def __init__(self, params: ByteTrackParams) -> None:
        self._params = params
        # Position, velocity, their variances and covariance; (5, N, 4).
        self._state: Array = np.empty((5, 0, 4))
        # Box size that scales the noise of a row; it only changes when the row
        # is corrected, else prediction would not compose.
        self._size: Array = np.empty((0, 1))

    def __len__(self) -> int:
        return len(self._size)

    @property
    def boxes(self) -> Array:
        """``(N, 4)`` float64 x1, y1, x2, y2, pixels, at the present estimate."""
        return to_corners(self._state[_P])

    @property
    def areas(self) -> Array:
        """``(N,)`` float64, square pixels, at the present estimate."""
        sides = self._state[_P, :, 2:]
        areas: Array = sides[:, 0] * sides[:, 1]
        return areas

    @property
    def velocities(self) -> Array:
        """``(N, 4)`` float64, pixels a second, of centre x, centre y, width, height."""
        velocities: Array = self._state[_V]
        return velocities

    @property
    def variances(self) -> Array:
        """``(N, 4)`` float64, square pixels, of centre x, centre y, width, height."""
        variances: Array = self._state[_PP]
        return variances

    def predict(self, seconds: float, steady: bool = False) -> None:
        """Advance all rows.

        Args:
            seconds: 0 or more.
            steady: the camera's motion is known and compensated, so velocities do not
                change because of it.
        """
        if seconds <= 0.0 or not len(self):
            return
        params = self._params
        decay, reach, noise_pp, noise_pv, noise_vv = self._discretise_all(seconds)
        position, velocity, var_p, cov, var_v = self._state
        absolute = params.velocity_noise_px * (params.steady_share if steady else 1.0)
        drive = np.square(params.velocity_noise * self._size + absolute)
        wander = np.square(params.position_noise * self._size) * seconds
        position += velocity * reach
        np.maximum(position[:, 2:], _MIN_SIDE_PX, out=position[:, 2:])
        velocity *= decay
        var_p += reach * (2.0 * cov + reach * var_v) + drive * noise_pp + wander
        cov += reach * var_v
        cov *= decay
        cov += drive * noise_pv
        var_v *= decay * decay
        var_v += drive * noise_vv

    def _discretise_all(self, seconds: float) -> Array:
        """``(5, 4)``: :func:`_discretise` for x, y, width, height."""
        params = self._params
        centre, size = (
            _discretise(seconds, memory)
            for memory in (params.velocity_memory_s, params.size_memory_s)
        )
        return np.array((centre, centre, size, size)).T

    def warp(self, motion: Array) -> None:
        """Move all rows with the image.

        Each box moves as the homography does at its centre, to first order. Of the
        uncertainty only the variances turn: the covariance between x and y that a
        rotation would bring is left out, as frames turn by little.

        Args:
            motion: ``(3, 3)`` homography from the last frame's pixels to this one's.
        """
        if not len(self):
            return
        position = self._state[_P]
        centre = position[:, :2].copy()
        # Beyond the horizon a homography is meaningless; no detected box is there.
        depth = np.maximum(centre @ motion[2, :2] + motion[2, 2], _MIN_DEPTH)[:, None]
        moved = (centre @ motion[:2, :2].T + motion[:2, 2]) / depth
        # Derivative of the projection at each centre: how far x and y go along with x, with y.
        with_x = (motion[:2, 0] - moved * motion[2, 0]) / depth
        with_y = (motion[:2, 1] - moved * motion[2, 1]) / depth
        growth = np.abs(with_x[:, :1] * with_y[:, 1:] - with_y[:, :1] * with_x[:, 1:])
        scale = np.sqrt(growth)
        velocity = self._state[_V, :, :2]
        velocity[:] = with_x * velocity[:, :1] + with_y * velocity[:, 1:]
        spread = self._state[_PP:, :, :2]
        spread[:] = with_x * with_x * spread[:, :, :1] + with_y * with_y * spread[:, :, 1:]
        position[:, :2] = moved
        self._state[:2, :, 2:] *= scale
        self._state[2:, :, 2:] *= growth
        self._size *= scale

    def correct(self, rows: NDArray[np.intp], boxes: Array) -> None:
        """Update rows with measured boxes.

        Args:
            rows: ``(M,)`` rows to correct, each at most once.
            boxes: ``(M, 4)`` float64 x1, y1, x2, y2, pixels.
        """
        state = self._state[:, rows]
        position, velocity, var_p, cov, var_v = state
        gain_p = var_p / (var_p + self._measurement_variance(self._size[rows]))
        gain_v = cov * gain_p / var_p
        error = to_centre_size(boxes) - position
        position += gain_p * error
        velocity += gain_v * error
        var_v -= gain_v * cov
        state[_PP : _PV + 1] *= 1.0 - gain_p
        self._state[:, rows] = state
        self._size[rows, 0] = np.sqrt(position[:, 2] * position[:, 3])

    def correct_at_speed(self, rows: NDArray[np.intp], boxes: Array, seconds: Array) -> None:
        """Update rows with their second box, where they move faster than the prior allows.

        The velocity of the centre is that between the two boxes (two-point differencing;
        Bar-Shalom, Li and Kirubarajan, "Estimation with Applications to Tracking and
        Navigation", 2001, 5.5.3), where :meth:`correct` would trust the prior at rest.

        Args:
            rows: ``(M,)`` rows that have had one box, each at most once.
            boxes: ``(M, 4)`` float64 x1, y1, x2, y2, pixels.
            seconds: ``(M,)`` since the first box, above 0.
        """
        before = self._state[_P, rows, :2]
        self.correct(rows, boxes)
        after = to_centre_size(boxes)[:, :2]
        noise = self._measurement_variance(self._size[rows])
        elapsed = seconds[:, None]
        self._state[_P, rows, :2] = after
        self._state[_V, rows, :2] = (after - before) / elapsed
        self._state[_PP, rows, :2] = noise
        self._state[_PV, rows, :2] = noise / elapsed
        self._state[_VV, rows, :2] = 2.0 * noise / np.square(elapsed)

    def append(self, boxes: Array, steady: bool = False) -> None:
        """Add rows for new boxes, at rest.

        Args:
            boxes: ``(M, 4)`` float64 x1, y1, x2, y2, pixels.
            steady: as in :meth:`predict`.
        """
        params = self._params
        added = np.zeros((5, len(boxes), 4))
        added[_P] = to_centre_size(boxes)
        size = np.sqrt(added[_P][:, 2:3] * added[_P][:, 3:4])
        # Twice the deviation of a measurement, as in ByteTrack.
        added[_PP] = 4.0 * self._measurement_variance(size)
        absolute = params.initial_velocity_px * (params.steady_share if steady else 1.0)
        added[_VV] = np.square(params.initial_velocity * size + absolute)
        self._state = np.concatenate((self._state, added), axis=1)
        self._size = np.concatenate((self._size, size))

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Keep only the rows where the mask is true."""
        self._state = self._state[:, rows]
        self._size = self._size[rows]

    def distances(self, rows: NDArray[np.intp], boxes: Array) -> Array:
        """Distances of boxes from the predicted rows.

        Args:
            rows: ``(R,)`` rows.
            boxes: ``(M, 4)`` float64 x1, y1, x2, y2, pixels.

        Returns:
            ``(R, M)`` distance of the centres in standard deviations (Mahalanobis).
        """
        spread = self._state[_PP, rows] + self._measurement_variance(self._size[rows])
        x, y = ((boxes[:, :2] + boxes[:, 2:]) * 0.5).T
        held = self._state[_P, rows]
        square = np.square(x - held[:, 0, None]) / spread[:, 0, None]
        square += np.square(y - held[:, 1, None]) / spread[:, 1, None]
        away: Array = np.sqrt(square)
        return away

    def displacements(self, rows: NDArray[np.intp], boxes: Array) -> tuple[Array, Array]:
        """How far the centres of boxes are from those of rows, in sides of the row's box.

        Args:
            rows: ``(M,)`` a row for each box; or ``(R, 1)``, each with all boxes.
            boxes: ``(M, 4)`` float64 x1, y1, x2, y2, pixels.

        Returns:
            ``(M,)`` or ``(R, M)`` distance in longer sides, and the greater of the shifts
            in x and y, each in the side along it; a side shorter than ``min_side_px``
            counts as that.
        """
        held = self._state[_P, rows]
        moved = (boxes[:, :2] + boxes[:, 2:]) * 0.5 - held[..., :2]
        sides = np.maximum(held[..., 2:], self._params.min_side_px)
        distance: Array = np.hypot(moved[..., 0], moved[..., 1]) / sides.max(axis=-1)
        shift: Array = (np.abs(moved) / sides).max(axis=-1)
        return distance, shift

    def _measurement_variance(self, size: Array) -> Array:
        params = self._params
        deviation = params.measurement_noise * size + params.measurement_noise_px
        return np.square(deviation)
