"""Latency windows: what they keep, what they sum up, what an idle stage shows."""

from __future__ import annotations

import numpy as np
import pytest

from windhover.health.latency import STAGES, LatencyStats, StageTimings

MS = 1_000_000
S = 1_000_000_000


def test_nothing_recorded_has_no_percentiles() -> None:
    summary = LatencyStats().summary()
    assert summary.count == 0
    assert summary.p50_ms is None
    assert summary.age_s is None
    assert summary.rate_hz == 0.0


def test_summary_by_hand() -> None:
    stats = LatencyStats(window=100)
    for n in range(1, 101):
        stats.record(n * MS, at_ns=n * S // 10)
    summary = stats.summary(now_ns=10 * S + S // 2)
    assert summary.count == 100
    assert summary.p50_ms == pytest.approx(50.5)
    assert summary.p99_ms == pytest.approx(99.01)
    assert summary.mean_ms == pytest.approx(50.5)
    assert summary.max_ms == summary.worst_ms == pytest.approx(100.0)
    assert summary.age_s == pytest.approx(0.5)


def test_window_forgets_the_oldest_but_not_the_worst() -> None:
    stats = LatencyStats(window=4)
    for n, ms in enumerate([90, 1, 2, 3, 4, 5]):
        stats.record(ms * MS, at_ns=n * S)
    np.testing.assert_allclose(stats.samples_ms(), [2, 3, 4, 5])
    summary = stats.summary(now_ns=5 * S)
    assert summary.count == 6
    assert summary.max_ms == 5.0
    assert summary.worst_ms == 90.0


def test_rate_of_a_steady_stream_and_of_one_that_stopped() -> None:
    stats = LatencyStats(horizon_s=5.0)
    for n in range(301):
        stats.record(MS, at_ns=n * S // 30)
    last = 10 * S
    assert stats.rate_hz(last) == pytest.approx(30.0, rel=1e-3)
    # Within one period of the last frame nothing is late yet.
    assert stats.rate_hz(last + S // 60) == pytest.approx(30.0, rel=1e-3)
    rates = [stats.rate_hz(last + n * S) for n in range(6)]
    assert rates == sorted(rates, reverse=True)
    assert rates[2] < 30.0
    assert rates[5] == 0.0
    assert stats.summary(last + 7 * S).age_s == pytest.approx(7.0)


def test_rate_of_events_at_the_same_instant_is_not_infinite() -> None:
    stats = LatencyStats()
    stats.record(MS, at_ns=S)
    stats.record(MS, at_ns=S)
    assert stats.rate_hz(S) == 0.0


def test_clear_forgets_everything() -> None:
    stats = LatencyStats(window=2)
    stats.record(5 * MS)
    stats.clear()
    assert stats.count == 0
    assert len(stats.samples_ms()) == 0
    stats.record(3 * MS)
    assert stats.summary().worst_ms == 3.0


@pytest.mark.parametrize("bad", [{"window": 0}, {"horizon_s": 0.0}])
def test_senseless_windows_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="positive"):
        LatencyStats(**bad)  # type: ignore[arg-type]


def test_stages_keep_their_order_and_show_only_what_ran() -> None:
    timings = StageTimings(window=8)
    assert tuple(timings) == STAGES
    timings.record("total", 9 * MS, at_ns=S)
    timings.record("inference", 7 * MS, at_ns=S)
    assert list(timings.summaries(S)) == ["inference", "total"]
    assert timings.summaries(S)["inference"].p50_ms == 7.0
    assert timings.samples_ms()["total"].tolist() == [9.0]
    assert timings["inference"].count == 1
    with pytest.raises(KeyError):
        timings.record("warp", 1)
