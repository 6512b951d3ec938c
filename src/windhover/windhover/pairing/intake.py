"""Brings the frames of two cameras to one worker.

Live, frames come out as they arrive, and the oldest are dropped where the worker
can't keep up. Lossless, they come out in the order of their stamps however the two
cameras' threads run, so that a recording is paired the same way each time.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Literal

from windhover.types import Frame

Modality = Literal["rgb", "thermal"]

LIVE_CAPACITY = 8
LOSSLESS_CAPACITY = 2


@dataclass(frozen=True, slots=True)
class Arrival:
    """A frame, its camera and when it came.

    Attributes:
        modality: of its camera.
        frame: the frame.
        at_ns: monotonic time of its arrival.
    """

    modality: Modality
    frame: Frame
    at_ns: int


class _CameraQueue:
    """One camera's frames; a ``windhover_ros.links.Sink`` for the camera node."""

    def __init__(self, modality: Modality, lossless: bool, changed: threading.Condition) -> None:
        self.modality = modality
        self.waiting: deque[Arrival] = deque()
        self.dropped = 0
        self.closed = False
        self._lossless = lossless
        self._changed = changed

    def put(self, item: Frame) -> bool:
        """Give a frame; False once closed. Lossless, wait until there is room."""
        with self._changed:
            if self._lossless:
                self._changed.wait_for(lambda: len(self.waiting) < LOSSLESS_CAPACITY or self.closed)
            if self.closed:
                return False
            if len(self.waiting) >= LIVE_CAPACITY:
                self.waiting.popleft()
                self.dropped += 1
            self.waiting.append(Arrival(self.modality, item, time.monotonic_ns()))
            self._changed.notify_all()
            return True

    def close(self) -> None:
        """Say that nothing more comes; what waits can still be taken."""
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    @property
    def ended(self) -> bool:
        """Whether it is closed and all frames were taken."""
        return self.closed and not self.waiting


class Intake:
    """Both cameras' frames for one worker.

    Attributes:
        rgb: sink for the RGB camera.
        thermal: sink for the thermal camera.
    """

    def __init__(self, lossless: bool = False) -> None:
        self._changed = threading.Condition()
        self._lossless = lossless
        self.rgb = _CameraQueue("rgb", lossless, self._changed)
        self.thermal = _CameraQueue("thermal", lossless, self._changed)

    @property
    def lossless(self) -> bool:
        """Whether ``put`` waits for room, so that no frame is dropped."""
        return self._lossless

    @property
    def dropped(self) -> int:
        """Frames that were dropped."""
        return self.rgb.dropped + self.thermal.dropped

    def take(self, timeout_s: float) -> Arrival | None:
        """Wait for the next frame of either camera; ``None`` on time-out or at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._next() is not None or self._ended(), timeout_s)
            side = self._next()
            if side is None:
                return None
            self._changed.notify_all()
            return side.waiting.popleft()

    def _ended(self) -> bool:
        return self.rgb.ended and self.thermal.ended

    def _next(self) -> _CameraQueue | None:
        waiting = [side for side in (self.thermal, self.rgb) if side.waiting]
        if not waiting:
            return None
        if not self._lossless:
            return min(waiting, key=lambda side: side.waiting[0].at_ns)
        if len(waiting) == 1 and not (self.rgb.ended or self.thermal.ended):
            return None
        return min(waiting, key=lambda side: side.waiting[0].frame.stamp_ns)
