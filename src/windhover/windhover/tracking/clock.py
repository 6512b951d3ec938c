"""Time between frames, from stamps that may go backwards or jump."""

from __future__ import annotations


class FrameClock:
    """Turns the stamps of successive frames into elapsed time.

    A stamp slightly behind the last counts as no time. If the next one continues
    from it, the clock was set back, and time continues from there; if it is ahead
    again, one frame came late, and time continues from the latest stamp.

    Args:
        jump_s: step, forward or back, beyond which the stamps do not show how much
            time passed, seconds.
    """

    def __init__(self, jump_s: float) -> None:
        self._jump_ns = round(jump_s * 1e9)
        self._last: int | None = None
        self._latest = 0

    def advance(self, stamp_ns: int) -> int | None:
        """Process the stamp of the next frame.

        Args:
            stamp_ns: nanoseconds.

        Returns:
            Nanoseconds since the frame before, 0 or more (0 for the first);
            ``None`` after a clock jump.
        """
        last = self._last
        self._last = stamp_ns
        if last is None:
            self._latest = stamp_ns
            return 0
        if abs(stamp_ns - last) > self._jump_ns:
            self._latest = stamp_ns
            return None
        if stamp_ns >= self._latest:
            elapsed = stamp_ns - self._latest
            self._latest = stamp_ns
            return elapsed
        return max(0, stamp_ns - last)

    def reset(self) -> None:
        """Treat the next stamp as the first."""
        self._last = None
