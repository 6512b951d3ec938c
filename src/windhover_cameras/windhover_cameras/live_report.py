"""What a camera says of its frames, as diagnostics that go on when it is opened anew."""

from __future__ import annotations

from dataclasses import fields

from windhover.sources.live import CaptureStatistics
from windhover_ros.diagnostics import Health, Level

# Of the last frame; everything else is counted up.
_LATEST = ("clock_step_ns", "delay_ns")
_SHOWN_S = 10.0


class LiveReport:
    """Adds up the counts of one camera's sources and tells what is new in them.

    Args:
        health: of the node.
    """

    def __init__(self, health: Health) -> None:
        self._health = health
        self._before = CaptureStatistics()
        self._now = CaptureStatistics()

    def show(self, counts: CaptureStatistics) -> None:
        """Show the counts of the source that is open now."""
        last, self._now = self._now, counts
        total = _added(self._before, counts)
        show = self._health.set
        show("frames_lost", total.lost)
        show("frames_late", total.late)
        show("frames_replaced", total.replaced)
        show("frames_damaged", total.damaged)
        show("clock_steps", total.clock_steps)
        show("device_clock_restarts", total.device_restarts)
        show("stamps_untrusted", total.stamps_untrusted)
        show("capture_to_arrival_ms", f"{total.delay_ns / 1e6:.2f}")
        if counts.clock_steps > last.clock_steps:
            self._warn(
                "clock",
                f"the system clock was stepped by {counts.clock_step_ns / 1e9:+.3f} s; stamps "
                "go on with the new clock",
            )
        if counts.stamps_untrusted > last.stamps_untrusted:
            self._warn(
                "driver_stamps",
                "the driver's stamps can't be true; the time of arrival stands in for them",
            )

    def close(self, counts: CaptureStatistics) -> None:
        """A source was closed: what it counted is kept."""
        self._before, self._now = _added(self._before, counts), CaptureStatistics()

    def _warn(self, key: str, text: str) -> None:
        self._health.problem(key, Level.WARN, text, for_s=_SHOWN_S)


def _added(before: CaptureStatistics, now: CaptureStatistics) -> CaptureStatistics:
    values = {
        field.name: getattr(now, field.name)
        + (0 if field.name in _LATEST else getattr(before, field.name))
        for field in fields(CaptureStatistics)
    }
    return CaptureStatistics(**values)
