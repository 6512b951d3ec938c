import json
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

import rclpy
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray
from vision_msgs.msg import Detection2DArray

from tests.support.fixtures import PATIENCE_S, problems, wait_for
from windhover.errors import BackendError, ConfigError, RestartRequiredError
from windhover.health.level import Level
from windhover.health.stage import StageReport
from windhover_bringup.monitor.node import HEARTBEAT_DEADLINE_S, MonitorNode
from windhover_bringup.monitor.stages import inputs_of
from windhover_bringup.runtime.composed import Pipeline
from windhover_bringup.runtime.config import Config
from windhover_bringup.runtime.supervisor import notify
from windhover_ros import qos
from windhover_ros.runner import StopRequest, spin_in_threads


@pytest.fixture
def running(ros, blob_folder, blob_bundle):
    """A pipeline over the blob folder, again and again, brought up and spun."""
    stack = []

    def run(**sections):
        config = (
            Config()
            .with_values("detector", model=str(blob_bundle), **sections.get("detector", {}))
            .with_values("thermal_camera", source=str(blob_folder), loop=True, rate=0.5)
            # However late the machine that runs the tests is, and whatever it says of itself.
            .with_values("detector", deadline_s=0.0)
            .with_values("tracker", deadline_s=0.0)
            .with_values("monitor", warm_c=200.0, hot_c=200.0, min_free_memory_mib=0.0)
            .with_values(
                "monitor", clear_delay_s=0.2, max_drop_share=1.0, **sections.get("monitor", {})
            )
        )
        pipeline = Pipeline(config)
        stack.append(pipeline)
        pipeline.start()
        spin = spin_in_threads(pipeline.nodes)
        spin.__enter__()
        stack.append(spin)
        return pipeline

    yield run
    for part in reversed(stack):
        part.close() if isinstance(part, Pipeline) else part.__exit__(None, None, None)


def entry(heard, name):
    return next((s for s in heard[-1].status if s.name == name), None) if heard else None


def level(heard, name):
    status = entry(heard, name)
    return None if status is None else Level(status.level[0])


def values(status):
    return {item.key: item.value for item in status.values}


def test_a_late_subscriber_gets_health_and_heartbeats(running, nodes):
    pipeline = running()
    monitor = pipeline.monitor
    wait_for(lambda: monitor.overall.level is Level.OK, "all well")
    heard = nodes.listener(DiagnosticArray, "health", qos.latched())
    beats = nodes.listener(Time, "heartbeat", qos.result(HEARTBEAT_DEADLINE_S))
    wait_for(lambda: heard, "the latched summary")
    wait_for(lambda: len(beats) > 4, "beats")
    names = [status.name for status in heard[-1].status]
    assert names == [
        "monitor", "monitor/thermal_camera", "monitor/detector", "monitor/tracker",
        "monitor/machine",
    ]  # fmt: skip
    wait_for(lambda: level(heard, "monitor/detector") is Level.OK, "the detector's level")
    reported = values(entry(heard, "monitor/detector"))
    assert float(reported["rate_hz"]) > 1
    assert reported["topic"] == "/detections"
    assert float(values(entry(heard, "monitor/machine"))["rss_mib"]) > 10


def test_results_that_are_published_and_not_heard_are_stale(running, monkeypatch):
    pipeline = running(monitor={"recover": False, "silence_s": 0.5})
    monitor, detector = pipeline.monitor, pipeline.detector
    wait_for(lambda: monitor.overall.level is Level.OK, "all well")
    # Counted where they are published: no subscription hears each one.
    assert not list(monitor.subscriptions)
    monkeypatch.setattr(detector._detections, "publish", lambda _: None)
    wait_for(lambda: monitor.chain.status("detector").level is Level.STALE, "silence on the wire")
    assert monitor.chain.status("detector").text.startswith("detector: nothing on /detections")
    wait_for(lambda: any("do not arrive on /detections" in text for text in problems(monitor)), "")
    # Its thread goes on all the while.
    before = detector.health.frames.count
    wait_for(lambda: detector.health.frames.count > before, "frames")
    monkeypatch.undo()
    wait_for(lambda: monitor.chain.status("detector").level is Level.OK, "results again")


