"""The drone's altitude, as far as it is known, and the band that a model was made for."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

ALTITUDE_FRESH_S = 5.0
"""An altitude older than this is unknown."""


class AltitudeMonitor:
    """The newest altitude above ground.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._newest: tuple[float, float] | None = None

    def update(self, altitude_m: float) -> bool:
        """Take in an altitude in metres; False, and nothing changes, where it is no number."""
        if not math.isfinite(altitude_m):
            return False
        self._newest = altitude_m, self._clock()
        return True

    @property
    def altitude_m(self) -> float | None:
        """Metres above ground; ``None`` where the newest is too old."""
        if self._newest is None or self._clock() - self._newest[1] > ALTITUDE_FRESH_S:
            return None
        return self._newest[0]

    def outside(self, low_m: float, high_m: float) -> str:
        """What is wrong with the altitude, in one line; empty inside the band or if unknown."""
        altitude_m = self.altitude_m
        if altitude_m is None or low_m <= altitude_m <= high_m:
            return ""
        return (
            f"altitude {altitude_m:.1f} m is outside {low_m:g}-{high_m:g} m: results are less sure"
        )
