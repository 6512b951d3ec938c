"""Refines the calibration in a thread of its own, so that no frame waits for it."""

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
class _Job:
    pair: RgbtFrame
    pose: Pose


class BackgroundRefiner:
    """Takes a pair now and then, and gives the registration what it finds.

    Args:
        refiner: of the calibration on file.
        registration: in use; its geometry is replaced whole.
        period_s: between two steps.
    """

    def __init__(self, refiner: Refiner, registration: Registration, period_s: float) -> None:
        self.refiner = refiner
        self._registration = registration
        self._period_s = period_s
        self._slot: LatestSlot[_Job] = LatestSlot()
        self._due = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="refiner", daemon=True)
        self._thread.start()

    def offer(self, pair: RgbtFrame, pose: Pose) -> None:
        """Give a pair; most are let pass."""
        if pair.thermal is None or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + self._period_s
        self._slot.put(_Job(pair, pose))

    def close(self) -> None:
        """End the thread after the step that it is at."""
        self._slot.close()
        self._thread.join(timeout=10.0)

    def _run(self) -> None:
        while (job := self._slot.take()) is not None:
            thermal = job.pair.thermal
            assert thermal is not None
            grey = to_gray8(thermal.image, thermal.encoding)
            bgr = to_bgr(job.pair.rgb.image, job.pair.rgb.encoding)
            if self.refiner.step(bgr, grey, job.pose):
                self._registration.geometry = self.refiner.calibration
