"""ROS time from a recording: a bag's images and its /clock, played as ``ros2 bag play`` does."""

import threading

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

import rclpy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from tests.support.fixtures import blob_image, wait_for
from windhover.errors import ConfigError
from windhover.health.level import Level
from windhover_bringup.monitor.node import MonitorNode
from windhover_bringup.runtime.composed import Pipeline
from windhover_bringup.runtime.config import Config
from windhover_bringup.runtime.plan import plan_run
from windhover_detector.node import DetectorNode
from windhover_ros import clock, qos
from windhover_ros.messages import deserialize_results
from windhover_ros.runner import spin_in_threads
from windhover_tracker.node import TrackerNode

STORE = get_typestore(Stores.ROS2_JAZZY)
# A flight of the year 2001.
START_NS = 1_000_000_000_000_000_000
STEP_NS = 100_000_000
SIM = {"use_sim_time": True}


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """Thirty images and the clock of each."""
    path = tmp_path_factory.mktemp("flight") / "bag"
    image, time = STORE.types["sensor_msgs/msg/Image"], STORE.types["builtin_interfaces/msg/Time"]
    header = STORE.types["std_msgs/msg/Header"]
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        images = writer.add_connection(
            "/camera/thermal/image_raw", image.__msgtype__, typestore=STORE
        )
        clocks = writer.add_connection("/clock", "rosgraph_msgs/msg/Clock", typestore=STORE)
        for step in range(30):
            stamp_ns = START_NS + step * STEP_NS
            stamp = time(*divmod(stamp_ns, 10**9))
            clock_message = STORE.types["rosgraph_msgs/msg/Clock"](stamp)
            pixels = np.ascontiguousarray(blob_image(step)).reshape(-1)
            picture = image(header(stamp, "thermal"), 256, 320, "mono8", 0, 320, pixels)
            writer.write(
                clocks, stamp_ns, STORE.serialize_cdr(clock_message, "rosgraph_msgs/msg/Clock")
            )
            writer.write(images, stamp_ns, STORE.serialize_cdr(picture, image.__msgtype__))
    return path


@pytest.fixture
def play(nodes, bag):
    """Publishes what is in the bag, again and again until the test ends."""
    stop = threading.Event()
    threads = []

    def start(topics=("/clock", "/camera/thermal/image_raw")):
        player = nodes.add(rclpy.create_node("player"))
        out = {
            "/clock": player.create_publisher(Clock, "/clock", 10),
            "/camera/thermal/image_raw": player.create_publisher(
                Image, "/camera/thermal/image_raw", qos.image()
            ),
        }

        def run():
            with AnyReader([bag]) as reader:
                messages = [(c.topic, bytes(raw)) for c, _, raw in reader.messages()]
            for topic, raw in messages * 20:
                if topic in topics:
                    out[topic].publish(raw)
                if topic == "/clock" and stop.wait(STEP_NS / 1e9):
                    return

        threads.append(threading.Thread(target=run, daemon=True))
        threads[0].start()

    yield start
    stop.set()
    for thread in threads:
        thread.join()


def test_results_of_a_played_bag_are_as_old_as_they_are_on_its_clock(nodes, play, blob_bundle):
    heard = nodes.listener(Detection2DArray, "tracks", qos.result(), raw=True)
    detector = nodes.add(DetectorNode({"model": str(blob_bundle), "deadline_s": 0.0, **SIM}))
    tracker = nodes.add(TrackerNode({"deadline_s": 0.0, **SIM}))
    watch = {"watch": ["detector", "tracker"], "max_latency_ms": 60_000.0, "silence_s": 60.0}
    monitor = nodes.add(MonitorNode({**watch, "max_drop_share": 1.0, **SIM}))
    # Each waits for the clock and says so, and comes up by itself.
    assert not detector.bring_up()
    assert "/clock" in str(detector.last_error)
    play()
    wait_for(lambda: all(n.state == "active" for n in (detector, tracker, monitor)), "the clock")
    wait_for(lambda: tracker.health.frames.count > 5, "tracks")
    assert any(len(deserialize_results(data)) == 2 for data in heard)
    assert all(0 <= deserialize_results(data).stamp_ns - START_NS < 3 * 10**9 for data in heard)
    for node in (detector, tracker):
        age_ms = float(node.health.report().values["capture_to_result_p99_ms"])
        # Not the quarter of a century since: the clock begins again at times, so by its length.
        assert abs(age_ms) < 60_000
    wait_for(lambda: monitor.chain.status("tracker").level is not Level.STALE, "the monitor")
    latency_ms = float(monitor.chain["tracker"].monitor.values(0)["latency_p99_ms"])
    assert abs(latency_ms) < 60_000


def test_a_composed_run_takes_its_stamps_from_the_clock(ros, nodes, play, bag, blob_bundle):
    play(topics=("/clock",))
    config = Config().with_values("detector", model=str(blob_bundle)).with_values("tracker", **SIM)
    config = config.with_values("thermal_camera", source=str(bag), max_frames=5, **SIM)
    config = config.with_values("detector", **SIM)
    config = config.with_values("bringup", monitor=False, overlay=False)
    pipeline = Pipeline(config)
    stamps = []
    pipeline.tap(lambda frame, *_: stamps.append(frame.stamp_ns))
    try:
        pipeline.start()
        with spin_in_threads(pipeline.nodes):
            wait_for(pipeline.finished, "the end")
    finally:
        pipeline.close()
    assert stamps
    assert all(0 <= stamp - START_NS < 10 * 10**9 for stamp in stamps)


def test_without_a_clock_the_error_says_what_to_do(ros, monkeypatch, bag, blob_bundle):
    monkeypatch.setattr(clock, "CLOCK_TIMEOUT_S", 0.2)
    config = Config().with_values("detector", model=str(blob_bundle), **SIM)
    pipeline = Pipeline(config.with_values("thermal_camera", source=str(bag)))
    try:
        with pytest.raises(ConfigError, match="nothing has come on /clock"):
            pipeline.start()
    finally:
        pipeline.close()


def test_two_recorded_cameras_need_one_process(rgbt_bundle, two_cameras):
    config = Config().with_values("detector", model=str(rgbt_bundle), **SIM)
    for camera in ("rgb", "thermal"):
        config = config.with_values(f"{camera}_camera", source=str(two_cameras.folder / camera))
    with pytest.raises(ConfigError, match="can't keep step by /clock"):
        plan_run(config, None)
