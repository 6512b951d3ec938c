"""Two cameras' frames as one stream of pairs, and how well they fit in time."""

from __future__ import annotations

import time

from windhover.health.latency import LatencyStats
from windhover.pairing.intake import Intake, Modality
from windhover.pairing.matching import Match, Pairer

_RATE_WINDOW = 64


class PairStream:
    """What a worker loops over: pairs, as frames arrive and waiting times run out.

    Args:
        intake: both cameras' frames.
        pairer: decides which belong together.

    Attributes:
        ended: RGB has ended (both cameras, where thermal may go on alone) and all
            pairs were handed out.
    """

    def __init__(self, intake: Intake, pairer: Pairer) -> None:
        self.ended = False
        self._intake = intake
        self._pairer = pairer
        self._rates: dict[Modality, LatencyStats] = {
            "rgb": LatencyStats(_RATE_WINDOW),
            "thermal": LatencyStats(_RATE_WINDOW),
        }
        self._errors = LatencyStats()
        self._offsets = LatencyStats()

    def next(self, timeout_s: float) -> list[Match]:
        """Wait for a frame of either camera, and return what is decided by then.

        Args:
            timeout_s: longest wait, seconds; shorter where a pair is due before.
        """
        pairer, intake = self._pairer, self._intake
        due = pairer.due_ns()
        if due is not None:
            timeout_s = min(timeout_s, max(0.0, (due - time.monotonic_ns()) / 1e9))
        arrival = intake.take(timeout_s)
        if arrival is not None:
            self._rates[arrival.modality].record(0, arrival.at_ns)
            add = pairer.add_rgb if arrival.modality == "rgb" else pairer.add_thermal
            add(arrival.frame, arrival.at_ns)
        if intake.rgb.ended:
            pairer.end_rgb()
        if intake.thermal.ended:
            pairer.end_thermal()
        matches = pairer.take(time.monotonic_ns())
        for match in matches:
            if match.offset_ns is not None:
                self._errors.record(abs(match.offset_ns))
                self._offsets.record(match.offset_ns)
        thermal_goes_on = pairer.policy.thermal_alone and not intake.thermal.ended
        if intake.rgb.ended and not pairer.undecided and not thermal_goes_on:
            # A thermal camera that goes on must not wait for room.
            intake.thermal.close()
            self.ended = True
        return matches

    def values(self) -> dict[str, str]:
        """Counts, rates and errors in time, for diagnostics."""
        counts = self._pairer.counts
        names = ("pairs", "rgb_alone", "thermal_alone", "late", "resets")
        shown = {name: str(getattr(counts, name)) for name in names}
        shown |= {f"{name}_rate_hz": f"{rate.rate_hz():.2f}" for name, rate in self._rates.items()}
        error = self._errors.summary()
        if error.mean_ms is not None and error.p99_ms is not None and error.worst_ms is not None:
            shown["pairing_error_mean_ms"] = f"{error.mean_ms:.2f}"
            shown["pairing_error_p99_ms"] = f"{error.p99_ms:.2f}"
            shown["pairing_error_worst_ms"] = f"{error.worst_ms:.2f}"
            shown["thermal_offset_mean_ms"] = f"{self._offsets.summary().mean_ms:.2f}"
        shown["tolerance_ms"] = f"{self._pairer.tolerance_ns / 1e6:.2f}"
        shown["dropped"] = str(self._intake.dropped)
        return shown

    def stale(self, now_ns: int) -> dict[Modality, bool]:
        """Whether each camera has been silent too long, or never spoke."""
        pairer = self._pairer
        return {"thermal": pairer.thermal_stale(now_ns), "rgb": pairer.rgb_stale(now_ns)}
