"""When a recorded frame is due, and which ROS time it carries."""

from __future__ import annotations

import time
from collections.abc import Callable

MAX_GAP_NS = 5_000_000_000
MAX_DELAY_NS = 1_000_000_000


class Pacer:
    """Plays stamps at a rate and maps them to ROS time.

    Recorded frames are played at their stamps' distance from an anchor: the first
    frame, or a frame after a discontinuity (a step back, a gap of more than 5 s,
    playback more than 1 s late). Frames of a live source are neither paced nor
    restamped: their stamp is the driver's capture time.

    Args:
        rate: returns the current speed; 0 means as fast as possible.
        live: frames arrive at the camera's pace.
        keep_stamps: leave recorded stamps as they are.
        now_ns: ROS time now.
        wait: waits for a number of seconds, or less when asked to stop.
        monotonic_ns: clock for pacing.
        start: a stamp and the ROS time at which it is due, both in nanoseconds, where
            several cameras are synchronised; late playback then catches up, and gaps
            are played at their full length.
    """

    def __init__(
        self,
        rate: Callable[[], float],
        live: bool,
        keep_stamps: bool,
        now_ns: Callable[[], int],
        wait: Callable[[float], object],
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        start: tuple[int, int] | None = None,
    ) -> None:
        self._start = start
        self._rate = rate
        self._live = live
        self._keep = keep_stamps
        self._now_ns = now_ns
        self._wait = wait
        self._monotonic_ns = monotonic_ns
        self._last: int | None = None
        self._last_out = 0
        self._speed = 0.0
        self._anchor_stamp = 0
        self._anchor_due = 0
        self._anchor_out = 0
        self.went_back = False

    def pace(self, stamp_ns: int) -> int:
        """Wait until a frame is due.

        Args:
            stamp_ns: as its source gave it.

        Returns:
            The stamp to publish it with.
        """
        self.went_back = self._last is not None and stamp_ns <= self._last
        jumped = self._last is not None and stamp_ns - self._last > MAX_GAP_NS
        fresh = self._last is None
        self._last = stamp_ns
        if self._live:
            return stamp_ns
        speed = self._rate()
        if fresh and self._start is not None:
            self._synchronise(*self._start, speed)
        elif fresh or self.went_back or (jumped and self._start is None) or speed != self._speed:
            self._anchor(stamp_ns, speed)
        elapsed = stamp_ns - self._anchor_stamp
        if speed > 0:
            due = self._anchor_due + int(elapsed / speed)
            ahead = due - self._monotonic_ns()
            if ahead > 0:
                self._wait(ahead / 1e9)
            elif ahead < -MAX_DELAY_NS and self._start is None:
                self._anchor(stamp_ns, speed)
                elapsed = 0
        if self._keep:
            return stamp_ns
        self._last_out = max(self._anchor_out + self._scaled(elapsed, speed), self._last_out + 1)
        return self._last_out

    def _scaled(self, elapsed_ns: int, speed: float) -> int:
        # At another speed time runs at that speed too, so that stamps are the times at
        # which frames are published. Unpaced frames keep their recorded distances.
        return int(elapsed_ns / speed) if speed > 0 else elapsed_ns

    def _synchronise(self, stamp_ns: int, at_ns: int, speed: float) -> None:
        self._anchor(stamp_ns, speed)
        self._anchor_due += at_ns - self._now_ns()
        self._anchor_out = at_ns

    def _anchor(self, stamp_ns: int, speed: float) -> None:
        self._speed = speed
        self._anchor_stamp = stamp_ns
        self._anchor_due = self._monotonic_ns()
        self._anchor_out = max(self._now_ns(), self._last_out + 1)
