"""Packages of src/ as ROS's tools see them."""

import os
import re
import sys
import xml.etree.ElementTree as ET
from importlib.metadata import requires, version
from pathlib import Path

import pytest

from embedded.layout import console_scripts, lay_out, ros_packages

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ros_packages(ROOT)


def test_every_package_of_src_is_a_ros_package():
    assert {path.name for path in (ROOT / "src").iterdir() if path.is_dir()} == set(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_package_xml_and_pip_agree(name):
    root = ET.parse(PACKAGES[name] / "package.xml").getroot()
    assert root.findtext("export/build_type") == "ament_python"
    # The released models are AGPL, as what they were trained with.
    licence = "AGPL-3.0-only" if name == "windhover_models" else "Apache-2.0"
    assert root.findtext("license") == licence
    assert root.findtext("version") == version(name)
    assert (PACKAGES[name] / "resource" / name).is_file()
    needed = [line for line in requires(name) or () if "extra ==" not in line]
    ours = {re.split(r"\W", line)[0].replace("-", "_") for line in needed}
    declared = {element.text for element in root.findall("exec_depend")}
    assert ours & set(PACKAGES) == declared & set(PACKAGES)


def test_ament_finds_packages_launch_files_and_executables(tmp_path, monkeypatch):
    index = pytest.importorskip("ament_index_python", reason="ROS is not installed")
    count = lay_out(ROOT, tmp_path)
    assert count == len(PACKAGES)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    share = Path(index.get_package_share_directory("windhover_bringup"))
    assert share == tmp_path / "share" / "windhover_bringup"
    assert (share / "package.xml").samefile(PACKAGES["windhover_bringup"] / "package.xml")
    assert (share / "config" / "fastdds.xml").is_file()
    # ros2 launch searches with os.walk, which does not enter links to folders.
    found = {name for _, _, names in os.walk(share) for name in names}
    assert found >= {file.name for file in ROOT.glob("launch/*.launch.py")}
    for script in console_scripts("windhover_tracker"):
        link = tmp_path / "lib" / "windhover_tracker" / script
        assert link.readlink() == Path("..", "..", "bin", script)


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="no virtual environment")
@pytest.mark.parametrize("name", PACKAGES)
def test_set_up_made_every_executable_in_both_places(name):
    for script in console_scripts(name):
        executable = Path(sys.prefix, "bin", script)
        assert os.access(executable, os.X_OK)
        assert Path(sys.prefix, "lib", name, script).samefile(executable)


def test_laying_out_again_changes_nothing_but_drops_what_is_gone(tmp_path):
    lay_out(ROOT, tmp_path)
    stale = tmp_path / "lib" / "windhover_tracker" / "gone"
    stale.symlink_to("../../bin/gone")
    before = sorted(tmp_path.rglob("*"))
    lay_out(ROOT, tmp_path)
    assert sorted(tmp_path.rglob("*")) == [path for path in before if path != stale]


def test_a_package_that_pip_laid_out_is_left_alone(tmp_path):
    share = tmp_path / "share" / "windhover_bringup"
    share.mkdir(parents=True)
    (share / "package.xml").write_text("installed")
    lay_out(ROOT, tmp_path)
    assert (share / "package.xml").read_text() == "installed"
