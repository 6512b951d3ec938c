"""Every shipped config and launch file: which cameras, model, backend and topics result.

A change here is a change of what a drone runs: say so in CHANGELOG.md.
"""

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from windhover_bringup.runtime.cameras import CameraSetup
from windhover_bringup.runtime.plan import plan_run
from windhover_bringup.runtime.settings import settings_of

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = {path.stem: path for path in sorted((ROOT / "config").glob("*.yaml"))}
LAUNCHES = {path.name.partition(".")[0]: path for path in sorted(ROOT.glob("launch/*.launch.py"))}


@dataclass(frozen=True)
class Result:
    """What a config makes of a run.

    Attributes:
        sources: camera node to the start of its source.
        model: name of the bundle.
        backend: as it is asked for.
        consumers: the other nodes, in the order in which they start.
        image_topic: that the detector takes and the overlay draws on.
        watched: stages whose results the monitor watches.
        detect_width: to which the RGB camera's frames are reduced; 0 = not at all.
    """

    sources: dict[str, str]
    model: str
    backend: str
    consumers: tuple[str, ...]
    image_topic: str
    watched: tuple[str, ...]
    detect_width: int = 0


RESULTS = {
    "default": Result(
        {"thermal_camera": ""}, "thermal-n", "auto",
        ("tracker", "detector", "overlay", "monitor"), "camera/thermal/image_raw",
        ("thermal_camera", "detector", "tracker"),
    ),
    "sim": Result(
        {"thermal_camera": "scene:demo"}, "thermal-n", "auto",
        ("tracker", "detector", "overlay", "monitor"), "camera/thermal/image_raw",
        ("thermal_camera", "detector", "tracker"),
    ),
    "qcs8550": Result(
        {
            "rgb_camera": "gst:qtiqmmfsrc camera=0 ! video/x-raw,format=NV12,width=3840",
            "thermal_camera": "v4l2:///dev/video0?size=640x512&rate=30&format=y16",
        },
        "rgbt-n", "dlc", ("tracker", "detector", "pairing", "monitor"), "rgbt/image",
        ("rgb_camera", "thermal_camera", "pairing", "detector", "tracker"), 1280,
    ),
}  # fmt: skip
# A launch file's own config; what it runs is what the config says.
LAUNCH_CONFIGS = {
    "composed": "default", "nodes": "default", "replay": "default", "sim": "sim",
    "qcs8550": "qcs8550",
}  # fmt: skip


@pytest.fixture(autouse=True)
def on_the_drone(monkeypatch):
    """Where there is no HTP, dlc means an emulator, which changes the pace."""
    monkeypatch.setattr("windhover.inference.on_device", lambda: True)


def test_none_is_left_out():
    assert CONFIGS.keys() == RESULTS.keys()
    assert LAUNCHES.keys() == LAUNCH_CONFIGS.keys()


@pytest.mark.parametrize("name", RESULTS)
def test_a_config_runs_what_is_stated_here(name, tmp_path):
    wanted = RESULTS[name]
    config = settings_of(CONFIGS[name])
    bundle = config.bundle()
    setup = CameraSetup.of(config, bundle)
    sources = {node: str(config[node].get("source", "")) for node in setup.nodes}
    assert sources.keys() == wanted.sources.keys()
    for node, start in wanted.sources.items():
        assert sources[node].startswith(start)
        assert bool(sources[node]) == bool(start)
    assert bundle.name == wanted.model
    assert config["detector"].get("backend", "auto") == wanted.backend
    assert config["rgb_camera"].get("detect_width", 0) == wanted.detect_width
    assert setup.image_topic == config["overlay"]["image_topic"] == wanted.image_topic
    # default.yaml names no source: one that is, in its place.
    for node, uri in sources.items():
        config = config.with_values(node, source=uri or "scene:empty?frames=2")
    plan = plan_run(config, tmp_path)
    assert plan.cameras == tuple(wanted.sources)
    assert [node for node in plan.consumers if node != "recorder"] == list(wanted.consumers)
    assert plan.config["detector"]["image_topic"] == wanted.image_topic
    assert tuple(plan.config["monitor"]["watch"]) == wanted.watched
    plan.config.validate()


@pytest.mark.parametrize("name", LAUNCHES)
def test_a_launch_file_takes_the_config_that_is_stated_here(name):
    calls = [n for n in ast.walk(ast.parse(LAUNCHES[name].read_text())) if isinstance(n, ast.Call)]
    (config,) = {
        call.args[0].value
        for call in calls
        if isinstance(call.func, ast.Name) and call.func.id == "arguments"
    }
    assert config == f"{LAUNCH_CONFIGS[name]}.yaml"


@pytest.mark.parametrize("name", LAUNCHES)
def test_a_launch_file_loads(name):
    sources = pytest.importorskip(
        "launch.launch_description_sources",
        reason="launch and launch_ros are not installed: they come with ROS and are not on PyPI",
    )
    description = sources.get_launch_description_from_python_launch_file(str(LAUNCHES[name]))
    arguments = {argument.name: argument for argument in description.get_launch_arguments()}
    assert {"config", "model", "backend", "namespace"} <= arguments.keys()
