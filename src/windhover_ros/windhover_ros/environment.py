"""Completes the environment variables that ROS processes need.

Every launcher calls :func:`prepare_environment` before ``rclpy.init()`` and starts
other processes with :func:`child_environment`. What the user has set is kept.
"""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import MutableMapping
from pathlib import Path

from windhover.errors import BackendError, ConfigError
from windhover.inference.qnn_api.library import library_folder, search_paths

# The ros-jazzy-* wheels put their folders on LD_LIBRARY_PATH by running Python a
# second time, and set this so that it happens once.
_REEXEC_MARK = "_ROS_WHEELS_BOOTSTRAP_COMPLETE"
# Fast DDS 2 reads the first name, Fast DDS 3 the second.
_PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")


def prepare_environment(environ: MutableMapping[str, str] | None = None) -> None:
    """Set the missing variables of the ROS environment, in place.

    Puts this virtual environment, if it is laid out as a ROS prefix, at the end of
    ``AMENT_PREFIX_PATH``. Sets, where they are not set, ``RMW_IMPLEMENTATION`` to
    ``rmw_fastrtps_cpp`` and the Fast DDS profile to ours, whose shared memory holds
    entire images: with Fast DDS's own defaults most best-effort images between processes are lost.
    On a 64-bit ARM device that has the QNN libraries, adds their folder to ``LD_LIBRARY_PATH``
    and ``ADSP_LIBRARY_PATH``.

    Args:
        environ: variables to complete; ``os.environ`` if not given.

    Raises:
        ConfigError: the Fast DDS profile that is named, or ours, is not there.
    """
    variables = os.environ if environ is None else environ
    _add_prefix(variables)
    _add_qnn(variables)
    variables.setdefault("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp")
    if variables["RMW_IMPLEMENTATION"].startswith("rmw_fastrtps"):
        _set_profile(variables)


def child_environment(interpreter: str | Path = sys.executable) -> dict[str, str]:
    """Environment for a child process.

    Args:
        interpreter: Python or other program that the child runs. One from outside this
            environment must neither skip its own set-up nor load our libraries, so the
            wheels' mark and our entries of LD_LIBRARY_PATH are taken out for it.

    Returns:
        A completed copy of ``os.environ``.

    Raises:
        ConfigError: as :func:`prepare_environment`.
    """
    variables = dict(os.environ)
    prepare_environment(variables)
    if Path(interpreter).absolute().parent != Path(sys.executable).absolute().parent:
        variables.pop(_REEXEC_MARK, None)
        _drop_own_libraries(variables)
    return variables


def _add_prefix(variables: MutableMapping[str, str]) -> None:
    if sys.prefix == sys.base_prefix or not Path(sys.prefix, "share", "ament_index").is_dir():
        return
    prefixes = [
        entry for entry in variables.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if entry
    ]
    if sys.prefix not in prefixes:
        variables["AMENT_PREFIX_PATH"] = os.pathsep.join([*prefixes, sys.prefix])


def _add_qnn(variables: MutableMapping[str, str]) -> None:
    if platform.machine() != "aarch64":
        return
    try:
        folder = library_folder()
    except BackendError:
        return
    variables.update(search_paths(variables, folder))


def _drop_own_libraries(variables: MutableMapping[str, str]) -> None:
    prefix = Path(sys.prefix)
    entries = variables.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    kept = [entry for entry in entries if entry and not Path(entry).is_relative_to(prefix)]
    if kept:
        variables["LD_LIBRARY_PATH"] = os.pathsep.join(kept)
    else:
        variables.pop("LD_LIBRARY_PATH", None)


def _set_profile(variables: MutableMapping[str, str]) -> None:
    for name in _PROFILE_VARIABLES:
        if variables.get(name):
            if not Path(variables[name]).is_file():
                # Fast DDS would go on with its defaults and say nothing.
                raise ConfigError(
                    f"{name} names {variables[name]}, which is not there: correct or unset it"
                )
            return
    for prefix in variables.get("AMENT_PREFIX_PATH", "").split(os.pathsep):
        profile = Path(prefix) / "share" / "windhover_ros" / "config" / "fastdds.xml"
        if prefix and profile.is_file():
            variables[_PROFILE_VARIABLES[0]] = str(profile)
            return
    raise ConfigError(
        "the Fast DDS profile share/windhover_ros/config/fastdds.xml is not under "
        "AMENT_PREFIX_PATH: source the workspace's setup.bash, or run 'make setup'"
    )
