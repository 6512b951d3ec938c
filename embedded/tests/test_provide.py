"""Generation of a message package: what is built, and that it is built once."""

import subprocess
import sys
import zipfile
from dataclasses import replace

import pytest

pytest.importorskip("rosidl_generator_py", reason="the rosidl generators are not installed")

from embedded import provide
from embedded.host import SetupError
from embedded.package import MessagePackage, interface_closure
from embedded.provide import ROOT, Provider

PACKAGE_XML = """<package format="3">
  <name>tiny_msgs</name>
  <version>1.2.3</version>
  <description>One message.</description>
  <maintainer email="nobody@localhost">Nobody</maintainer>
  <license>Apache-2.0</license>
  <depend>std_msgs</depend>
</package>
"""


def never(done: int, total: int) -> None:
    pytest.fail(f"step {done} of {total} was run")


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny_msgs")
    (folder / "package.xml").write_text(PACKAGE_XML)
    (folder / "msg").mkdir()
    (folder / "msg" / "Tiny.msg").write_text(
        "std_msgs/Header header\nuint8 HIGH=7\nfloat32[] values\n"
    )
    return MessagePackage.load(folder)


@pytest.fixture(scope="module")
def provider(tmp_path_factory):
    return Provider.here(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def wheel(provider, package):
    steps: list[tuple[int, int]] = []
    made = provider.wheel(package, lambda done, total: steps.append((done, total)))
    assert [done for done, _ in steps] == list(range(1, steps[-1][1] + 1))
    return made


def test_the_package_says_what_it_needs(package):
    assert (package.name, package.version) == ("tiny_msgs", "1.2.3")
    assert package.dependencies == ("std_msgs",)
    assert [path.as_posix() for path in package.messages] == ["msg/Tiny.msg"]


def test_dependencies_are_followed_to_their_end(provider):
    closure = interface_closure(("geometry_msgs", "no_such_msgs"), provider.prefix / "share")
    assert closure[0] == "geometry_msgs"
    assert {"std_msgs", "builtin_interfaces"} <= set(closure)


def test_the_wheel_holds_code_definitions_and_markers(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    data = "tiny_msgs-1.2.3.data/data"
    for name in (
        "tiny_msgs/msg/_tiny.py",
        f"{data}/lib/libtiny_msgs__rosidl_typesupport_fastrtps_c.so",
        f"{data}/share/tiny_msgs/msg/Tiny.json",
        f"{data}/share/ament_index/resource_index/packages/tiny_msgs",
        f"{data}/share/ament_index/resource_index/rosidl_interfaces/tiny_msgs",
    ):
        assert name in names


def test_the_wheel_serialises_where_it_is_unpacked(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    libraries = tmp_path / "tiny_msgs-1.2.3.data/data/lib"
    code = f"""
import os, sys
sys.path.insert(0, {str(tmp_path)!r})
os.environ["AMENT_PREFIX_PATH"] = ""
import ctypes, pathlib, rclpy
# Found by soname once they are loaded: unpacked is not installed.
for kind in ("rosidl_generator_c", "rosidl_typesupport_fastrtps_c", "rosidl_typesupport_c",
             "rosidl_generator_py"):
    ctypes.CDLL(f"{libraries}/libtiny_msgs__{{kind}}.so", ctypes.RTLD_GLOBAL)
from rclpy.serialization import deserialize_message, serialize_message
from tiny_msgs.msg import Tiny
sent = Tiny(values=[1.5, -2.0])
sent.header.frame_id = "thermal"
assert deserialize_message(serialize_message(sent), Tiny) == sent
assert Tiny.HIGH == 7
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_a_second_generation_does_no_work(provider, package, wheel):
    made = wheel.stat().st_mtime_ns
    assert provider.wheel(package, never) == wheel
    assert wheel.stat().st_mtime_ns == made
    assert not list(provider.cache.glob("building-*"))


def test_a_changed_message_is_another_build(provider, package, tmp_path):
    (tmp_path / "msg").mkdir()
    (tmp_path / "package.xml").write_text(PACKAGE_XML)
    (tmp_path / "msg" / "Tiny.msg").write_text("float64[] values\n")
    assert provider.key(replace(package, folder=tmp_path)) != provider.key(package)


def test_a_distribution_without_the_package_is_told_what_to_install(provider, package, monkeypatch):
    monkeypatch.setattr(provide, "_GENERATORS", ("no-such-generator",))
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    with pytest.raises(SetupError, match=r"apt-get install ros-jazzy-tiny-msgs"):
        provider.provide(package, never)


def test_a_package_that_has_a_wheel_is_used_as_it_is(provider, package):
    assert provider.provide(replace(package, name="std_msgs"), never) == "found"


def test_vision_msgs_is_ready_after_set_up(provider):
    package = MessagePackage.load(ROOT / "embedded" / "vision_msgs")
    assert package.version == "4.1.1"
    assert provider.provide(package, never) in {"ready", "found"}
