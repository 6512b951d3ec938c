"""ROS arguments as people mistype them: one line each, and nothing of rcl's."""

import pytest

from windhover.errors import ConfigError

pytest.importorskip("rclpy")

import rclpy
from rclpy.context import Context
from rclpy.logging import LoggingSeverity, set_logger_level

from windhover_ros.arguments import (
    own_arguments,
    parse_ros_arguments,
    ros_arguments,
    without_parameters,
)
from windhover_ros.runner import ros as ros_up

MISTAKES = {
    "-p frame_rate": "write name:=value",
    "-p :=2": "write name:=value",
    "-p 1a:=2": "write name:=value",
    "-p a:=": "write name:=value",
    "-p a:=[1,two": "not YAML",
    "-p a:=[1,two]": "a list of one of these",
    "-p a:={b:1}": "not YAML|a list of one of these",
    "-p a:=[1,2.5]": "a list of one of these",
    "-p a:=null": "a list of one of these",
    "-p": "its value is missing",
    "--params-file": "its value is missing",
    "--params-file /no/such.yaml": "/no/such.yaml can't be read",
    "-r tracks=seen": "write from:=to",
    "-r :=seen": "write from:=to",
    "-r tracks:=": "write from:=to",
    "-r tra-cks:=seen": "topic's name",
    "-r __ns:=drone1": "write __ns:=/drone1",
    "-r __node:=a-b": "node's name",
    "--log-level loud": "debug, info",
    "--log-level rcl:=loud": "debug, info",
    "-e windhover": "begins with a slash",
    "--wings 2": "no such ROS argument",
    "tracks:=seen": "no such ROS argument",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_one_line_that_names_it(text, capfd):
    words = ["--ros-args", *text.split()]
    with pytest.raises(ConfigError, match=MISTAKES[text]) as caught, ros_up(words):
        pass
    assert "\n" not in str(caught.value)
    # rcl was not asked, so it has written nothing either.
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("text", MISTAKES)
def test_rcl_refuses_each_of_them_too(text):
    if text in {"-p a:=null", "-p a:={b:1}"}:
        pytest.skip("rcl takes it for a text")
    context = Context()
    with pytest.raises(RuntimeError):
        rclpy.init(args=["--ros-args", *text.split()], context=context)


GOOD = [
    "-p frame_rate:=30", "--param tracker:deadline_s:=0.5", "-p names:=[a,b]", "-p x:=[1,2]",
    "-p qos_overrides./tracks.publisher.depth:=5", "-p on:=true",
    "-r tracks:=seen", "-r detector:tracks:=/seen", "-r __ns:=/drone1", "-r tracker:__node:=other",
    "-r rostopic://tracks:=seen", "-r ~/x:=y", "--remap /a/b:=/c",
    "--log-level debug", "--log-level rcl:=INFO", "-e /windhover/composed",
    "--disable-rosout-logs", "--log-file-name x",
]  # fmt: skip


@pytest.mark.parametrize("text", GOOD)
def test_what_rcl_takes_is_taken(text):
    parse_ros_arguments(text.split())
    context = Context()
    rclpy.init(args=["--ros-args", *text.split()], context=context)
    context.shutdown()
    # rcl keeps a process's levels; a later test counts the lines on stderr.
    for logger in ("", "rcl"):
        set_logger_level(logger, LoggingSeverity.INFO)


def test_what_only_rcl_can_refuse_is_one_line_too(tmp_path):
    words = ["--ros-args", "--log-config-file", str(tmp_path / "none")]
    refused = pytest.raises(ConfigError, match="ROS does not take its arguments")
    with refused as caught, ros_up(words):
        pass
    assert "/project/" not in str(caught.value)


def test_a_name_that_ros_does_not_take_is_one_line():
    with pytest.raises(ConfigError, match="Invalid node name") as caught, ros_up([]):
        rclpy.create_node("a b")
    assert "\n" not in str(caught.value)


def test_parameters_and_namespace_are_read_in_their_order():
    words = ["-p", "a:=1", "-p", "tracker:a:=[2]", "-r", "__ns:=/one", "-r", "__ns:=/two"]
    found = parse_ros_arguments(words)
    assert [(s.pattern, s.values) for s in found.sections] == [
        ("/**", {"a": 1}), ("/tracker", {"a": [2]}),
    ]  # fmt: skip
    # As rcl: the first rule for a name holds.
    assert found.namespace == "/one"
    assert without_parameters(words) == ["-r", "__ns:=/one", "-r", "__ns:=/two"]


def test_a_command_line_is_split_at_its_marks():
    line = ["up", "--ros-args", "-p", "a:=1", "--", "--rate", "0", "--ros-args", "-r", "a:=b"]
    assert own_arguments(line) == ["up", "--rate", "0"]
    assert ros_arguments(line) == ["-p", "a:=1", "-r", "a:=b"]
