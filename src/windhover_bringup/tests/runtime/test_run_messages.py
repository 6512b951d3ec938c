"""What a run in one process prints at its start and at its end."""

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from tests.support.fixtures import run_to_end
from windhover_bringup.runtime.composed import Pipeline
from windhover_bringup.runtime.config import Config
from windhover_bringup.runtime.run_messages import closing_line, look_at, opening_block
from windhover_ros.runner import ros


def test_the_first_lines_name_model_input_and_topics_as_they_are(blob_bundle, blob_folder):
    config = (
        Config()
        .with_values("detector", model=str(blob_bundle), backend="cpu")
        .with_values("thermal_camera", source=str(blob_folder), rate=0.0, max_frames=5)
    )
    with ros(["--ros-args", "-r", "__ns:=/drone1", "-r", "tracks:=seen"]):
        pipeline = Pipeline(config)
        try:
            run_to_end(pipeline)
            lines = opening_block(pipeline).splitlines()
            other = opening_block(pipeline, "report.html").splitlines()
            end = closing_line(pipeline)
        finally:
            pipeline.close()
    said = dict(line.split(None, 1) for line in lines)
    assert said["model"].endswith(", thermal 320x256")
    assert said["backend"].startswith("cpu: ")
    assert said["input"] == str(blob_folder)
    assert said["topics"].startswith("/drone1/detections, /drone1/seen, /drone1/overlay/")
    assert "/drone1/seen; windhover health" in said["next"]
    assert [*lines[:-1], "next    report.html"] == other
    assert end == "5 frames detected and tracked, none dropped"


@pytest.mark.parametrize(
    ("ros2", "tracks", "listen"),
    [
        ("/opt/ros/jazzy/bin/ros2", "/drone1/seen", "ros2 topic echo /drone1/seen;"),
        (None, "/tracks", "python examples/mission_consumer.py;"),
        (
            None,
            "/drone1/seen",
            "python examples/mission_consumer.py --ros-args -r tracks:=/drone1/seen;",
        ),
    ],
)
def test_the_advice_needs_no_more_than_is_installed(monkeypatch, ros2, tracks, listen):
    monkeypatch.setattr("shutil.which", lambda name: ros2)
    assert look_at(tracks).startswith(listen)
