"""Capture statistics of a camera as diagnostics; totals continue when it is opened again."""

from __future__ import annotations

from dataclasses import fields

from windhover.sources.live import CaptureStatistics
from windhover_ros.diagnostics import Health, Level

# These describe the last frame; all others are totals.
_OF_LAST_FRAME = ("clock_step_ns", "delay_ns")
_SHOWN_S = 10.0


class LiveReport:
    """Adds up the statistics of one camera's sources and reports changes.

    Args:
        health: of the node.
    """

    def __init__(self, health: Health) -> None:
        self._health = health
        self._before = CaptureStatistics()
        self._now = CaptureStatistics()

    def show(self, statistics: CaptureStatistics) -> None:
        """Report the statistics of the source that is open now."""
        last, self._now = self._now, statistics
        total = _sum(self._before, statistics)
        show = self._health.set
        show("frames_lost", total.lost)
        show("frames_late", total.late)
        show("frames_replaced", total.replaced)
        show("frames_damaged", total.damaged)
        show("clock_steps", total.clock_steps)
        show("device_clock_restarts", total.device_restarts)
        show("stamps_untrusted", total.stamps_untrusted)
        show("capture_to_arrival_ms", f"{total.delay_ns / 1e6:.2f}")
        if statistics.clock_steps > last.clock_steps:
            self._warn(
                "clock",
                f"the system clock was stepped by {statistics.clock_step_ns / 1e9:+.3f} s; stamps "
                "continue with the new clock",
            )
        if statistics.stamps_untrusted > last.stamps_untrusted:
            self._warn(
                "driver_stamps",
                "the driver's stamps are impossible; the time of arrival is used instead",
            )

    def close(self, statistics: CaptureStatistics) -> None:
        """Keep the totals of a source that was closed."""
        self._before, self._now = _sum(self._before, statistics), CaptureStatistics()

    def _warn(self, key: str, text: str) -> None:
        self._health.problem(key, Level.WARN, text, for_s=_SHOWN_S)


def _sum(before: CaptureStatistics, now: CaptureStatistics) -> CaptureStatistics:
    values = {
        field.name: getattr(now, field.name)
        + (0 if field.name in _OF_LAST_FRAME else getattr(before, field.name))
        for field in fields(CaptureStatistics)
    }
    return CaptureStatistics(**values)
