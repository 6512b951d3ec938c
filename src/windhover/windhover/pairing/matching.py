"""Pairs each RGB frame with the thermal frame nearest in time, within a bounded wait.

RGB leads. Each RGB frame comes out at most once, in the order of its stamps,
with the nearest thermal frame if that is within the tolerance, and alone
otherwise. A thermal frame may belong to several RGB frames where RGB is the
faster stream.

A frame is decided as soon as no later thermal frame can be nearer; at the
latest after ``wait_ns``, when the buffer is full, or at once while the thermal
stream is stale. So stalls, loss and disorder do not delay RGB, and the same
frames at the same times give the same pairs.
"""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from windhover.types import Frame

#: The next thermal frame comes a period after the last, give or take this share.
JITTER = 0.1
#: Steps between thermal stamps from which the period is taken, and how many there
#: must be.
PERIOD_STEPS, MIN_STEPS = 31, 16


@dataclass(frozen=True, slots=True)
class PairingPolicy:
    """How frames are paired; all times in nanoseconds.

    Attributes:
        tolerance_ns: largest time difference of a pair; 0 = half the measured thermal
            period, beyond which another thermal frame would be nearer.
        thermal_period_ns: the thermal period until it is measured.
        wait_ns: longest time an RGB frame is held for a thermal frame;
            ``None`` = without limit, for recordings.
        stale_ns: a stream silent for so long is stale.
        jump_ns: stamps that go back by more than this are a reset of the stream's
            clock; by less they are frames out of order.
        capacity: frames buffered of each stream.
        thermal_alone: while RGB is stale, thermal frames come out alone.
    """

    tolerance_ns: int = 0
    thermal_period_ns: int = 33_333_333
    wait_ns: int | None = 50_000_000
    stale_ns: int = 500_000_000
    jump_ns: int = 250_000_000
    capacity: int = 16
    thermal_alone: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """A pair, or one frame alone.

    Attributes:
        rgb: the RGB frame; ``None`` for a thermal frame alone.
        thermal: its nearest thermal frame; ``None`` where none is near enough.
        offset_ns: thermal stamp minus RGB stamp; ``None`` unless both are there.
    """

    rgb: Frame | None
    thermal: Frame | None
    offset_ns: int | None


@dataclass(slots=True)
class PairingCounts:
    """Counts of the frames so far.

    Attributes:
        rgb: RGB frames taken in.
        thermal: thermal frames taken in.
        pairs: decided with a thermal frame.
        rgb_alone: decided without one.
        thermal_alone: thermal frames that came out alone.
        late: frames refused: older than the last one out, or duplicates.
        resets: resets of a stream's clock.
    """

    rgb: int = 0
    thermal: int = 0
    pairs: int = 0
    rgb_alone: int = 0
    thermal_alone: int = 0
    late: int = 0
    resets: int = 0


@dataclass(slots=True)
class _Stream:
    """One stream's buffer, sorted by stamp, and when its last frame arrived."""

    stamps: list[int] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    arrivals: list[int] = field(default_factory=list)
    newest: int | None = None
    last_arrival_ns: int | None = None
    ended: bool = False

    def insert(self, stamp: int, frame: Frame, now_ns: int) -> bool:
        """Insert a frame by its stamp; False for a duplicate stamp."""
        at = bisect.bisect_left(self.stamps, stamp)
        if at < len(self.stamps) and self.stamps[at] == stamp:
            return False
        self.stamps.insert(at, stamp)
        self.frames.insert(at, frame)
        self.arrivals.insert(at, now_ns)
        return True

    def pop(self) -> tuple[int, Frame]:
        """Remove and return the oldest frame."""
        del self.arrivals[0]
        return self.stamps.pop(0), self.frames.pop(0)

    def clear(self) -> None:
        """Drop the frames, but not the stream's state."""
        self.stamps.clear()
        self.frames.clear()
        self.arrivals.clear()

    def silent(self, now_ns: int, for_ns: int) -> bool:
        """Whether no frame has arrived for so long."""
        return self.last_arrival_ns is None or now_ns - self.last_arrival_ns > for_ns


