"""The launch files: they name what is installed, and with ROS's launch they run.

launch, launch_ros and launch_testing are not on PyPI; they come with a ROS
distribution. Without them the first part runs. The second was run with the sources of
launch and launch_testing 3.4.3 and launch_ros 0.26.6 beside this checkout.
"""

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from tests.support.fixtures import PATIENCE_S
from tests.support.processes import finished, start
from windhover_ros.environment import child_environment

ROOT = Path(__file__).resolve().parents[1]
LAUNCH_TEST = Path(__file__).with_name("support") / "launch_up_and_down.py"
FILES = sorted((ROOT / "launch").glob("*.launch.py"))
# A folder here is named launch as well, so its name alone says nothing.
needs_launch = pytest.mark.skipif(
    importlib.util.find_spec("launch_ros") is None,
    reason="launch and launch_ros are not installed: they come with ROS and are not on PyPI",
)
LOAD = (
    "import sys; from launch.launch_description_sources import "
    "get_launch_description_from_python_launch_file as load; d = load(sys.argv[1]);"
)


def test_the_ways_to_run_are_all_there():
    names = {file.name.partition(".")[0] for file in FILES}
    assert names == {"composed", "nodes", "qcs8550", "replay", "sim"}


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_it_holds_no_default_but_the_config_file(file):
    """Every value that a run takes stands in config/*.yaml."""
    for node in ast.walk(ast.parse(file.read_text())):
        for keyword in node.keywords if isinstance(node, ast.Call) else ():
            if keyword.arg == "default_value":
                assert keyword.value.value == "", ast.unparse(node)
    named = [w for w in file.read_text().split('"') if w.endswith(".yaml") and "/" not in w]
    assert named
    assert all((ROOT / "config" / name).is_file() for name in named)


def run_launch(file, *arguments):
    code = (
        f"{LOAD} from launch import LaunchService;"
        "s = LaunchService(argv=[a for a in sys.argv[2:]]);"
        "from launch.actions import IncludeLaunchDescription as I;"
        "from launch.launch_description_sources import PythonLaunchDescriptionSource as P;"
        "s.include_launch_description(I(P(sys.argv[1]),"
        " launch_arguments=[a.split(':=', 1) for a in sys.argv[2:]]));"
        "sys.exit(s.run())"
    )
    return start(
        sys.executable, "-c", code, file, *arguments,
        stderr=subprocess.STDOUT, env=child_environment(),
    )  # fmt: skip


@needs_launch
@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_its_arguments_are_documented(file):
    code = f"{LOAD}\nfor a in d.get_launch_arguments(): assert len(a.description) > 20, a.name"
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@needs_launch
@pytest.mark.parametrize("name", ["composed", "nodes"])
def test_it_comes_up_under_its_namespace_and_goes_down_clean(
    name, blob_bundle, blob_folder, tmp_path
):
    pytest.importorskip("launch_testing", reason="launch_testing is not installed: it is ROS's")
    config = tmp_path / "loop.yaml"
    config.write_text("/**/thermal_camera:\n  ros__parameters:\n    loop: true\n")
    # launch_testing's own way to give arguments is those of the launch file alone.
    environ = {
        "LAUNCHED": str(ROOT / "launch" / f"{name}.launch.py"),
        "ARGUMENTS": f"config:={config} source:={blob_folder} model:={blob_bundle} "
        f"namespace:=drone1 rate:=0.3 out:={tmp_path / 'out'}",
    }
    done = subprocess.run(
        [sys.executable, "-m", "launch_testing.launch_test", str(LAUNCH_TEST)],
        capture_output=True, text=True, env={**child_environment(), **environ},
        timeout=PATIENCE_S * 3,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Ran 1 test" in done.stderr + done.stdout
    assert (tmp_path / "out" / "bag" / "metadata.yaml").is_file()


@needs_launch
def test_replay_scores_a_recording_and_ends_by_itself(blob_bundle, blob_folder, tmp_path):
    out = tmp_path / "out"
    launched = run_launch(
        ROOT / "launch" / "replay.launch.py", f"bag:={blob_folder}", f"model:={blob_bundle}",
        f"out:={out}",
    )  # fmt: skip
    output, _ = finished(launched)
    assert (out / "report.html").is_file(), output
    assert launched.returncode == 0, output
