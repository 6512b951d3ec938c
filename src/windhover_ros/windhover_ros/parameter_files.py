"""ROS 2 parameter files by ROS's own rules: which values reach which node.

A file has sections, each for the nodes that a pattern matches::

    /**/tracker:          # every node called tracker, in any namespace
      ros__parameters:
        deadline_s: 0.5
    /drone1/*:            # every node right in /drone1
      ros__parameters: ...

``*`` stands for one name and ``**`` for any number of them; a pattern without a slash at
its start is taken from the root. Sections apply in the order in which they are written:
where two give the same parameter to a node, the later one wins. Source: rcl's
``rcl_yaml_param_parser`` and rclpy 7.1, whose behaviour the tests compare.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from windhover.errors import ConfigError
from windhover.plain_yaml import YamlError, read_yaml
from windhover_ros.nesting import flatten

PARAMETERS = "ros__parameters"
_TOKEN = re.compile(r"\*|\*\*|[A-Za-z_]\w*")


@dataclass(frozen=True)
class ParameterSection:
    """Parameter values for the nodes that a pattern matches.

    Attributes:
        pattern: absolute, such as ``/**/tracker``.
        values: dotted name to value.
        origin: where it stands, for messages.
    """

    pattern: str
    values: Mapping[str, Any]
    origin: str

    @property
    def node(self) -> str:
        """Last part of the pattern: a node's name, ``*`` or ``**``."""
        return self.pattern.rpartition("/")[2]

    @property
    def is_for_all(self) -> bool:
        """Whether it is for nodes of any name, which take of it what they declare."""
        return "*" in self.node

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        # "/*" becomes one name and "/**", by the star that is left, any number of them.
        return re.compile(self.pattern.replace("/*", r"(/\w+)"))

    def matches(self, full_name: str) -> bool:
        """Whether it is for a node, given by its fully qualified name."""
        return self._expression.fullmatch(full_name) is not None


def node_pattern(name: str, origin: str) -> str:
    """The absolute pattern of a section's key.

    Raises:
        ConfigError: it is no pattern of a node's name.
    """
    pattern = name if name.startswith("/") else f"/{name}"
    if not all(_TOKEN.fullmatch(token) for token in pattern[1:].split("/")):
        raise ConfigError(
            f"{origin}: {name!r} is no node's name; write /namespace/node, or /**/node for the "
            "node in any namespace"
        )
    return pattern


def read_sections(file: Path) -> list[ParameterSection]:
    """The sections of a parameter file, in their order.

    Raises:
        ConfigError: it can't be read, or is no parameter file.
    """
    try:
        document = read_yaml(file)
    except (OSError, ValueError) as error:  # the second for a NUL in the path
        why = getattr(error, "strerror", None) or error
        raise ConfigError(f"config {file} can't be read: {why}") from None
    except YamlError as error:
        raise ConfigError(f"config {file} is not YAML: {error}") from None
    if not isinstance(document, dict):
        raise ConfigError(f"config {file} has no sections; start from config/default.yaml")
    return _walk(document, "", f"config {file}")


def _walk(content: Mapping[Any, Any], above: str, origin: str) -> list[ParameterSection]:
    """Sections under a key; a namespace may stand above its nodes."""
    sections = []
    for key, inner in content.items():
        if key == PARAMETERS:
            continue
        path = f"{above}/{key}" if above else str(key)
        pattern = node_pattern(path, origin)
        if not isinstance(inner, dict):
            raise ConfigError(f"{origin}: section {path!r} must hold '{PARAMETERS}:'")
        if PARAMETERS in inner:
            values = inner[PARAMETERS] or {}
            if not isinstance(values, dict):
                raise ConfigError(f"{origin}: section {path!r}: '{PARAMETERS}:' holds no names")
            sections.append(ParameterSection(pattern, flatten(values), origin))
        elif not any(isinstance(value, dict) for value in inner.values()):
            raise ConfigError(f"{origin}: section {path!r} must hold '{PARAMETERS}:' only")
        sections += _walk(inner, path, origin)
    return sections
