from pathlib import Path

import pytest
import yaml

from windhover.errors import ConfigError

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

import rclpy
from rclpy.context import Context

from windhover_bringup.runtime.config import SECTIONS, Config, render_default
from windhover_ros.params import flatten
from windhover_tracker.node import TrackerNode

DEFAULT = Path(__file__).resolve().parents[4] / "config" / "default.yaml"


def write(tmp_path, text):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    return file


def test_the_default_file_is_what_the_nodes_declare():
    assert DEFAULT.read_text() == render_default()


def test_every_default_reads_back_as_itself():
    config = Config.load(DEFAULT)
    for section, model in SECTIONS.items():
        assert config[section] == flatten(model().model_dump())


def test_ros_itself_reads_the_default_file(ros):
    context = Context()
    rclpy.init(args=["--ros-args", "--params-file", str(DEFAULT)], context=context)
    try:
        node = rclpy.create_node(
            "tracker", context=context, namespace="drone",
            automatically_declare_parameters_from_overrides=True,
        )  # fmt: skip
        for name, value in flatten(SECTIONS["tracker"]().model_dump()).items():
            assert node.get_parameter(name).value == value
        node.destroy_node()
    finally:
        context.shutdown()


def test_a_written_config_reaches_a_node_in_its_types(ros, tmp_path):
    mine = write(tmp_path, "/**/tracker:\n  ros__parameters:\n    bytetrack: {lost_seconds: 3}\n")
    config = Config.load(mine).replaced("tracker", deadline_s=1)
    file = config.write(tmp_path / "out.yaml")
    assert yaml.safe_load(file.read_text()) == {
        "/**/tracker": {"ros__parameters": {"bytetrack.lost_seconds": 3.0, "deadline_s": 1.0}}
    }
    node = TrackerNode(config["tracker"], linked=True)
    assert node.params.bytetrack.lost_seconds == 3.0
    assert node.params.deadline_s == 1.0
    node.close()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [", "is not YAML"),
        ("just words", "has no sections"),
        ("/**/detektor:\n  ros__parameters: {}\n", "for no node"),
        ("/**/detector:\n  model: x\n", "must hold 'ros__parameters:' only"),
        ("/**/detector:\n  ros__parameters: {modle: x}\n", "modle: no such parameter"),
        ("/**/detector:\n  ros__parameters: {backend: gpu}\n", "backend: input should be"),
        ("/**/tracker:\n  ros__parameters: {bytetrack: {lost_seconds: -1}}\n", "lost_seconds"),
    ],
)
def test_a_mistake_is_one_line_that_names_file_and_place(tmp_path, text, told):
    file = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        Config.load(file)
    assert told in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml can't be read"):
        Config.load(tmp_path / "nowhere.yaml")