def _typical_step(steps: Iterable[int]) -> int:
    """The mean of the steps in which no frame was lost.

    The lower quartile is one of them while up to half span lost frames.
    """
    ordered = sorted(steps)
    without_loss = ordered[: bisect.bisect_right(ordered, 1.5 * ordered[len(ordered) // 4])]
    return sum(without_loss) // len(without_loss)


class Pairer:
    """Pairs two streams. One thread uses it.

    ``now_ns`` is any monotonic clock; stamps are those of the frames. Give frames
    with :meth:`add_rgb` and :meth:`add_thermal` as they come and get decided
    matches with :meth:`take`.

    Attributes:
        policy: how it pairs.
        counts: of the frames so far.
    """

    def __init__(self, policy: PairingPolicy | None = None) -> None:
        self.policy = policy or PairingPolicy()
        self.counts = PairingCounts()
        self._rgb = _Stream()
        self._thermal = _Stream()
        self._steps: deque[int] = deque(maxlen=PERIOD_STEPS)
        self._period_ns = self.policy.thermal_period_ns
        self._last_out: int | None = None
        self._decided: list[Match] = []

    @property
    def thermal_period_ns(self) -> int:
        """Measured thermal period, or the policy's until there are enough frames."""
        return self._period_ns

    @property
    def tolerance_ns(self) -> int:
        """Largest time difference of a pair now."""
        return self.policy.tolerance_ns or (self._period_ns + 1) // 2

    @property
    def held(self) -> int:
        """Frames held now, of both streams."""
        return len(self._rgb.stamps) + len(self._thermal.stamps)

    @property
    def undecided(self) -> int:
        """RGB frames held now."""
        return len(self._rgb.stamps)

    def thermal_stale(self, now_ns: int) -> bool:
        """Whether the thermal stream has been silent too long, or never spoke."""
        return self._thermal.ended or self._thermal.silent(now_ns, self.policy.stale_ns)

    def rgb_stale(self, now_ns: int) -> bool:
        """Whether the RGB stream has been silent too long, or never spoke."""
        return self._rgb.ended or self._rgb.silent(now_ns, self.policy.stale_ns)

    def add_rgb(self, frame: Frame, now_ns: int) -> None:
        """Take in an RGB frame."""
        self.counts.rgb += 1
        stream, stamp = self._rgb, frame.stamp_ns
        stream.last_arrival_ns = now_ns
        if self._clock_jumped(stream, stamp):
            self._decide_all()
            self._last_out = None
        stream.newest = stamp if stream.newest is None else max(stream.newest, stamp)
        late = self._last_out is not None and stamp <= self._last_out
        if late or not stream.insert(stamp, frame, now_ns):
            self.counts.late += 1
        if len(stream.stamps) > self.policy.capacity:
            self._decide()

    def add_thermal(self, frame: Frame, now_ns: int) -> None:
        """Take in a thermal frame."""
        self.counts.thermal += 1
        stream, stamp = self._thermal, frame.stamp_ns
        stream.last_arrival_ns = now_ns
        before = stream.newest
        if self._clock_jumped(stream, stamp):
            assert before is not None
            # RGB frames from before the reset get their partner while it is still there.
            while self._rgb.stamps and abs(self._rgb.stamps[0] - before) < abs(
                self._rgb.stamps[0] - stamp
            ):
                self._decide()
            stream.clear()
        elif before is not None and stamp > before:
            self._steps.append(stamp - before)
            if len(self._steps) >= MIN_STEPS:
                self._period_ns = _typical_step(self._steps)
        stream.newest = stamp if stream.newest is None else max(stream.newest, stamp)
        if not stream.insert(stamp, frame, now_ns):
            self.counts.late += 1
            return
        if len(stream.stamps) > self.policy.capacity:
            stream.pop()
        if self.policy.thermal_alone and self.rgb_stale(now_ns):
            self._emit_thermal_alone(frame, stamp)

    def end_rgb(self) -> None:
        """No more RGB frames come."""
        self._rgb.ended = True

    def end_thermal(self) -> None:
        """No more thermal frames come."""
        self._thermal.ended = True

    def take(self, now_ns: int) -> list[Match]:
        """Matches decided by now, in the order of RGB stamps."""
        while self._rgb.stamps and self._is_decidable(now_ns):
            self._decide()
        decided, self._decided = self._decided, []
        return decided

    def due_ns(self) -> int | None:
        """When :meth:`take` will return more without new frames; ``None`` for never."""
        if self.policy.wait_ns is None or not self._rgb.stamps:
            return None
        return self._rgb.arrivals[0] + self.policy.wait_ns

    def _clock_jumped(self, stream: _Stream, stamp: int) -> bool:
        # A jump forward needs no reset: older frames simply stay behind.
        if stream.newest is None or stream.newest - stamp <= self.policy.jump_ns:
            return False
        stream.newest = None
        self.counts.resets += 1
        return True

    def _is_decidable(self, now_ns: int) -> bool:
        """Whether no later thermal frame can be nearer to the oldest RGB frame."""
        stamp, thermal = self._rgb.stamps[0], self._thermal
        if thermal.ended or (thermal.stamps and thermal.stamps[-1] >= stamp):
            return True
        wait_ns = self.policy.wait_ns
        if wait_ns is None:
            return False
        if self.thermal_stale(now_ns) or now_ns - self._rgb.arrivals[0] >= wait_ns:
            return True
        # The next one would be as far behind as this one is ahead.
        near = self._period_ns * (0.5 - JITTER)
        return bool(thermal.stamps) and stamp - thermal.stamps[-1] <= near

    def _decide_all(self) -> None:
        while self._rgb.stamps:
            self._decide()

    def _decide(self) -> None:
        """Pair the oldest RGB frame with the thermal frames at hand."""
        stamp, rgb = self._rgb.pop()
        self._last_out = stamp
        thermal, offset = self._nearest(stamp)
        if thermal is None:
            self.counts.rgb_alone += 1
        else:
            self.counts.pairs += 1
        self._decided.append(Match(rgb, thermal, offset))

    def _nearest(self, stamp: int) -> tuple[Frame | None, int | None]:
        stamps = self._thermal.stamps
        at = bisect.bisect_left(stamps, stamp)
        around = [i for i in (at - 1, at) if 0 <= i < len(stamps)]
        if not around:
            return None, None
        best = min(around, key=lambda i: abs(stamps[i] - stamp))
        if abs(stamps[best] - stamp) > self.tolerance_ns:
            return None, None
        return self._thermal.frames[best], stamps[best] - stamp

    def _emit_thermal_alone(self, frame: Frame, stamp: int) -> None:
        self._decide_all()
        behind = 0 if self._last_out is None else self._last_out - stamp
        if self._last_out is not None and 0 <= behind <= self.policy.jump_ns:
            self.counts.late += 1
            return
        self._last_out = stamp
        self.counts.thermal_alone += 1
        self._decided.append(Match(None, frame, None))
