"""Which parameters of a file reach which node, compared with ROS's own reading."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from windhover.errors import ConfigError

pytest.importorskip("rclpy")

import rclpy
from rclpy.context import Context

from windhover_ros.parameter_files import ParameterSection, node_pattern, read_sections


def file_of(tmp_path, sections):
    path = tmp_path / "params.yaml"
    lines = [f"{name}:\n  ros__parameters:\n    a: {value}\n" for name, value in sections]
    path.write_text("".join(lines))
    return path


def ours(path, full_name):
    values = {}
    for section in read_sections(path):
        if section.matches(full_name):
            values |= section.values
    return values


def of_ros(path, namespace, node):
    """What rclpy gives to a node."""
    context = Context()
    rclpy.init(args=["--ros-args", "--params-file", str(path)], context=context)
    try:
        made = rclpy.create_node(
            node, namespace=namespace, context=context,
            automatically_declare_parameters_from_overrides=True,
        )  # fmt: skip
        found = {name: p.value for name, p in made._parameter_overrides.items()}
        made.destroy_node()
        return found
    finally:
        context.shutdown()


CASES = [
    [("/**", 1), ("/drone1/tracker", 2)],
    [("/drone1/tracker", 2), ("/**/tracker", 1)],
    [("/drone1/tracker", 1), ("/drone2/tracker", 2)],
    [("/*/tracker", 1)],
    [("/*", 1)],
    [("/drone1/*", 1)],
    [("/drone1/**", 1)],
    [("/**/drone1/**/tracker", 1)],
    [("tracker", 1)],
    [("drone1/tracker", 1)],
    [("/**/track", 1)],
]


@pytest.mark.parametrize("sections", CASES, ids=lambda s: " ".join(name for name, _ in s))
@pytest.mark.parametrize("namespace", ["/", "/drone1", "/drone1/a"])
def test_sections_match_and_merge_as_in_ros(ros, tmp_path, sections, namespace):
    path = file_of(tmp_path, sections)
    name = f"{namespace.rstrip('/')}/tracker"
    assert ours(path, name) == of_ros(path, namespace, "tracker")


def test_a_namespace_may_stand_above_its_nodes(ros, tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text("drone1:\n  tracker:\n    ros__parameters:\n      a: {b: 1}\n")
    assert ours(path, "/drone1/tracker") == {"a.b": 1}
    assert of_ros(path, "/drone1", "tracker") == {"a.b": 1}


@pytest.mark.parametrize("name", ["/**/tra*", "//tracker", "/drone1/", "/dro.ne/tracker", "a b"])
def test_what_is_no_nodes_name_is_refused(name):
    with pytest.raises(ConfigError, match="no node's name"):
        node_pattern(name, "config x")


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4))
def test_two_stars_match_any_namespace_and_one_star_one_name(tokens):
    name = "/" + "/".join(tokens)
    assert ParameterSection("/**", {}, "").matches(name)
    assert ParameterSection(f"/**/{tokens[-1]}", {}, "").matches(name)
    assert ParameterSection("/*" * len(tokens), {}, "").matches(name)
    assert not ParameterSection("/*" * (len(tokens) + 1), {}, "").matches(name)
