"""Parameter files and ROS arguments of any content: a config or a ConfigError in one line.

The tests try a few hundred inputs. 10,000 of each were tried once with
``--hypothesis-profile=explore`` and ``max_examples`` raised; what they found is kept as examples.
"""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from windhover.errors import WindhoverError

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from windhover_bringup.runtime.config import SECTIONS, Config
from windhover_ros.arguments import parse_ros_arguments

ROOT = Path(__file__).resolve().parents[4]
TEXTS = [
    (ROOT / "config" / "qcs8550.yaml").read_text(),
    "/drone1/tracker:\n  ros__parameters:\n    deadline_s: 0.5\n"
    "/**:\n  ros__parameters:\n    use_sim_time: true\n"
    "    qos_overrides: {/tracks: {publisher: {depth: 3, reliability: best_effort}}}\n"
    "drone1:\n  detector:\n    ros__parameters: {model: x, score_threshold: 0.2}\n",
]
ODD = st.sampled_from(
    [
        "{}", "[]", "null", "1e999", ".nan", "'", '"', "*", "**", "//", "ros__parameters:", "- ",
        "? ", "!!python/object:os.system", "&a ", "*a", "9" * 30, "\t", "\n", "\x00", "\u2028",
        "qos_overrides.", "use_sim_time: 3", "namespace: /a b", ":", "bytetrack: 3", "2001-01-01",
        "<<: {a: 1}", "most_steps: x",
    ]
) | st.text(max_size=4)  # fmt: skip
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), ODD), max_size=5)
WORDS = st.lists(
    st.sampled_from(
        [
            "-p", "-r", "--params-file", "--log-level", "-e", "a:=1", "tracker:deadline_s:=[1,2]",
            "deadline_s:=2", "__ns:=/x", "__node:=y", ":=", "a:=", "x:=y", "--remap", "~/a:=b",
            "rostopic://a:=b", "a:={b: 1}", "a:=*x", "a:=!!python/name:os", "", "\x00", "a:=\x00",
        ]
    ),
    max_size=6,
)  # fmt: skip


def edited(text, edits):
    for place, length, insert in edits:
        at = int(place * len(text))
        text = text[:at] + insert + text[at + length :]
    return text


def loaded(file, words=(), namespace=None):
    """The config, or none of it where it is refused in one line."""
    refusal = ""
    try:
        return Config.load(file, parse_ros_arguments(words), namespace)
    except WindhoverError as error:
        refusal = str(error)
    assert refusal.count("\n") == 0
    return Config()


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz") / "mine.yaml"


@settings(max_examples=150)
@given(st.sampled_from(TEXTS), EDITS, st.sampled_from([None, "", "drone1", "/a/b"]))
def test_any_parameter_file(file, text, edits, namespace):
    file.write_bytes(edited(text, edits).encode(errors="surrogatepass"))
    config = loaded(file, namespace=namespace)
    for section in SECTIONS:
        config.typed_values(section)


@settings(max_examples=150)
@example(["--params-file", "\x00"])
@given(WORDS)
def test_any_ros_arguments(file, words):
    file.write_text("{}")
    loaded(file, words)
