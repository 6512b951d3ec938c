import pytest

from windhover.health.level import Level
from windhover.health.stage import StageLimits, StageMonitor, StageReport

S = 1_000_000_000


def watch(**limits):
    return StageMonitor("detector", "/detections", StageLimits(**limits), now_s=100.0)


def flow(stage, start_s, rate_hz, seconds, latency_ms=20.0):
    for step in range(int(rate_hz * seconds)):
        stage.add_result(int(latency_ms * 1e6), int((start_s + step / rate_hz) * S))
    return start_s + (int(rate_hz * seconds) - 1) / rate_hz


def test_a_stage_with_results_is_well():
    stage = watch()
    now = flow(stage, 100.0, 30.0, 3.0)
    assert stage.assess(now).level is Level.OK
    values = stage.values(now)
    assert values["results"] == "90"
    assert float(values["rate_hz"]) == pytest.approx(30.0, rel=0.02)
    assert float(values["latency_p99_ms"]) == pytest.approx(20.0)


def test_silence_beyond_the_limit_is_stale_and_the_text_has_its_length():
    stage = watch(stale_after_s=1.0)
    assert stage.assess(100.9).level is Level.OK
    assert stage.assess(101.2).text == "detector: nothing on /detections for 1.2 s"
    now = flow(stage, 102.0, 30.0, 1.0)
    assert stage.assess(now).level is Level.OK
    assert stage.assess(now + 1.5).level is Level.STALE


def test_silence_counts_from_the_return_of_the_input():
    stage = watch(stale_after_s=1.0)
    now = flow(stage, 100.0, 10.0, 3.0) + 8.0
    assert stage.is_stalled(now)
    assert not stage.is_stalled(now, input_age_s=0.4)
    assert stage.is_stalled(now, input_age_s=1.4)


def test_a_silent_stage_is_stale_whatever_it_reports():
    stage = watch(stale_after_s=1.0)
    stage.add_report(StageReport(Level.OK, "running", at_s=105.0, values={"state": "active"}))
    assert stage.assess(105.0).level is Level.STALE


def test_its_own_error_is_reported_with_its_silence():
    stage = watch(stale_after_s=1.0)
    stage.add_report(StageReport(Level.ERROR, "int8.dlc is gone", at_s=105.0))
    status = stage.assess(105.0)
    assert status.level is Level.STALE
    assert status.text.endswith("detector says: int8.dlc is gone")


def test_old_diagnostics_do_not_count():
    stage = watch()
    stage.add_report(StageReport(Level.ERROR, "old", at_s=100.0))
    now = flow(stage, 104.0, 30.0, 2.0)
    assert stage.assess(now).level is Level.OK


@pytest.mark.parametrize(
    ("limits", "rate_hz", "latency_ms", "expected"),
    [
        ({"min_rate_hz": 25.0}, 10.0, 20.0, "at least 25 are required"),
        ({"max_latency_ms": 100.0}, 30.0, 250.0, "250 ms from capture to result"),
    ],
)
def test_slow_results_are_a_warning_with_the_measured_value(limits, rate_hz, latency_ms, expected):
    stage = watch(**limits)
    now = flow(stage, 100.0, rate_hz, 5.0, latency_ms)
    status = stage.assess(now)
    assert status.level is Level.WARN
    assert expected in status.text


def test_frames_that_are_dropped_are_counted_as_a_share_of_the_last_seconds():
    stage = watch(max_drop_share=0.5)
    for second in range(6):
        now = flow(stage, 100.0 + second, 10.0, 1.0)
        stage.add_report(StageReport(Level.OK, "", at_s=now, values={"dropped": str(20 * second)}))
    assert stage.drop_share() == pytest.approx(2 / 3)
    assert "67% of its frames are dropped" in stage.assess(now).text


def test_a_counter_that_was_reset_is_no_drop():
    stage = watch()
    stage.add_report(StageReport(Level.OK, "", at_s=100.0, values={"dropped": "500"}))
    stage.add_report(StageReport(Level.OK, "", at_s=101.0, values={"dropped": "0"}))
    assert stage.drop_share() == 0.0


def test_a_stage_stalls_once_it_is_silent_for_longer_than_results_take():
    stage = watch(stale_after_s=0.75)
    now = flow(stage, 100.0, 30.0, 2.0)
    assert not stage.is_stalled(now + 0.7)
    assert stage.is_stalled(now + 0.8)


def test_a_slow_stage_and_one_that_still_loads_are_not_stalled():
    stage = watch(stale_after_s=0.75)
    assert not stage.is_stalled(105.0)
    now = flow(stage, 105.0, 0.5, 10.0, latency_ms=2300.0)
    assert not stage.is_stalled(now + 6.0)
    assert stage.is_stalled(now + 7.0)


def test_a_restarted_stage_may_load_and_is_watched_once_it_is_active():
    stage = watch(stale_after_s=0.75)
    now = flow(stage, 100.0, 30.0, 2.0)
    stage.on_restart(now + 0.7)
    # What others see is reported all the same.
    assert stage.assess(now + 5.0).level is Level.STALE
    assert not stage.is_stalled(now + 15.0)
    stage.add_report(StageReport(Level.OK, "running", at_s=now + 15.0, values={"state": "active"}))
    assert not stage.is_stalled(now + 15.7)
    assert stage.is_stalled(now + 15.8)


def test_a_stage_that_was_down_has_time_to_start():
    stage = watch(stale_after_s=0.75)
    now = flow(stage, 100.0, 30.0, 2.0)
    stage.add_report(
        StageReport(Level.ERROR, "camera gone", at_s=now, values={"state": "unconfigured"})
    )
    stage.add_report(StageReport(Level.OK, "running", at_s=now + 3.0, values={"state": "active"}))
    assert not stage.is_stalled(now + 3.7)
    assert stage.is_stalled(now + 3.8)
