"""The environment of launchers, and that images really cross processes with it."""

import json
import os
import sys
from pathlib import Path

import pytest

from windhover.errors import ConfigError

pytest.importorskip("rclpy", reason="ROS is not installed")

from embedded.domain import free_domain
from embedded.tidy import abandoned, fast_dds_files
from tests.support.processes import finished, start
from windhover_ros.environment import child_environment, prepare_environment

LINK = Path(__file__).with_name("image_link.py")
FRAMES = 30


def test_everything_is_set_where_nothing_was():
    environ = {"AMENT_PREFIX_PATH": os.environ.get("AMENT_PREFIX_PATH", "")}
    prepare_environment(environ)
    assert environ["RMW_IMPLEMENTATION"] == "rmw_fastrtps_cpp"
    profile = Path(environ["FASTRTPS_DEFAULT_PROFILES_FILE"])
    assert "<segment_size>67108864</segment_size>" in profile.read_text()


@pytest.mark.skipif(
    sys.prefix == sys.base_prefix or not Path(sys.prefix, "share", "ament_index").is_dir(),
    reason="ROS is not in a virtual environment",
)
def test_a_virtual_environment_is_a_ros_prefix():
    environ: dict[str, str] = {}
    prepare_environment(environ)
    assert environ["AMENT_PREFIX_PATH"] == sys.prefix


def test_what_the_user_set_is_kept(tmp_path):
    mine = tmp_path / "mine.xml"
    mine.write_text("<profiles/>")
    given = {
        "FASTDDS_DEFAULT_PROFILES_FILE": str(mine),
        "RMW_IMPLEMENTATION": "rmw_fastrtps_dynamic_cpp",
        "AMENT_PREFIX_PATH": "/opt/ros/jazzy",
    }
    environ = dict(given)
    prepare_environment(environ)
    assert environ.pop("AMENT_PREFIX_PATH").startswith(given.pop("AMENT_PREFIX_PATH"))
    assert environ == given


def test_another_middleware_needs_no_profile():
    environ = {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp"}
    prepare_environment(environ)
    assert "FASTRTPS_DEFAULT_PROFILES_FILE" not in environ


def test_a_device_finds_qnn_without_the_users_help(monkeypatch, tmp_path):
    monkeypatch.setenv("WINDHOVER_QNN", str(tmp_path))
    environ = {
        "RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp",
        "LD_LIBRARY_PATH": "/opt/mine",
        "ADSP_LIBRARY_PATH": "/dsp;/vendor/dsp",
    }
    elsewhere = dict(environ)
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    prepare_environment(environ)
    prepare_environment(environ)
    assert environ["LD_LIBRARY_PATH"] == f"/opt/mine:{tmp_path}"
    assert environ["ADSP_LIBRARY_PATH"] == f"/dsp;/vendor/dsp;{tmp_path}"
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    prepare_environment(elsewhere)
    assert elsewhere["LD_LIBRARY_PATH"] == "/opt/mine"


def test_a_profile_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match=r"FASTRTPS_DEFAULT_PROFILES_FILE names /no/such\.xml"):
        prepare_environment({"FASTRTPS_DEFAULT_PROFILES_FILE": "/no/such.xml"})


def test_a_prefix_without_our_profile_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    with pytest.raises(ConfigError, match=r"fastdds\.xml is not under AMENT_PREFIX_PATH"):
        prepare_environment({"AMENT_PREFIX_PATH": str(tmp_path)})


def test_a_child_with_our_python_keeps_the_mark(monkeypatch):
    monkeypatch.setenv("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "1")
    assert child_environment(sys.executable)["_ROS_WHEELS_BOOTSTRAP_COMPLETE"] == "1"


def test_a_foreign_child_sets_itself_up(monkeypatch):
    monkeypatch.setenv("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "1")
    monkeypatch.setenv("LD_LIBRARY_PATH", f"{sys.prefix}/lib{os.pathsep}/opt/keep")
    environ = child_environment("/usr/bin/ros2")
    assert "_ROS_WHEELS_BOOTSTRAP_COMPLETE" not in environ
    assert environ["LD_LIBRARY_PATH"] == "/opt/keep"


@pytest.mark.ros
def test_images_cross_processes_and_leave_no_shared_memory():
    # What a process that was killed left earlier, others take over and leave again.
    before = {path.name for path in Path("/dev/shm").iterdir()}
    environ = child_environment() | {
        "ROS_DOMAIN_ID": str(free_domain()),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
    }
    sender = start(sys.executable, LINK, "send", FRAMES, env=environ)
    receiver = start(sys.executable, LINK, "receive", env=environ)
    outputs = [finished(end)[0] for end in (sender, receiver)]
    sent, received = (json.loads(output) for output in outputs)
    # On Fast DDS's defaults 1 of 30; best effort may still lose one.
    assert sent["frames"] >= FRAMES - 3
    assert received["frames"] >= sent["frames"]
    used = {*sent["shared_memory"], *received["shared_memory"]}
    assert used, "the images did not go through shared memory"
    # Live processes of other domains share some ports' files.
    left = {path for path in fast_dds_files() if path.name in used - before}
    assert not abandoned(left), "shared memory is left that no process uses"