def test_a_detector_that_hangs_is_recovered_with_another_backend(running, nodes):
    pipeline = running()
    detector = pipeline.detector
    wait_for(lambda: detector.health.frames.count > 5, "frames")
    forever = threading.Event()
    hung = detector._detector.backend
    hung.run = lambda _: forever.wait(60.0)
    wait_for(lambda: detector._detector and detector._detector.backend is not hung, "a new one")
    before = detector.health.frames.count
    wait_for(lambda: detector.health.frames.count > before + 5, "frames again")
    forever.set()


def test_pairing_that_hangs_is_recovered(ros, two_cameras, rgbt_bundle, monkeypatch):
    config = (
        Config()
        .with_values("detector", model=str(rgbt_bundle))
        .with_values("pairing", calibration=str(two_cameras.calibration), wait_s=1.0)
        .with_values("monitor", max_drop_share=1.0)
    )
    for name in ("rgb", "thermal"):
        source = str(two_cameras.folder / name)
        config = config.with_values(f"{name}_camera", source=source, loop=True, rate=0.5)
    pipeline = Pipeline(config)
    hung, forever = threading.Event(), threading.Event()
    hand_on = pipeline.pairing._hand_on

    def hang_once(match):
        if pipeline.pairing.health.frames.count > 5 and not hung.is_set():
            hung.set()
            forever.wait(60.0)
            return
        hand_on(match)

    monkeypatch.setattr(pipeline.pairing, "_hand_on", hang_once)
    try:
        pipeline.start()
        with spin_in_threads(pipeline.nodes):
            wait_for(hung.is_set, "the hang")
            before = pipeline.pairing.health.frames.count
            wait_for(lambda: pipeline.pairing.health.frames.count > before + 5, "pairs again")
        assert pipeline.monitor.health.counter("recoveries_pairing") >= 1
        # The detector had no input, which is not its fault.
        assert pipeline.monitor.health.counter("recoveries_detector") == 0
    finally:
        forever.set()
        pipeline.close()


def test_with_two_cameras_the_detector_waits_for_pairing_and_that_for_rgb():
    watched = ["rgb_camera", "thermal_camera", "pairing", "detector", "tracker"]
    assert inputs_of("pairing", watched) == ("rgb_camera",)
    assert inputs_of("pairing", ["thermal_camera", "pairing"]) == ("thermal_camera",)
    assert inputs_of("detector", watched) == ("pairing",)
    assert inputs_of("detector", ["thermal_camera", "detector"]) == ("thermal_camera",)


def test_a_second_chain_in_the_domain_is_reported_and_forgotten(ros, nodes, monkeypatch):
    monkeypatch.setattr("windhover_bringup.monitor.node.TWO_CHAINS_S", 0.5)
    monitor = nodes.add(MonitorNode({"watch": ["tracker"]}))
    monitor.bring_up()
    first, second = (nodes.add(rclpy.create_node(name)) for name in ("first", "second"))
    first.create_publisher(Detection2DArray, "tracks", qos.result(0.5))
    wait_for(lambda: monitor.count_publishers("/tracks") == 1, "a chain")
    assert "two_chains" not in str(problems(monitor))
    other = second.create_publisher(Detection2DArray, "tracks", qos.result(0.5))
    said = "several nodes publish /tracks: two chains run in ROS domain"
    wait_for(lambda: any(text.startswith(said) for text in problems(monitor)), "the warning")
    second.destroy_publisher(other)
    wait_for(lambda: not any(text.startswith(said) for text in problems(monitor)), "its end")


def test_a_restarted_process_is_left_alone_while_it_starts(ros, nodes):
    monitor = nodes.add(MonitorNode({"watch": ["tracker"]}))
    first = nodes.add(rclpy.create_node("first"))
    first.create_publisher(Detection2DArray, "tracks", qos.result(0.5))
    monitor.bring_up()
    stage = monitor.chain["tracker"].monitor
    wait_for(lambda: len(monitor._known_publishers["tracker"]) == 1, "the publisher")
    stage.add_result(0, time.monotonic_ns())
    stage.add_report(StageReport(Level.OK, "", time.monotonic(), {"state": "active"}))
    second = nodes.add(rclpy.create_node("second"))
    second.create_publisher(Detection2DArray, "tracks", qos.result(0.5))
    wait_for(lambda: len(monitor._known_publishers["tracker"]) == 2, "its successor")
    assert not stage.is_stalled(time.monotonic() + 10.0)


