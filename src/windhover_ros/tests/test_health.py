import pytest

pytest.importorskip("rclpy")

from windhover_ros.diagnostics import Health, Level, to_status


def test_an_idle_stage_is_well():
    report = Health(("work",)).report()
    assert (report.level, report.message) == (Level.OK, "idle")


def test_rates_latencies_and_counts_are_told():
    health = Health(("work",))
    health.set_active(True)
    for _ in range(5):
        health.timings.record("work", 2_000_000)
        health.frame(7_000_000)
    health.count("dropped", 3)
    health.set("backend", "cpu")
    report = health.report()
    assert report.level is Level.OK
    assert report.values["frames"] == "5"
    assert report.values["work_p50_ms"] == "2.000"
    assert report.values["capture_to_result_p99_ms"] == "7.00"
    assert (report.values["dropped"], report.values["backend"]) == ("3", "cpu")


def test_silence_is_stale_only_while_frames_are_due():
    health = Health((), stale_after_s=0.0)
    health.set_active(True)
    assert health.report().level is Level.STALE
    health.set_active(False)
    assert health.report().level is Level.OK


def test_the_worst_problem_speaks_and_all_are_listed():
    health = Health(())
    health.problem("a", Level.WARN, "small")
    health.problem("b", Level.ERROR, "large")
    report = health.report()
    assert (report.level, report.message) == (Level.ERROR, "large")
    assert (report.values["problem_0"], report.values["problem_1"]) == ("large", "small")
    health.clear_problem("b")
    assert health.report().message == "small"


def test_of_two_alike_that_which_stays_speaks():
    health = Health(())
    health.problem("deadline", Level.WARN, "late now and then", for_s=5.0)
    health.problem("backend", Level.WARN, "another backend runs")
    assert health.report().message == "another backend runs"


def test_a_passing_problem_passes():
    health = Health(())
    health.problem("a", Level.WARN, "brief", for_s=0.0)
    assert health.problems() == []
    assert health.report().message == "brief"
    assert health.report().level is Level.OK


def test_a_passing_problem_that_was_cleared_stands_in_one_report():
    """A frame fails between two good ones, and reports are due once a second."""
    health = Health(())
    health.problem("frame", Level.ERROR, "the run failed", for_s=10.0)
    health.clear_problem("frame")
    assert health.problems() == []
    assert health.report().message == "the run failed"
    assert health.report().level is Level.OK


def test_a_lasting_problem_that_was_cleared_is_gone():
    health = Health(())
    health.problem("stage", Level.ERROR, "no model")
    health.clear_problem("stage")
    assert health.report().level is Level.OK


def test_what_a_report_showed_is_not_shown_again_once_cleared():
    health = Health(())
    health.problem("frame", Level.ERROR, "the run failed", for_s=10.0)
    assert health.report().message == "the run failed"
    assert health.report().message == "the run failed"
    health.clear_problem("frame")
    assert health.report().level is Level.OK


def test_the_message_carries_it_all():
    health = Health(())
    health.problem("a", Level.ERROR, "broken")
    status = to_status(health.report(), "detector", "board")
    assert status.level == b"\x02"
    assert (status.name, status.message, status.hardware_id) == ("detector", "broken", "board")
    assert {v.key: v.value for v in status.values}["problem_0"] == "broken"
