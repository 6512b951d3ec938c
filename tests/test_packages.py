"""package.xml against what the code imports, for rosdep and colcon on a Jazzy machine."""

import ast
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {path.parent.name: path.parent for path in sorted(ROOT.glob("src/*/package.xml"))}
# Import to rosdep key. None: rosdep has no key that brings the version that is needed to
# Ubuntu 24.04, and package.xml says in a comment what to install with pip.
KEYS = {
    "ament_index_python": "ament_index_python",
    "av": None,
    "cryptography": "python3-cryptography",
    "cv2": "python3-opencv",
    "dask": None,  # comes with distributed
    "distributed": None,
    "jinja2": "python3-jinja2",
    "linuxpy": None,
    "markupsafe": "python3-jinja2",
    "lz4": None,  # comes with mcap
    "matplotlib": "python3-matplotlib",
    "mcap": None,
    "mpl_toolkits": "python3-matplotlib",
    "numpy": "python3-numpy",
    "onnx": None,
    "onnxruntime": "python3-onnxruntime-pip",
    "onnxruntime_qnn": None,
    "PIL": "python3-pil",
    "annotated_types": None,  # comes with pydantic
    "pycocotools": None,
    "pydantic": None,
    "rich": "python3-rich",
    "rosbags": "python3-rosbags-pip",
    "scipy": "python3-scipy",
    "tabulate": "python3-tabulate",
    "typer": "python3-typer",
    "click": "python3-typer",
    "yaml": "python3-yaml",
    "zstandard": None,  # comes with mcap
}
ROS = {
    "builtin_interfaces", "diagnostic_msgs", "geometry_msgs", "launch", "launch_ros",
    "lifecycle_msgs", "rcl_interfaces", "rclpy", "sensor_msgs", "std_msgs", "std_srvs",
    "vision_msgs",
}  # fmt: skip

# Commands that evaluate or render say what to install where these are absent, so that
# `colcon build --packages-up-to windhover_bringup` builds a drone without them.
OPTIONAL = {"windhover_bringup": {"windhover_evaluation", "windhover_sim"}}


def imports(package):
    """Top-level names that a package's code imports, tests left out."""
    found = set()
    for file in (PACKAGES[package] / package).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.split(".")[0])
    return {name for name in found - {package} if name not in sys.stdlib_module_names}


def declared(package):
    root = ET.parse(PACKAGES[package] / "package.xml").getroot()
    return {e.text for kind in ("depend", "exec_depend") for e in root.findall(kind)}


@pytest.mark.parametrize("package", PACKAGES)
def test_rosdep_is_told_of_all_that_is_imported(package):
    # What is only for the bench, beside the checkout.
    names = imports(package) - {"bench", "tqdm"} - OPTIONAL.get(package, set())
    unknown = names - set(KEYS) - ROS - set(PACKAGES)
    assert not unknown, f"add to KEYS, and to package.xml where there is a key: {unknown}"
    wanted = {KEYS.get(name, name) for name in names} - {None}
    assert wanted <= declared(package), f"package.xml lacks {wanted - declared(package)}"
    text = (PACKAGES[package] / "package.xml").read_text()
    for name in sorted(n for n in names if n in KEYS and KEYS[n] is None):
        if package == "windhover" and name in {"av", "pycocotools", "pydantic"}:
            assert name in text, f"package.xml does not say how to get {name}"


@pytest.mark.parametrize("package", PACKAGES)
def test_setup_puts_programs_config_and_launch_where_ros_looks(package):
    folder = PACKAGES[package]
    assert f"$base/lib/{package}" in (folder / "setup.cfg").read_text()
    assert (folder / "resource" / package).is_file()
    setup = (folder / "setup.py").read_text()
    assert "share/ament_index/resource_index/packages" in setup
    for data in ("launch", "config"):
        if (folder / data).is_dir():
            assert f"share/{{PACKAGE}}/{data}" in setup


def test_colcon_meta_knows_every_package():
    names = json.loads((ROOT / "colcon.meta").read_text())["names"]
    assert set(names) == set(PACKAGES)


def test_nothing_installs_the_strangers_package_of_our_name():
    """PyPI's windhover is another project: ours is installed from a path."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "*.py", "*.md", "*.yaml", "*.toml", "*.txt", "Makefile"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    wrong = re.compile(r"pip3? install (?:-\S+ )*['\"]?windhover\S*", re.I)
    found = {
        f"{name}: {match[0]}"
        for name in listed.split("\0")
        if (ROOT / name).is_file()
        for match in wrong.finditer((ROOT / name).read_text(errors="replace"))
    }
    assert found == set()


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_who_needs_windhover_needs_this_version_of_it(package):
    """PyPI has none of ours, so that pip stops rather than install the other project."""
    setup = (PACKAGES[package] / "setup.py").read_text()
    assert '"windhover"' not in setup
    version = ET.parse(PACKAGES["windhover"] / "package.xml").findtext("version")
    assert ET.parse(PACKAGES[package] / "package.xml").findtext("version") == version
