"""Reads a message package: package.xml and its .msg files."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

_DEPENDENCY_TAGS = ("depend", "build_depend", "exec_depend")


@dataclass(frozen=True, slots=True)
class MessagePackage:
    """A ROS package that holds message definitions only.

    Attributes:
        name: ROS name of the package.
        version: version in its package.xml.
        folder: where package.xml and ``msg/`` are.
        messages: paths of the .msg files relative to ``folder``, sorted.
        dependencies: names of the packages it depends on, in package.xml's order.
    """

    name: str
    version: str
    folder: Path
    messages: tuple[Path, ...]
    dependencies: tuple[str, ...]

    @classmethod
    def load(cls, folder: Path) -> MessagePackage:
        """Read the package whose package.xml is in ``folder``.

        Raises:
            FileNotFoundError: ``folder`` holds no package.xml.
        """
        root = ET.parse(folder / "package.xml").getroot()
        return cls(
            name=root.findtext("name", "").strip(),
            version=root.findtext("version", "").strip(),
            folder=folder,
            messages=tuple(
                path.relative_to(folder) for path in sorted((folder / "msg").glob("*.msg"))
            ),
            dependencies=tuple(
                dict.fromkeys(
                    (element.text or "").strip()
                    for tag in _DEPENDENCY_TAGS
                    for element in root.findall(tag)
                )
            ),
        )


def interface_closure(names: tuple[str, ...], share: Path) -> tuple[str, ...]:
    """Every message package that ``names`` reach through their package.xml files.

    Args:
        names: packages to start from; those that hold no messages are left out.
        share: ``share`` folder of the prefix in which they are installed.

    Returns:
        Names, each before what it needs, without repeats.
    """
    markers = share / "ament_index" / "resource_index" / "rosidl_interfaces"
    found: dict[str, None] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop(0)
        if name in found or not (markers / name).is_file():
            continue
        found[name] = None
        waiting += MessagePackage.load(share / name).dependencies
    return tuple(found)
