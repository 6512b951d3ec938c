"""Checks of ``windhover doctor``; only the library has to be installed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
from pathlib import Path

from windhover.errors import WindhoverError
from windhover.finding import Finding, run_check
from windhover_bringup.doctor.device import check_qnn, device_findings


def run_checks() -> list[Finding]:
    """Run all checks; one that fails is a finding too."""
    ros = (_python, _ros, _vision_msgs, _rmw, _profile, _shared_memory)
    rest = (_cameras, _gpu, _models)
    return [
        *map(run_check, ros),
        *_backends(),
        run_check(check_qnn),
        *_device(),
        *map(run_check, rest),
    ]


def _device() -> list[Finding]:
    try:
        return device_findings()
    except Exception as error:  # as above
        return [Finding("hexagon dsp", False, f"{type(error).__name__}: {error}")]


def _python() -> Finding:
    version = platform.python_version()
    good = sys.version_info >= (3, 10)
    return Finding(
        "python", good, f"{version} ({sys.executable})", "" if good else "use Python 3.10 or newer"
    )


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _found(module: str) -> Path | None:
    spec = importlib.util.find_spec(module)
    return Path(spec.origin) if spec is not None and spec.origin else None


def _ros() -> Finding:
    place = _found("rclpy")
    if place is None:
        return Finding(
            "ros", False, "rclpy is not installed",
            "run 'make setup' (ROS from wheels), or source /opt/ros/jazzy/setup.bash",
        )  # fmt: skip
    wheel = _version("ros-jazzy-rclpy")
    distro = os.environ.get("ROS_DISTRO", "")
    if wheel and place.is_relative_to(sys.prefix):
        return Finding("ros", True, f"Jazzy from wheels, rclpy {wheel}")
    return Finding("ros", True, f"distribution {distro or 'unknown'} at {place.parents[4]}")


def _vision_msgs() -> Finding:
    place = _found("vision_msgs")
    if place is None:
        return Finding(
            "vision_msgs", False, "not installed",
            "run 'make setup', or apt install ros-jazzy-vision-msgs",
        )  # fmt: skip
    origin = "built here" if place.is_relative_to(sys.prefix) else "from the distribution"
    return Finding("vision_msgs", True, f"{origin} ({place.parent})")


def _rmw() -> Finding:
    name = os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp (default)")
    version = _version(f"ros-jazzy-{name.split(' ')[0].replace('_', '-')}")
    domain = os.environ.get("ROS_DOMAIN_ID", "0 (default)")
    return Finding("rmw", True, f"{name} {version or ''}, domain {domain}".replace(" ,", ","))


def _profile() -> Finding:
    from windhover_ros.environment import prepare_environment

    environ = dict(os.environ)
    try:
        prepare_environment(environ)
    except WindhoverError as error:
        return Finding("dds profile", False, str(error), "set it as the message says")
    profile = environ.get("FASTRTPS_DEFAULT_PROFILES_FILE", "")
    if not profile:
        return Finding("dds profile", None, "not used by this RMW")
    return Finding("dds profile", True, profile)


def _shared_memory() -> Finding:
    place = Path("/dev/shm")
    if not place.is_dir():
        return Finding("shared memory", None, "no /dev/shm on this system")
    stat = os.statvfs(place)
    free = stat.f_bavail * stat.f_frsize // 2**20
    good = free >= 256
    return Finding(
        "shared memory", good, f"{free} MiB free in /dev/shm",
        "" if good else "give /dev/shm 256 MiB or more: each process maps 64 MiB for images",
    )  # fmt: skip


def _backends() -> list[Finding]:
    from windhover.inference import available_backends

    return [
        Finding(
            f"backend {status.name}",
            status.usable or None,
            status.detail,
        )
        for status in available_backends()
    ]


def _cameras() -> Finding:
    devices = sorted(str(path) for path in Path("/dev").glob("video[0-9]*"))
    there = f"{len(devices)} video device(s)" if devices else "no /dev/video*"
    linuxpy = _version("linuxpy")
    tools = {
        f"linuxpy {linuxpy}": linuxpy is not None,
        "GStreamer": shutil.which("gst-launch-1.0") is not None,
    }
    present = [name for name, found in tools.items() if found]
    advice = "v4l2: needs 'pip install linuxpy', gst: Debian's gstreamer1.0-tools"
    return Finding(
        "cameras", all(tools.values()) or None, ", ".join([there, *present]),
        "" if all(tools.values()) else advice,
    )  # fmt: skip


def _gpu() -> Finding:
    cards = sorted(Path("/dev").glob("nvidia[0-9]*"))
    if cards:
        return Finding("gpu", True, f"{len(cards)} NVIDIA device(s); no backend here uses one")
    return Finding("gpu", None, "no NVIDIA device; none is needed")


def _models() -> Finding:
    from windhover.model.bundle import Bundle, search_path

    folders = [file.parent for path in search_path() for file in path.glob("*/bundle.yaml")]
    if not folders:
        return Finding("models", None, "none found in models/", "give --model a bundle's folder")
    try:
        bundles = [Bundle.load(folder) for folder in sorted(folders)]
    except WindhoverError as error:
        return Finding("models", False, str(error), "copy the released bundle again")
    # The same bundle is found in the checkout and where it was installed to.
    names = {f"{bundle.name} {bundle.version} ({bundle.modality})": None for bundle in bundles}
    return Finding("models", True, ", ".join(names))
