from pathlib import Path

import pytest
import yaml

from windhover.errors import ConfigError

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

import rclpy
from rclpy.context import Context
from rclpy.qos import ReliabilityPolicy

from windhover_bringup.runtime.config import SECTIONS, Config, render_default
from windhover_ros.arguments import parse_ros_arguments
from windhover_ros.nesting import flatten
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
    config = Config.load(mine).with_values("tracker", deadline_s=1)
    file = config.write(tmp_path / "out.yaml")
    assert yaml.safe_load(file.read_text()) == {
        "/**/tracker": {"ros__parameters": {"bytetrack.lost_seconds": 3.0, "deadline_s": 1.0}}
    }
    node = TrackerNode(config["tracker"], linked=True)
    assert node.params.bytetrack.lost_seconds == 3.0
    assert node.params.deadline_s == 1.0
    node.close()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a: [", "is not YAML"),
        ("just words", "has no sections"),
        ("/**/detektor:\n  ros__parameters: {}\n", "for no node"),
        ("/**/detector:\n  model: x\n", "must hold 'ros__parameters:' only"),
        ("/**/detector:\n  ros__parameters: {modle: x}\n", "modle: no such parameter"),
        ("/**/detector:\n  ros__parameters: {backend: gpu}\n", "backend: input should be"),
        ("/**/tracker:\n  ros__parameters: {bytetrack: {lost_seconds: -1}}\n", "lost_seconds"),
        ("/**/tracker:\n  ros__parameters: {1: 2}\n", "1: no such parameter"),
        ("/**/tracker:\n  ros__parameters: {a: 1, a.b: 2}\n", "a has a value, so"),
        ("/**/tracker:\n  ros__parameters: {null: 2}\n", "None: no such parameter"),
    ],
)
def test_a_mistake_is_one_line_that_names_file_and_place(tmp_path, text, reason):
    file = write(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        Config.load(file)
    assert reason in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml can't be read"):
        Config.load(tmp_path / "nowhere.yaml")


def sections(*given):
    """The text of a parameter file with the tracker's deadline in each section."""
    return "".join(
        f"{name}:\n  ros__parameters: {{{f'deadline_s: {value}' if value else ''}}}\n"
        for name, value in given
    )


def load(tmp_path, text, arguments="", namespace=None):
    return Config.load(write(tmp_path, text), parse_ros_arguments(arguments.split()), namespace)


@pytest.mark.parametrize(
    ("given", "namespace", "wanted"),
    [
        ([("/drone1/tracker", 0.5), ("/drone2/tracker", 0.9)], "drone1", 0.5),
        ([("/drone1/tracker", 0.5), ("/drone2/tracker", 0.9)], "/drone2", 0.9),
        ([("/drone1/tracker", 0.5), ("/drone2/tracker", 0.9)], "", None),
        ([("/**/tracker", 0.5), ("tracker", None)], "", 0.5),
        ([("/**/tracker", 0.5), ("/drone1/tracker", 0.9)], "drone1", 0.9),
        ([("/drone1/**", 0.5)], "drone1", 0.5),
        ([("/*/tracker", 0.5)], "", None),
    ],
)
def test_each_namespace_has_its_own_values(tmp_path, given, namespace, wanted):
    config = load(tmp_path, sections(*given), namespace=namespace)
    assert config["tracker"].get("deadline_s") == wanted
    assert config.bringup().namespace == namespace.strip("/")


def test_the_namespace_is_that_of_the_arguments_or_of_the_file(tmp_path):
    both = sections(("/drone1/tracker", 0.5), ("/drone2/tracker", 0.9))
    own = "/**/bringup:\n  ros__parameters: {namespace: /drone1}\n"
    assert load(tmp_path, own + both)["tracker"]["deadline_s"] == 0.5
    assert load(tmp_path, own + both, "-r __ns:=/drone2")["tracker"]["deadline_s"] == 0.9


def test_parameters_of_the_command_line_win_over_the_file(tmp_path):
    text = sections(("/**/tracker", 0.5))
    assert load(tmp_path, text, "-p deadline_s:=0.7")["tracker"]["deadline_s"] == 0.7
    more = tmp_path / "more.yaml"
    more.write_text("/**/tracker:\n  ros__parameters: {deadline_s: 0.8}\n/**/mavros:\n"
                    "  ros__parameters: {x: 1}\n")  # fmt: skip
    assert load(tmp_path, text, f"--params-file {more}")["tracker"]["deadline_s"] == 0.8


@pytest.mark.parametrize(
    ("text", "arguments", "reason"),
    [
        ("/**:\n  ros__parameters: {rats: 2}\n", "", "rats: no node has such a parameter"),
        ("{}", "-p frame_ratee:=2", "frame_ratee: no node has such a parameter"),
        ("{}", "-p deadline_s:=200", "deadline_s: input should be less than or equal to 60"),
        ("/**/bringup:\n  ros__parameters: {namespace: a b}\n", "", "a namespace holds letters"),
        ("/**/tracker:\n  ros__parameters: {use_sim_time: 3}\n", "", "true or false"),
        ("/**/tracker:\n  ros__parameters: {qos_overrides./tracks.depth: 3}\n", "", "write qos_ov"),
        (
            "/**/tracker:\n  ros__parameters: {qos_overrides./tracks.publisher.depth: x}\n", "",
            "whole number of messages",
        ),
        (
            "/**/tracker:\n  ros__parameters: "
            "{qos_overrides: {/tracks: {publisher: {reliability: best-effort}}}}\n", "",
            "best_effort or reliable",
        ),
    ],
)  # fmt: skip
def test_what_no_node_would_take_is_refused(tmp_path, text, arguments, reason):
    with pytest.raises(ConfigError, match=reason):
        load(tmp_path, text, arguments)


def test_a_section_that_misses_the_namespace_is_warned_of(tmp_path, caplog):
    load(tmp_path, sections(("tracker", 0.5)), namespace="drone1")
    assert "/tracker is not in this run's namespace /drone1; write /**/tracker" in caplog.text
    caplog.clear()
    load(tmp_path, sections(("/drone1/tracker", 0.5), ("/drone2/tracker", 0.9)), "", "drone1")
    assert caplog.text == ""


RENAMED = {
    "most_steps": ("max_recovery_steps", 3),
    "worse_after_s": ("raise_delay_s", 0.3),
    "better_after_s": ("clear_delay_s", 0.3),
    "least_memory_mib": ("min_free_memory_mib", 50.0),
}


@pytest.mark.parametrize("former", RENAMED)
def test_a_former_name_is_taken_with_a_warning(tmp_path, caplog, former):
    name, value = RENAMED[former]
    for text, arguments in (
        (f"/**/monitor:\n  ros__parameters: {{{former}: {value}}}\n", ""),
        (f"/**:\n  ros__parameters: {{{former}: {value}}}\n", ""),
        ("{}", f"-p {former}:={value}"),
    ):
        caplog.clear()
        assert load(tmp_path, text, arguments)["monitor"] == {name: value}
        assert caplog.text.count(f"{former} is now called {name}") == 1


def test_time_and_qos_of_ros_reach_a_node(ros, tmp_path):
    text = (
        "/**:\n  ros__parameters:\n    use_sim_time: true\n"
        "/**/tracker:\n  ros__parameters:\n"
        "    qos_overrides: {/tracks: {publisher: {reliability: best_effort, depth: 3}}}\n"
    )
    config = load(tmp_path, text)
    assert config.uses_sim_time()
    # The file that processes of their own are given says the same.
    assert Config.load(config.write(tmp_path / "out.yaml"))["tracker"] == config["tracker"]
    node = TrackerNode(config["tracker"], linked=True)
    assert node.get_parameter("use_sim_time").value is True
    (end,) = [e for e in node.get_publishers_info_by_topic("/tracks") if e.node_name == "tracker"]
    assert end.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT
    node.close()
