"""Lays a virtual environment out as a ROS prefix.

`ros2 launch` and ament_index find a package by AMENT_PREFIX_PATH, a marker in the
resource index, ``share/<package>/package.xml`` and ``lib/<package>/<executable>``.
An editable pip install makes none of them, so they are linked here.
"""

from __future__ import annotations

import os
import xml.etree.ElementTree as ET
from importlib.metadata import distribution
from pathlib import Path


def ros_packages(root: Path) -> dict[str, Path]:
    """Name and folder of every ROS package under ``root/src``."""
    return {
        ET.parse(path).getroot().findtext("name", "").strip(): path.parent
        for path in sorted(root.glob("src/*/package.xml"))
    }


def console_scripts(name: str) -> tuple[str, ...]:
    """Names of the console scripts that an installed distribution declares."""
    points = distribution(name).entry_points.select(group="console_scripts")
    return tuple(sorted(point.name for point in points))


def lay_out(root: Path, prefix: Path) -> int:
    """Make every installed package of ``root/src`` visible to ROS's tools.

    Args:
        root: the checkout.
        prefix: the virtual environment; what it has already is left alone.

    Returns:
        How many packages are visible.
    """
    markers = prefix / "share/ament_index/resource_index/packages"
    markers.mkdir(parents=True, exist_ok=True)
    packages = ros_packages(root)
    for name, folder in packages.items():
        (markers / name).touch()
        share = prefix / "share" / name
        share.mkdir(parents=True, exist_ok=True)
        _link(share / "package.xml", folder / "package.xml")
        for data in ("config", "models"):
            if (folder / data).is_dir():
                _link(share / data, (folder / data).resolve())
        if (folder / "launch").is_dir():
            _link_files(share / "launch", (folder / "launch").resolve())
        _link_scripts(name, prefix)
    return len(packages)


def _link_files(place: Path, folder: Path) -> None:
    """Link what is in a folder; ``ros2 launch`` does not look into a folder that is a link."""
    if place.is_symlink():
        place.unlink()
    place.mkdir(exist_ok=True)
    for stale in (link for link in place.iterdir() if not link.exists()):
        stale.unlink()
    for file in folder.iterdir():
        _link(place / file.name, file)


def _link_scripts(name: str, prefix: Path) -> None:
    folder = prefix / "lib" / name
    wanted = set(console_scripts(name))
    if folder.is_dir():
        for stale in (path for path in folder.iterdir() if path.name not in wanted):
            stale.unlink()
    for script in wanted:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / script).unlink(missing_ok=True)
        _link(folder / script, prefix / "bin" / script)


def _link(link: Path, target: Path) -> None:
    if link.is_symlink():
        link.unlink()
    if not link.exists():
        link.symlink_to(os.path.relpath(target, link.parent))
