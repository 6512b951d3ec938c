"""ROS arguments and parameter files as people mistype them: one line, exit status 2."""

import gc
import sys

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from windhover_bringup.cli import main

COMMANDS = ("up", "replay", "health", "wait-active")
MISTAKES = {
    "-p frame_rate": "write name:=value",
    "-p frame_rate:=[1,two": "not YAML",
    "--params-file /no/such.yaml": "/no/such.yaml can't be read",
    "-r tracks=seen": "write from:=to",
    "-r __ns:=drone1": "write __ns:=/drone1",
    "--log-level loud": "debug, info",
    "--enclave x": "begins with a slash",
    "--wings 2": "no such ROS argument",
    "-p": "its value is missing",
}


@pytest.fixture
def refusal(monkeypatch, capfd, tmp_path):
    """Runs the command as a process would, and gives the one line that it complains with."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["windhover", *map(str, words)])
        # A run that was refused halfway leaves nodes, which a process takes with it; while
        # they live, rcl warns of a second node of their name.
        gc.collect()
        capfd.readouterr()
        status = main()
        err = capfd.readouterr().err
        assert (status, err.count("\n")) == (2, 1), err
        assert err.startswith("error: ")
        return err

    return run


def words_of(command, folder, model, out):
    given = {
        "up": ["up", "--source", folder, "--model", model, "--rate", 0],
        "replay": ["replay", folder, "--model", model, "--out", out],
        "health": ["health", "--timeout", 0.1],
        "wait-active": ["wait-active", "detector", "--timeout", 0.1],
    }
    return given[command]


@pytest.mark.parametrize("text", MISTAKES)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_mistyped_ros_argument(refusal, blob_folder, blob_bundle, tmp_path, command, text):
    words = words_of(command, blob_folder, blob_bundle, tmp_path / "out")
    assert MISTAKES[text] in refusal(*words, "--ros-args", *text.split())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("-p frame_ratee:=30", "no node has such a parameter"),
        ("-p thermal_camera:rate:=fast", "rate: input should be a valid number"),
        ("-p image_topic:=", "write name:=value"),
    ],
)
def test_a_parameter_that_no_node_takes(refusal, blob_folder, blob_bundle, text, reason):
    words = words_of("up", blob_folder, blob_bundle, None)
    assert reason in refusal(*words, "--ros-args", *text.split())


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ("/**/tracker:\n  ros__parameters: {camera_info_topic: a b}\n", "Invalid topic name"),
        ("/**/detector:\n  ros__parameters: {altitude_topic: a-b}\n", "Invalid topic name"),
        ("/**/bringup:\n  ros__parameters: {namespace: 1drone}\n", "a namespace holds letters"),
        ("/**/tra*:\n  ros__parameters: {}\n", "no node's name"),
        ("/**/tracker: {}\n", "must hold 'ros__parameters:' only"),
        ("/**/tracker:\n  ros__parameters: [1]\n", "holds no names"),
    ],
)
def test_a_config_that_ros_does_not_take(
    refusal, blob_folder, blob_bundle, tmp_path, values, reason
):
    (tmp_path / "mine.yaml").write_text(values)
    words = words_of("up", blob_folder, blob_bundle, None)
    assert reason in refusal(*words, "--config", tmp_path / "mine.yaml")
