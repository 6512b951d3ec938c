import pytest

from windhover.health.level import Level
from windhover.health.stage import StageLimits, StageReport, StageWatch

S = 1_000_000_000


def watch(**limits):
    return StageWatch("detector", "/detections", StageLimits(**limits), now_s=100.0)


def flow(stage, start_s, rate_hz, seconds, latency_ms=20.0):
    for step in range(int(rate_hz * seconds)):
        stage.result(int(latency_ms * 1e6), int((start_s + step / rate_hz) * S))
    return start_s + (int(rate_hz * seconds) - 1) / rate_hz


def test_results_that_flow_are_well():
    stage = watch()
    now = flow(stage, 100.0, 30.0, 3.0)
    assert stage.judge(now).level is Level.OK
    values = stage.values(now)
    assert values["results"] == "90"
    assert float(values["rate_hz"]) == pytest.approx(30.0, rel=0.02)
    assert float(values["latency_p99_ms"]) == pytest.approx(20.0)


def test_silence_is_stale_from_the_limit_on_and_says_for_how_long():
    stage = watch(stale_after_s=1.0)
    assert stage.judge(100.9).level is Level.OK
    assert stage.judge(101.2).text == "detector: nothing on /detections for 1.2 s"
    now = flow(stage, 102.0, 30.0, 1.0)
    assert stage.judge(now).level is Level.OK
    assert stage.judge(now + 1.5).level is Level.STALE


def test_a_stage_that_was_without_input_has_its_time_once_that_is_back():
    stage = watch(stale_after_s=1.0)
    now = flow(stage, 100.0, 10.0, 3.0) + 8.0
    assert stage.stands_still(now)
    assert not stage.stands_still(now, owes_s=0.4)
    assert stage.stands_still(now, owes_s=1.4)


def test_a_stage_that_says_all_is_well_but_gives_nothing_is_stale():
    stage = watch(stale_after_s=1.0)
    stage.hear(StageReport(Level.OK, "running", at_s=105.0, values={"state": "active"}))
    assert stage.judge(105.0).level is Level.STALE


def test_its_own_error_is_told_with_its_silence():
    stage = watch(stale_after_s=1.0)
    stage.hear(StageReport(Level.ERROR, "int8.dlc is gone", at_s=105.0))
    verdict = stage.judge(105.0)
    assert verdict.level is Level.STALE
    assert verdict.text.endswith("detector says: int8.dlc is gone")


def test_what_was_said_long_ago_counts_no_more():
    stage = watch()
    stage.hear(StageReport(Level.ERROR, "old", at_s=100.0))
    now = flow(stage, 104.0, 30.0, 2.0)
    assert stage.judge(now).level is Level.OK


@pytest.mark.parametrize(
    ("limits", "rate_hz", "latency_ms", "told"),
    [
        ({"min_rate_hz": 25.0}, 10.0, 20.0, "25 are asked"),
        ({"max_latency_ms": 100.0}, 30.0, 250.0, "250 ms from capture to result"),
    ],
)
def test_slow_results_are_a_warning_that_says_by_how_much(limits, rate_hz, latency_ms, told):
    stage = watch(**limits)
    now = flow(stage, 100.0, rate_hz, 5.0, latency_ms)
    verdict = stage.judge(now)
    assert verdict.level is Level.WARN
    assert told in verdict.text


def test_frames_that_are_dropped_are_counted_as_a_share_of_the_last_seconds():
    stage = watch(max_drop_share=0.5)
    for second in range(6):
        now = flow(stage, 100.0 + second, 10.0, 1.0)
        stage.hear(StageReport(Level.OK, "", at_s=now, values={"dropped": str(20 * second)}))
    assert stage.drop_share() == pytest.approx(2 / 3)
    assert "67% of its frames are dropped" in stage.judge(now).text


def test_a_counter_that_began_anew_is_no_drop():
    stage = watch()
    stage.hear(StageReport(Level.OK, "", at_s=100.0, values={"dropped": "500"}))
    stage.hear(StageReport(Level.OK, "", at_s=101.0, values={"dropped": "0"}))
    assert stage.drop_share() == 0.0


def test_it_stands_still_once_it_is_silent_for_longer_than_results_take():
    stage = watch(stale_after_s=0.75)
    now = flow(stage, 100.0, 30.0, 2.0)
    assert not stage.stands_still(now + 0.7)
    assert stage.stands_still(now + 0.8)


def test_a_slow_stage_and_one_that_still_loads_do_not_stand_still():
    stage = watch(stale_after_s=0.75)
    assert not stage.stands_still(105.0)
    now = flow(stage, 105.0, 0.5, 10.0, latency_ms=2300.0)
    assert not stage.stands_still(now + 6.0)
    assert stage.stands_still(now + 7.0)


def test_a_stage_whose_process_is_new_has_time_to_load_and_is_watched_once_it_says_active():
    stage = watch(stale_after_s=0.75)
    now = flow(stage, 100.0, 30.0, 2.0)
    stage.new_start(now + 0.7)
    # What others see is told all the same.
    assert stage.judge(now + 5.0).level is Level.STALE
    assert not stage.stands_still(now + 15.0)
    stage.hear(StageReport(Level.OK, "running", at_s=now + 15.0, values={"state": "active"}))
    assert not stage.stands_still(now + 15.7)
    assert stage.stands_still(now + 15.8)


def test_a_stage_that_was_down_has_its_time_to_begin_again():
    stage = watch(stale_after_s=0.75)
    now = flow(stage, 100.0, 30.0, 2.0)
    stage.hear(StageReport(Level.ERROR, "camera gone", at_s=now, values={"state": "unconfigured"}))
    stage.hear(StageReport(Level.OK, "running", at_s=now + 3.0, values={"state": "active"}))
    assert not stage.stands_still(now + 3.7)
    assert stage.stands_still(now + 3.8)
