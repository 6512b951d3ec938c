"""The examples: they read and report, and what they say of the suite is so."""

import importlib.util
import json
import math
import re
import sys
from pathlib import Path
from threading import Thread

import pytest
import yaml

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from tests.support.fixtures import wait_for
from tests.support.processes import start
from windhover.geometry import down_of_attitude
from windhover.tracking.bytetrack.params import ByteTrackParams
from windhover_bringup.recording.recorder import RecorderParams
from windhover_bringup.recording.topics import RunTopics, status_topics
from windhover_bringup.runtime.composed import Pipeline
from windhover_bringup.runtime.config import Config
from windhover_ros.runner import spin_in_threads

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
# What steers: PX4's inputs, MAVROS's set-points and commands, velocity commands.
STEERS = re.compile(
    r"/fmu/in|TrajectorySetpoint|VehicleCommand|OffboardControl|setpoint_|cmd_vel|"
    r"mavros_msgs|CommandLong|SetMode|CommandBool",
)


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_nothing_in_examples_or_suite_steers():
    root = EXAMPLES.parent
    files = [f for d in ("examples", "src", "launch", "config") for f in (root / d).rglob("*")]
    texts = [f for f in files if f.suffix in {".py", ".yaml", ".json", ".rviz", ".xml"}]
    assert len(texts) > 100
    assert [str(f) for f in texts if STEERS.search(f.read_text())] == []


def test_the_mission_consumer_hears_tracks_and_health(ros, blob_bundle, blob_folder):
    child = start(sys.executable, "-u", EXAMPLES / "mission_consumer.py", stderr=None)
    lines = []
    Thread(target=lambda: lines.extend(child.stdout), daemon=True).start()
    config = (
        Config()
        # However late this machine is, and whatever it has to say of itself.
        .with_values("detector", model=str(blob_bundle), deadline_s=0.0)
        .with_values("tracker", deadline_s=0.0)
        .with_values("thermal_camera", source=str(blob_folder), loop=True, rate=0.5)
        .with_values("monitor", max_drop_share=1.0, silence_s=30.0, camera_silence_s=30.0)
        .with_values("monitor", warm_c=200.0, hot_c=200.0)
        .with_values("monitor", min_free_memory_mib=0.0, clear_delay_s=0.0)
    )
    pipeline = Pipeline(config)
    try:
        pipeline.start()
        with spin_in_threads(pipeline.nodes):
            wait_for(
                lambda: all(any(w in x for x in lines) for w in ("person", "vehicle", "is OK")),
                "tracks and health",
            )
    finally:
        pipeline.close()
    wait_for(lambda: "STALE" in [x for x in lines if "perception" in x][-1], "the silence")
    child.terminate()
    wait_for(lambda: child.poll() is not None, "its end")
    pattern = r"track \d+: person [01]\.\d\d at \d+, \d+ px in thermal_camera"
    assert any(re.search(pattern, line) for line in lines)


@pytest.mark.parametrize(
    ("ned", "enu"),
    [
        # Level, nose to the north: in ENU that is a quarter turn to the left from east.
        ((1, 0, 0, 0), (math.sqrt(0.5), 0, 0, math.sqrt(0.5))),
        # Level, nose to the east (a quarter turn to the right in NED).
        ((math.sqrt(0.5), 0, 0, math.sqrt(0.5)), (1, 0, 0, 0)),
    ],
)
def test_attitude_of_px4_is_turned_to_rep_103(ned, enu):
    got = load("px4_bridge").enu_of_ned(ned)
    assert abs(sum(a * b for a, b in zip(got, enu, strict=True))) == pytest.approx(1.0)


def test_a_nose_that_is_down_by_30_degrees_stays_so():
    half = math.radians(-30) / 2
    w, x, y, z = load("px4_bridge").enu_of_ned((math.cos(half), 0.0, math.sin(half), 0.0))
    down = down_of_attitude((x, y, z, w), 0.0)
    # A camera along the nose then has straight down 60 degrees below its axis.
    assert math.degrees(math.acos(down[2])) == pytest.approx(60.0)


def test_height_is_that_above_ground_where_it_is_known():
    height = load("px4_bridge").height_m
    assert height(-41.0, True, 39.5, True) == 39.5
    assert height(-41.0, True, math.nan, True) == 41.0
    assert height(-41.0, True, 0.0, False) == 41.0
    assert height(-41.0, False, 0.0, False) is None


def test_recordings_hold_what_the_layout_shows():
    """Of a live run with the recorder's own parameters, and the overlay asked for."""
    layout = (EXAMPLES / "foxglove.json").read_text()
    named = {m.split(".")[0] for m in re.findall(r'"(/[a-z_/.]+)', layout)}
    run = RunTopics.by_contract(["thermal"])
    params = RecorderParams()
    recorded = {t.name for t in (run.detections, run.tracks, run.cameras["thermal"].preview)}
    for status in status_topics(params.altitude_topic, params.attitude_topic, "imu", overlay=True):
        recorded.add(f"/{status.name.lstrip('/')}")
    assert named <= recorded


def test_the_mission_consumer_keeps_tracks_as_long_as_the_tracker():
    assert ByteTrackParams().lost_seconds == load("mission_consumer").GONE_AFTER_S


def test_layouts_show_topics_that_there_are():
    contract = (EXAMPLES.parent / "docs/reference/topics.md").read_text()
    layout = (EXAMPLES / "foxglove.json").read_text()
    rviz = yaml.safe_load((EXAMPLES / "windhover.rviz").read_text())
    named = {m.split(".")[0] for m in re.findall(r'"(/[a-z_/.]+)', layout)}
    shown = [d["Topic"]["Value"] for d in rviz["Visualization Manager"]["Displays"]]
    panels = set(re.findall(r'"([A-Za-z]+![a-z]+)"', json.dumps(json.loads(layout)["layout"])))
    assert panels == json.loads(layout)["configById"].keys()
    assert "/overlay/image/compressed" in shown
    assert len(named) >= 6
    # Only recordings have a preview.
    for topic in [*(named - {"/preview/thermal/compressed"}), *shown]:
        name = topic if topic == "/diagnostics" else topic.lstrip("/")
        assert f"`{name}" in contract, topic
