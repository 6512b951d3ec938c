"""The launch files: what they name exists, and with ROS's launch they run.

ros2 launch is not on PyPI. Without it only the first part runs here; both files
were tried with the launch and launch_ros sources of Jazzy's time.
"""

import ast
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "launch").glob("*.launch.py"))
HAVE_LAUNCH = all(importlib.util.find_spec(name) for name in ("launch", "launch_ros"))


def calls(file):
    """(package, executable) of every node in a launch file, by its literals."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        named = {k.arg: k.value for k in node.keywords}
        if node.func.id == "Node":
            found.append((named["package"].value, named["executable"].value))
        elif node.func.id == "node" and isinstance(node.args[1], ast.Constant):
            found.append((node.args[0].value, node.args[1].value))
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_every_program_that_is_launched_is_one_that_is_installed(file):
    programs = calls(file)
    assert programs
    for package, executable in programs:
        setup = (ROOT / "src" / package / "setup.py").read_text()
        assert f'"{executable} = ' in setup


@pytest.mark.skipif(not HAVE_LAUNCH, reason="ros2 launch is not installed (it is not on PyPI)")
@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_its_arguments_are_documented(file):
    code = (
        "import sys; from launch.launch_description_sources import "
        "get_launch_description_from_python_launch_file as load\n"
        "for a in load(sys.argv[1]).get_launch_arguments(): assert a.description, a.name"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(file)],
        capture_output=True, text=True, env=dict(os.environ),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
