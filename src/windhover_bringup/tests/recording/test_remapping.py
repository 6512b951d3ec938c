"""Topics that were renamed on the command line are recorded under their new names."""

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

import rclpy
from mcap.reader import make_reader
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from tests.support.fixtures import run_to_end, wait_for
from windhover.types import Frame
from windhover_bringup.recording.outputs import RunOutputs
from windhover_bringup.recording.recorder import RecorderNode
from windhover_bringup.runtime.composed import Pipeline
from windhover_bringup.runtime.config import Config
from windhover_ros import qos
from windhover_ros.images import image_message
from windhover_ros.runner import ros, spin_in_threads

STAMP = 1_700_000_000_000_000_000
COUNTS = np.arange(48, dtype=np.uint16).reshape(6, 8) * 900
RULES = ["--ros-args", "-r", "tracks:=seen", "-r", "camera/thermal/image_raw:=/flir"]


def test_by_a_run_in_one_process(tmp_path, blob_bundle, blob_folder):
    config = (
        Config()
        .with_values("detector", model=str(blob_bundle))
        .with_values("thermal_camera", source=str(blob_folder), rate=0.0, max_frames=3)
        .with_values("tracker", deadline_s=0.25)
    )
    with ros(RULES):
        pipeline = Pipeline(config)
        outputs = RunOutputs(tmp_path / "out", pipeline)
        try:
            run_to_end(pipeline)
        finally:
            pipeline.close()
            outputs.close()
    with (tmp_path / "out" / "bag" / "bag.mcap").open("rb") as stream:
        channels = {c.topic: c for c in make_reader(stream).get_summary().channels.values()}
    assert {"/seen", "/detections", "/flir/compressed"} <= channels.keys()
    assert not {"/tracks", "/camera/thermal/image_raw/compressed"} & channels.keys()
    assert "nsec: 250000000" in channels["/seen"].metadata["offered_qos_profiles"]


def test_by_the_recorder_node(tmp_path):
    with ros(RULES):
        recorder = RecorderNode({"path": str(tmp_path / "bag")})
        try:
            names = {s.topic_name for s in recorder.subscriptions}
            assert {"/seen", "/flir", "/detections"} <= names
            assert recorder.bring_up()
            node = rclpy.create_node("talker")
            publishers = [
                (
                    node.create_publisher(Detection2DArray, "/seen", qos.result()),
                    Detection2DArray(),
                ),
                (
                    node.create_publisher(Image, "/flir", qos.image()),
                    image_message(Frame(COUNTS, "mono16", STAMP, "cam", 0)),
                ),
            ]
            written = recorder._bag._channels

            def all_there():
                for publisher, message in publishers:
                    publisher.publish(message)
                return {"/seen", "/flir/compressed"} <= written.keys()

            with spin_in_threads([recorder]):
                wait_for(all_there, "both topics", pause_s=0.05)
            node.destroy_node()
        finally:
            recorder.close()
