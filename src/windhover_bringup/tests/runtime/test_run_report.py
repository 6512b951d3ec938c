import json

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from windhover_bringup.runtime.config import Config
from windhover_bringup.runtime.plan import RunPlan
from windhover_bringup.runtime.run_messages import frames_line
from windhover_bringup.runtime.run_report import RunReport

SAID = {
    "thermal_camera": {"frames": "86", "frames_unreadable": "2", "source_p50_ms": "1.5",
                       "source_p99_ms": "3.0"},
    "detector": {"frames": "30", "frames_refused": "1", "backend": "cpu", "model": "blob 1.0.0",
                 "inference_p50_ms": "20.0", "inference_p99_ms": "25.0"},
    "tracker": {"frames": "30", "capture_to_result_p50_ms": "50.0",
                "capture_to_result_p99_ms": "70.0"},
}  # fmt: skip


def report(out, source="flight.mp4"):
    config = Config().with_values("thermal_camera", source=source)
    made = RunReport(RunPlan(("detector",), ("thermal_camera",), config, 86, "metrics.json"), out)
    made.take(SAID)
    return made


def test_what_the_nodes_said_becomes_metrics_and_a_closing_line(tmp_path, capsys):
    report(tmp_path).write()
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    run = metrics["run"]
    assert (run["frames"], run["frames_dropped"], run["frames_refused"]) == ("30", "55", "1")
    assert (run["backend"], run["model"], run["frames_unreadable"]) == ("cpu", "blob 1.0.0", "2")
    assert metrics["latency_ms"]["inference"]["p99"] == 25.0
    assert metrics["latency_ms"]["source"]["count"] == 86
    assert metrics["latency_ms"]["capture_to_tracks"]["p50"] == 50.0
    assert "tracking" not in metrics["latency_ms"]
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("30 frames detected and tracked, 55 dropped (65 %)")
    assert "--rate 0" in printed[0]
    assert printed[1] == f"wrote {tmp_path}"


def test_a_node_that_said_nothing_counts_none(tmp_path, capsys):
    silent = report(None)
    silent.take({})
    silent.write()
    assert capsys.readouterr().out == "0 frames detected and tracked, none dropped\n"


def test_the_advice_is_for_the_kind_of_source():
    assert "--rate 0" in frames_line(5, 5, live=False)
    assert "faster backend" in frames_line(5, 5, live=True)
    assert frames_line(5, 0, live=True) == "5 frames detected and tracked, none dropped"
