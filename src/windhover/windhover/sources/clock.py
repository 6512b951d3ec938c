"""When a frame was taken, on the wall clock, from its driver's stamp.

A driver stamps frames on its own clock: V4L2 on CLOCK_MONOTONIC, a GStreamer
pipeline on its running time. ROS time is the wall clock, which NTP slews and steps. An
offset taken once would be wrong from the first correction on, so both hops are
estimated with every frame:

- device to CLOCK_MONOTONIC: zero for a driver that stamps on it; else the minimum of
  ``received - device`` over the last seconds, since a frame may come late but never early;
- CLOCK_MONOTONIC to wall clock: the wall clock is read between two reads of the other.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

STEP_NS = 10_000_000
"""A wall clock that changes by more than this between two frames was stepped, not slewed."""
_DRIFT_PPM = 1000
"""Above the drift of any oscillator and of any NTP slew."""
_RESTART_NS = 1_000_000_000
"""A device's clock that jumps by more than this was restarted."""
_READS = 3
_REORDER = 64
"""Frames are never reordered over a longer distance than this."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Both clocks of the host at one moment.

    Attributes:
        monotonic_ns: CLOCK_MONOTONIC.
        wall_ns: nanoseconds since 1970.
    """

    monotonic_ns: int
    wall_ns: int


