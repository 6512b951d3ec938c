"""Refines the calibration in a separate thread, so that no frame waits for it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from windhover.imaging.formats import to_bgr, to_gray8
from windhover.pairing.refine import Refiner
from windhover.pairing.registration import Pose, Registration
from windhover.types import RgbtFrame
from windhover_ros.links import LatestSlot


@dataclass(frozen=True, slots=True)
class _Observation:
    pair: RgbtFrame
    pose: Pose


class BackgroundRefiner:
    """Refines from a pair every few seconds, and updates the registration.

    Args:
        refiner: starts from the calibration on file.
        registration: in use; each step gives it a new calibration.
        period_s: between two steps, seconds.
    """

    def __init__(self, refiner: Refiner, registration: Registration, period_s: float) -> None:
        self.refiner = refiner
        self._registration = registration
        self._period_s = period_s
        self._slot: LatestSlot[_Observation] = LatestSlot()
        self._due = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="refiner", daemon=True)
        self._thread.start()

    def offer(self, pair: RgbtFrame, pose: Pose) -> None:
        """Offer a pair; it is used once a period."""
        if pair.thermal is None or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._period_s
        self._slot.put(_Observation(pair, pose))

    def close(self) -> None:
        """End the thread after its current step."""
        self._slot.close()
        self._thread.join(timeout=10.0)

    def _run(self) -> None:
        while (observation := self._slot.take()) is not None:
            thermal = observation.pair.thermal
            assert thermal is not None
            grey = to_gray8(thermal.image, thermal.encoding)
            bgr = to_bgr(observation.pair.rgb.image, observation.pair.rgb.encoding)
            if self.refiner.step(bgr, grey, observation.pose):
                self._registration.geometry = self.refiner.calibration