def test_a_backend_that_keeps_failing_is_replaced_and_reported(running, monkeypatch):
    from windhover.inference import fallback

    monkeypatch.setattr(fallback.BackendChain, "_following", staticmethod(lambda name: "cpu"))
    pipeline = running(detector={"fallback_after": 1, "retry_min_s": 0.1})
    detector = pipeline.detector
    wait_for(lambda: detector.health.frames.count > 5, "frames")

    def fail(_):
        raise BackendError("the DSP is gone; see dmesg")

    detector._detector.backend.run = fail
    wait_for(lambda: any("in its place" in text for text in problems(detector)), "the fallback")
    assert any("the DSP is gone" in text for text in problems(detector))
    before = detector.health.frames.count
    wait_for(lambda: detector.health.frames.count > before + 5, "frames again")


def test_a_stage_that_cannot_be_recovered_ends_the_process_where_asked(running):
    pipeline = running(monitor={"end_process": True, "silence_s": 0.2})
    wait_for(lambda: pipeline.tracker.health.frames.count > 5, "frames")
    # The tracker goes on saying that all is well, and gives nothing.
    pipeline.tracker._tracks.publish = lambda _: None
    with StopRequest() as stop, pytest.raises(RestartRequiredError, match="did not help"):
        pipeline.wait(stop)
    assert RestartRequiredError.exit_status == 3


def test_a_stage_that_waits_for_another_says_so_and_is_left_alone(running, nodes):
    heard = nodes.listener(DiagnosticArray, "health", qos.latched())
    pipeline = running(monitor={"camera_silence_s": 1.0})
    wait_for(lambda: level(heard, "monitor") is Level.OK, "all well")
    pipeline.camera._stopping.set()
    wait_for(
        lambda: (s := entry(heard, "monitor/detector")) and "waits for thermal" in s.message,
        "the detector's word",
    )
    assert pipeline.monitor.health.counter("recoveries_detector") == 0


def test_a_node_that_is_unknown_cannot_be_watched(ros):
    with pytest.raises(ConfigError, match="can't watch detektor; it knows rgb_camera"):
        MonitorNode({"watch": ["detektor"]})


def test_systemd_is_notified_where_it_asks(tmp_path, monkeypatch):
    assert not notify("READY=1") or os.environ.get("NOTIFY_SOCKET")
    # Relative: an address has 107 bytes, and the checkout may lie deep.
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("notify")
        systemd.settimeout(PATIENCE_S)
        monkeypatch.setenv("NOTIFY_SOCKET", "notify")
        assert notify("WATCHDOG=1", "STATUS=OK: results flow")
        assert systemd.recv(1024) == b"WATCHDOG=1\nSTATUS=OK: results flow"
    monkeypatch.setenv("NOTIFY_SOCKET", "gone")
    assert not notify("WATCHDOG=1")


def test_a_person_can_ask_from_the_command_line(running):
    pipeline = running()
    wait_for(lambda: pipeline.monitor.overall.level is Level.OK, "all well")
    done = subprocess.run(
        [sys.executable, "-m", "windhover_bringup", "health", "--json", "--timeout", "60"],
        capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert rows[0]["name"] == "monitor"
    assert rows[0]["level"] in {"OK", "WARN"}
    assert {row["name"] for row in rows} >= {"monitor/detector", "monitor/machine"}


def test_where_none_runs_it_says_so(ros):
    done = subprocess.run(
        [sys.executable, "-m", "windhover_bringup", "health", "--timeout", "0.2",
         "--ros-args", "-r", "__ns:=/nowhere"],
        capture_output=True, text=True, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == 2
    assert "no monitor answers on /nowhere/health" in done.stderr