def read_clocks(
    monotonic_ns: Callable[[], int] = time.monotonic_ns, wall_ns: Callable[[], int] = time.time_ns
) -> Reading:
    """Read both clocks as close together in time as a busy machine allows."""
    best: tuple[int, Reading] | None = None
    for _ in range(_READS):
        before, wall, after = monotonic_ns(), wall_ns(), monotonic_ns()
        if best is None or after - before < best[0]:
            best = after - before, Reading((before + after) // 2, wall)
    assert best is not None
    return best[1]


@dataclass(frozen=True, slots=True)
class Stamp:
    """When a frame was taken.

    Attributes:
        stamp_ns: capture time, nanoseconds since 1970.
        step_ns: by how much the wall clock was stepped since the previous frame; 0 if
            it was not. Stamps may go back only after a step.
        restarted: the device's clock was restarted before this frame.
        trusted: False where the device's stamp is impossible and the time of arrival
            is used instead.
    """

    stamp_ns: int
    step_ns: int = 0
    restarted: bool = False
    trusted: bool = True


class ClockMap:
    """Maps the stamps of one device to the wall clock.

    Stamps increase with the device's own, except across a step of the wall clock
    (:attr:`Stamp.step_ns`), after which all stamps are on the new clock.

    Attributes:
        steps: how often the wall clock was stepped.
        restarts: how often the device's clock was restarted.
        untrusted: frames whose device stamp was impossible.
        delay_ns: from capture to arrival of the last frame.
    """

    def __init__(self, monotonic: bool, window_s: float = 5.0, max_delay_s: float = 2.0):
        """Set up.

        Args:
            monotonic: the device stamps on this host's CLOCK_MONOTONIC.
            window_s: over how long the minimum delay of another clock is taken: long
                enough to contain a frame without delay, short enough for drift.
            max_delay_s: a stamp on CLOCK_MONOTONIC that is older is impossible.
        """
        self._monotonic = monotonic
        self._window_ns = round(window_s * 1e9)
        self._max_delay_ns = round(max_delay_s * 1e9)
        self._offsets: deque[tuple[int, int]] = deque()
        self._last_device: int | None = None
        self._last: Reading | None = None
        self._last_stamp = 0
        self.steps = 0
        self.restarts = 0
        self.untrusted = 0
        self.delay_ns = 0

    def stamp(self, device_ns: int | None, received: Reading) -> Stamp:
        """Compute when a frame was taken.

        Args:
            device_ns: its driver's stamp; ``None`` where it gives none.
            received: both clocks when the frame arrived.

        Returns:
            Its capture time, and what happened to the clocks since the previous frame.
        """
        step_ns = self._step(received)
        restarted = False
        taken_ns = received.monotonic_ns
        trusted = device_ns is not None
        if device_ns is not None and self._monotonic:
            trusted = 0 <= received.monotonic_ns - device_ns <= self._max_delay_ns
            taken_ns = device_ns if trusted else taken_ns
        elif device_ns is not None:
            restarted = self._observe(device_ns, received.monotonic_ns)
            taken_ns = device_ns + self._min_offset()
        self.untrusted += not trusted
        self.delay_ns = received.monotonic_ns - taken_ns
        stamp_ns = received.wall_ns - self.delay_ns
        in_order = device_ns is None or self._last_device is None or device_ns > self._last_device
        if not step_ns and not restarted and in_order:
            # A slewed clock or a better offset must not swap two frames.
            stamp_ns = max(stamp_ns, self._last_stamp + 1)
        if in_order or restarted:
            self._last_stamp, self._last_device = stamp_ns, device_ns
        return Stamp(stamp_ns, step_ns, restarted, trusted)

    def _step(self, received: Reading) -> int:
        """By how much the wall clock was stepped since the last frame; 0 if it was not."""
        last, self._last = self._last, received
        if last is None:
            return 0
        passed_ns = received.monotonic_ns - last.monotonic_ns
        moved_ns = received.wall_ns - last.wall_ns - passed_ns
        if abs(moved_ns) <= STEP_NS + passed_ns * _DRIFT_PPM // 1_000_000:
            return 0
        self.steps += 1
        return moved_ns

    def _observe(self, device_ns: int, arrived_ns: int) -> bool:
        """Add a frame's offset to the window; True where the device's clock was restarted."""
        offset = arrived_ns - device_ns
        restarted = bool(self._offsets) and (
            offset < self._min_offset() - _RESTART_NS
            or (self._last_device is not None and device_ns < self._last_device - _RESTART_NS)
        )
        if restarted:
            self._offsets.clear()
            self.restarts += 1
        while self._offsets and arrived_ns - self._offsets[0][0] > self._window_ns:
            self._offsets.popleft()
        # Only offsets that may still become the minimum are kept (monotonic queue).
        while self._offsets and self._offsets[-1][1] >= offset:
            self._offsets.pop()
        self._offsets.append((arrived_ns, offset))
        return restarted

    def _min_offset(self) -> int:
        return self._offsets[0][1]


class SequenceCounter:
    """Counts lost and reordered frames by a device's frame numbers.

    Attributes:
        lost: numbers that were skipped.
        late: frames that came after a newer one.
    """

    def __init__(self, modulus: int = 2**32) -> None:
        """Set up.

        Args:
            modulus: where the device's numbers wrap around.
        """
        self._modulus = modulus
        self._newest: int | None = None
        self._newest_ns: int | None = None
        self.lost = 0
        self.late = 0

    def count(self, sequence: int | None, device_ns: int | None = None) -> bool:
        """Count the next frame.

        Args:
            sequence: ``None`` where the device does not count.
            device_ns: its driver's stamp, which orders frames that have no number.

        Returns:
            Whether it is newer than all frames so far. One that is not was counted as
            lost before, and is counted as late now.
        """
        ahead = self._ahead(sequence, device_ns)
        if ahead <= 0:
            self.late += 1
            self.lost = max(0, self.lost - (sequence is not None and ahead < 0))
            return False
        self.lost += ahead - 1
        self._newest, self._newest_ns = sequence, device_ns
        return True

    def _ahead(self, sequence: int | None, device_ns: int | None) -> int:
        """How many frames it is ahead of the newest one; 1 where that is unknown."""
        if sequence is not None and self._newest is not None:
            half = self._modulus // 2
            ahead = (sequence - self._newest + half) % self._modulus - half
            # Further back than frames are ever reordered: the stream was restarted.
            return ahead if ahead > -_REORDER else 1
        if device_ns is not None and self._newest_ns is not None:
            return 0 if self._newest_ns - _RESTART_NS < device_ns <= self._newest_ns else 1
        return 1
