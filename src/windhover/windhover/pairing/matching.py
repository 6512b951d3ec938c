"""Which thermal frame belongs to which RGB frame: nearest in time, without waiting long.

RGB leads. Each RGB frame comes out at most once, in the order of its stamps,
with the thermal frame that is nearest to it if that is within the tolerance,
and alone if none is. A thermal frame may belong to several RGB frames where RGB
is the faster stream.

A frame is decided as soon as no later thermal frame can be nearer; at the
latest after ``wait_ns``, when the buffer is full, or at once while the thermal
stream is stale. So neither a stall, nor loss, nor disorder can hold RGB up, and
the same frames at the same times give the same pairs.
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
STEPS, LEAST_STEPS = 31, 16


@dataclass(frozen=True, slots=True)
class PairingPolicy:
    """How frames are paired; all times in nanoseconds.

    Attributes:
        tolerance_ns: longest distance of a pair; 0 = half the thermal period as
            measured, beyond which another thermal frame would be nearer.
        thermal_period_ns: the thermal period until it is measured.
        wait_ns: longest time an RGB frame is held for a thermal frame;
            ``None`` = as long as it takes, for recordings.
        stale_ns: a stream silent for so long is stale.
        jump_ns: stamps that go back by more than this are a new start of the
            stream's clock; by less they are frames out of order.
        kept: frames kept of each stream.
        thermal_alone: while RGB is stale, thermal frames come out alone.
    """

    tolerance_ns: int = 0
    thermal_period_ns: int = 33_333_333
    wait_ns: int | None = 50_000_000
    stale_ns: int = 500_000_000
    jump_ns: int = 250_000_000
    kept: int = 16
    thermal_alone: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """A decision. At least one frame is there.

    Attributes:
        rgb: the frame that leads; ``None`` for a thermal frame alone.
        thermal: its nearest thermal frame; ``None`` where none is near enough.
        offset_ns: thermal stamp less RGB stamp; ``None`` unless both are there.
    """

    rgb: Frame | None
    thermal: Frame | None
    offset_ns: int | None


@dataclass(slots=True)
class Counts:
    """What became of the frames so far.

    Attributes:
        rgb: RGB frames taken in.
        thermal: thermal frames taken in.
        pairs: decided with a thermal frame.
        rgb_alone: decided without one.
        thermal_alone: thermal frames that came out alone.
        late: frames refused: older than what had come out already, or there already.
        resets: new starts of a stream's clock.
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
    """One stream's buffer, sorted by stamp, and when it was heard last."""

    stamps: list[int] = field(default_factory=list)
    frames: list[Frame] = field(default_factory=list)
    arrivals: list[int] = field(default_factory=list)
    newest: int | None = None
    heard_ns: int | None = None
    ended: bool = False

    def insert(self, stamp: int, frame: Frame, now_ns: int) -> bool:
        """Put a frame in its place; False where its stamp is there already."""
        at = bisect.bisect_left(self.stamps, stamp)
        if at < len(self.stamps) and self.stamps[at] == stamp:
            return False
        self.stamps.insert(at, stamp)
        self.frames.insert(at, frame)
        self.arrivals.insert(at, now_ns)
        return True

    def pop(self) -> tuple[int, Frame]:
        """Take the oldest out."""
        del self.arrivals[0]
        return self.stamps.pop(0), self.frames.pop(0)

    def clear(self) -> None:
        """Forget the frames, not the stream."""
        self.stamps.clear()
        self.frames.clear()
        self.arrivals.clear()

    def silent(self, now_ns: int, for_ns: int) -> bool:
        """Whether nothing has been heard for so long."""
        return self.heard_ns is None or now_ns - self.heard_ns > for_ns


