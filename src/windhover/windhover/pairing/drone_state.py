"""The drone's newest altitude and attitude, while they are fresh."""

from __future__ import annotations

import time

from windhover.errors import ConfigError
from windhover.geometry import Floats, Quaternion, down_of_attitude, down_of_pitch
from windhover.health.altitude import AltitudeMonitor
from windhover.pairing.registration import Pose

ATTITUDE_FRESH_S = 1.0


class DroneState:
    """The newest altitude and attitude.

    Args:
        pitch_deg: tilt of the RGB camera below the drone's nose, degrees.
    """

    def __init__(self, pitch_deg: float) -> None:
        self._pitch_deg = pitch_deg
        self._level = down_of_pitch(pitch_deg)
        self._altitude = AltitudeMonitor()
        self._down: tuple[Floats, float] | None = None

    def altitude(self, metres: float) -> bool:
        """Take in an altitude; False where it is no number above 0."""
        return metres > 0 and self._altitude.update(metres)

    def attitude(self, quaternion: Quaternion) -> bool:
        """Take in an attitude, x, y, z, w; False where it is no rotation."""
        try:
            self._down = down_of_attitude(quaternion, self._pitch_deg), time.monotonic()
        except ConfigError:
            return False
        return True

    @property
    def altitude_m(self) -> float | None:
        """Metres above ground; ``None`` where the newest is too old."""
        return self._altitude.altitude_m

    @property
    def attitude_known(self) -> bool:
        """Whether there is a fresh attitude."""
        return self._down is not None and time.monotonic() - self._down[1] <= ATTITUDE_FRESH_S

    def pose(self) -> Pose:
        """The pose now; a drone whose attitude is unknown is taken as level."""
        level = self._down is None or not self.attitude_known
        down = self._level if level or self._down is None else self._down[0]
        return Pose(self.altitude_m, down)
