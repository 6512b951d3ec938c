"""Every package that the drone installs has a wheel for Python 3.12 on 64-bit ARM.

The index is asked through pip, as pip is set up here, for the pins of constraints.txt. Where
the index can't be reached the tests skip.
"""

import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]

# The drone's Python: that of Ubuntu 24.04, the base of docker/Dockerfile.qcs8550.
DRONE = {
    "python_version": "3.12",
    "python_full_version": "3.12.3",
    "implementation_version": "3.12.3",
    "platform_machine": "aarch64",
    "platform_system": "Linux",
    "sys_platform": "linux",
    "os_name": "posix",
}
# Of the C library that Ubuntu 24.04 has, and older ones.
PLATFORMS = ["manylinux2014_aarch64", *(f"manylinux_2_{n}_aarch64" for n in range(39, 16, -1))]

# Last in the list: pip looks for the pins in order and stops at the first that it can't have,
# before it fetches a wheel. A run that stops here has found all that stand before.
LAST = "pip==0.0.0"
UNREACHABLE = ("connection broken", "Could not fetch URL", "ProxyError", "HTTPError", "timed out")


def pins():
    """The lines of constraints.txt, by name."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return {canonicalize_name(p.partition("==")[0]): p for p in lines if p and p[0] != "#"}


def needs(requirement):
    """What a package needs on the drone."""
    for line in requires(requirement.name) or ():
        found = Requirement(line)
        extras = ("", *requirement.extras)
        if not found.marker or any(found.marker.evaluate({**DRONE, "extra": e}) for e in extras):
            yield found


def drone_packages():
    """Names of all that docker/requirements.txt brings to the drone."""
    lines = (ROOT / "docker" / "requirements.txt").read_text().splitlines()
    asked = [Requirement(line) for line in lines if line and line[0] != "#"]
    found = {}
    while asked:
        requirement = asked.pop()
        name = canonicalize_name(requirement.name)
        if found.get(name, set()) >= {"", *requirement.extras}:
            continue
        found[name] = found.get(name, set()) | {"", *requirement.extras}
        try:
            asked += needs(requirement)
        except PackageNotFoundError:
            pytest.fail(f"{name} is not in .venv, so what it needs is unknown; run 'make setup'")
    return sorted(found)


def first_without_wheel(requirements):
    """The first requirement that has no wheel for the drone, or None; skips without an index."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-deps", "--no-input"]
    command += ["--target", "unused", "--only-binary", ":all:", "--retries", "1"]
    command += ["--implementation", "cp", "--python-version", "3.12"]
    # Reads a wheel's description with range requests; without it pip fetches 250 MB.
    command += ["--use-feature", "fast-deps", "--disable-pip-version-check"]
    command += [part for platform in PLATFORMS for part in ("--platform", platform)]
    done = subprocess.run([*command, *requirements, LAST], capture_output=True, text=True)
    output = done.stdout + done.stderr
    stopped = re.search(r"No matching distribution found for (\S+)", output)
    if any(word in output for word in UNREACHABLE):
        pytest.skip("the package index can't be reached from here")
    assert stopped, output
    return None if stopped[1] == LAST else stopped[1]


def test_what_the_drone_needs_is_pinned():
    names = drone_packages()
    assert {"numpy", "onnxruntime-qnn", "pydantic-core", "cffi"} <= set(names)
    assert set(names) <= set(pins())


@pytest.mark.slow
def test_every_pin_has_a_wheel_for_the_drone():
    pinned = pins()
    assert first_without_wheel([pinned[name] for name in drone_packages()]) is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "missing",
    [
        pytest.param("mcap==1.6.999", id="no such version"),
        # Older than Python 3.12, so for this Python there is its source alone.
        pytest.param("lz4==4.3.2", id="no wheel for this Python"),
        pytest.param("ros-rclpy==7.1.6", id="no wheel for this machine"),
    ],
)
def test_a_pin_without_a_wheel_is_named(missing):
    assert first_without_wheel(["mdurl==0.1.2", missing]) == missing