def _usual(steps: Iterable[int]) -> int:
    """The mean of those steps over which no frame was lost.

    The lower quartile is one of them while up to half are over lost frames.
    """
    ordered = sorted(steps)
    whole = ordered[: bisect.bisect_right(ordered, 1.5 * ordered[len(ordered) // 4])]
    return sum(whole) // len(whole)


class Pairer:
    """Pairs two streams. One thread uses it.

    ``now_ns`` is any monotonic clock; stamps are the frames' own. Give frames
    with :meth:`add_rgb` and :meth:`add_thermal` as they come and take what is
    decided with :meth:`take`.

    Attributes:
        policy: how it pairs.
        counts: what became of the frames.
    """

    def __init__(self, policy: PairingPolicy | None = None) -> None:
        self.policy = policy or PairingPolicy()
        self.counts = Counts()
        self._rgb = _Stream()
        self._thermal = _Stream()
        self._steps: deque[int] = deque(maxlen=STEPS)
        self._period_ns = self.policy.thermal_period_ns
        self._last_out: int | None = None
        self._decided: list[Match] = []

    @property
    def thermal_period_ns(self) -> int:
        """Usual step of the thermal stamps, or what the policy says until there are some."""
        return self._period_ns

    @property
    def tolerance_ns(self) -> int:
        """Longest distance of a pair now."""
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
        stream.heard_ns = now_ns
        if self._jumped(stream, stamp):
            self._decide_all()
            self._last_out = None
        stream.newest = stamp if stream.newest is None else max(stream.newest, stamp)
        late = self._last_out is not None and stamp <= self._last_out
        if late or not stream.insert(stamp, frame, now_ns):
            self.counts.late += 1
        if len(stream.stamps) > self.policy.kept:
            self._decide()

    def add_thermal(self, frame: Frame, now_ns: int) -> None:
        """Take in a thermal frame."""
        self.counts.thermal += 1
        stream, stamp = self._thermal, frame.stamp_ns
        stream.heard_ns = now_ns
        before = stream.newest
        if self._jumped(stream, stamp):
            assert before is not None
            # RGB frames of the old time get theirs while it is still there.
            while self._rgb.stamps and abs(self._rgb.stamps[0] - before) < abs(
                self._rgb.stamps[0] - stamp
            ):
                self._decide()
            stream.clear()
        elif before is not None and stamp > before:
            self._steps.append(stamp - before)
            if len(self._steps) >= LEAST_STEPS:
                self._period_ns = _usual(self._steps)
        stream.newest = stamp if stream.newest is None else max(stream.newest, stamp)
        if not stream.insert(stamp, frame, now_ns):
            self.counts.late += 1
            return
        if len(stream.stamps) > self.policy.kept:
            stream.pop()
        if self.policy.thermal_alone and self.rgb_stale(now_ns):
            self._alone(frame, stamp)

    def end_rgb(self) -> None:
        """No more RGB frames come."""
        self._rgb.ended = True

    def end_thermal(self) -> None:
        """No more thermal frames come."""
        self._thermal.ended = True

    def take(self, now_ns: int) -> list[Match]:
        """What is decided by now, in the order of RGB stamps."""
        while self._rgb.stamps and self._settled(now_ns):
            self._decide()
        decided, self._decided = self._decided, []
        return decided

    def due_ns(self) -> int | None:
        """When :meth:`take` will have more though no frame comes; ``None`` if it won't."""
        if self.policy.wait_ns is None or not self._rgb.stamps:
            return None
        return self._rgb.arrivals[0] + self.policy.wait_ns

    def _jumped(self, stream: _Stream, stamp: int) -> bool:
        # A step forward needs no new start: what is older simply stays behind.
        if stream.newest is None or stream.newest - stamp <= self.policy.jump_ns:
            return False
        stream.newest = None
        self.counts.resets += 1
        return True

    def _settled(self, now_ns: int) -> bool:
        """Whether waiting longer is of no use to the oldest RGB frame."""
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
        """Pair the oldest RGB frame with what is there."""
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

    def _alone(self, frame: Frame, stamp: int) -> None:
        self._decide_all()
        behind = 0 if self._last_out is None else self._last_out - stamp
        if self._last_out is not None and 0 <= behind <= self.policy.jump_ns:
            self.counts.late += 1
            return
        self._last_out = stamp
        self.counts.thermal_alone += 1
        self._decided.append(Match(None, frame, None))
