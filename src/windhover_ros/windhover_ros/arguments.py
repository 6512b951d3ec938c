"""The ROS part of a command line, from ``--ros-args`` to ``--`` or the end.

rcl reads it too; it is checked here first, so that a mistake is one line that says how to
write the argument. The grammar is rcl's (``rcl/arguments.h`` of Jazzy).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from windhover.errors import ConfigError
from windhover.plain_yaml import YamlError, parse_yaml
from windhover_ros.parameter_files import ParameterSection, node_pattern, read_sections

_NAME = r"[A-Za-z_]\w*"
NAMESPACE = re.compile(rf"/|(/{_NAME})+")
"""A fully qualified namespace, or the name of an enclave."""
_PARAMETER = re.compile(r"[A-Za-z_][\w./]*")
_TOPIC = re.compile(r"(rostopic://|rosservice://)?[\w/~{}*\\]+")
_LEVELS = frozenset({"debug", "info", "warn", "error", "fatal", "unset"})
_SWITCHES = frozenset(
    f"--{way}-{what}"
    for way in ("enable", "disable")
    for what in ("rosout-logs", "stdout-logs", "external-lib-logs")
)


@dataclass(frozen=True, slots=True)
class RosArguments:
    """What the ROS part of a command line asks for.

    Attributes:
        sections: of parameter files and ``-p``, in their order; the last one wins.
        namespace: of all nodes (``-r __ns:=/drone1``); ``None`` where it is not given.
    """

    sections: tuple[ParameterSection, ...] = ()
    namespace: str | None = None


def ros_arguments(args: Sequence[str] | None = None) -> list[str]:
    """The words between ``--ros-args`` and ``--`` (or the end) of a command line.

    Args:
        args: the command line; ``None`` takes that of the process.
    """
    return [word for word, for_ros in _split(args) if for_ros]


def own_arguments(args: Sequence[str] | None = None) -> list[str]:
    """A command line without what is meant for ROS; args as in :func:`ros_arguments`."""
    return [word for word, for_ros in _split(args) if not for_ros]


def _split(args: Sequence[str] | None) -> Iterator[tuple[str, bool]]:
    inside = False
    for word in sys.argv if args is None else args:
        if word == "--ros-args":
            inside = True
        elif inside and word == "--":
            inside = False
        else:
            yield word, inside


def without_parameters(words: Sequence[str]) -> list[str]:
    """ROS arguments less ``-p`` and ``--params-file``; words as :func:`ros_arguments` gives."""
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in {"-p", "--param", "--params-file"}:
            next(rest, None)
        else:
            kept.append(word)
    return kept


def parse_ros_arguments(words: Sequence[str]) -> RosArguments:
    """Read and check ROS arguments.

    Args:
        words: as :func:`ros_arguments` gives them.

    Raises:
        ConfigError: one is unknown or malformed, or a parameter file can't be read.
    """
    sections: list[ParameterSection] = []
    namespaces: list[str] = []
    rest = iter(words)
    for flag in rest:
        if flag in _SWITCHES:
            continue
        if flag not in _CHECKS:
            raise ConfigError(
                f"--ros-args {flag}: no such ROS argument; there are "
                f"{', '.join([*_CHECKS, *sorted(_SWITCHES)])} ('--' ends ROS arguments)"
            )
        value = next(rest, None)
        if value is None:
            raise ConfigError(f"--ros-args {flag}: its value is missing")
        _CHECKS[flag](flag, value)
        if flag in {"-p", "--param"}:
            sections.append(_parameter(flag, value))
        elif flag == "--params-file":
            sections += read_sections(Path(value))
        elif flag in {"-r", "--remap"} and value.startswith("__ns:="):
            namespaces.append(value.partition(":=")[2])
    # Of several rules for the same name rcl takes the first.
    return RosArguments(tuple(sections), namespaces[0] if namespaces else None)


def _parameter(flag: str, word: str) -> ParameterSection:
    origin = f"--ros-args {flag} {word}"
    left, assigned, text = word.partition(":=")
    node, _, name = left.rpartition(":")
    if not assigned or not _PARAMETER.fullmatch(name) or not text:
        raise ConfigError(f"{origin}: write name:=value or node:name:=value")
    try:
        value = parse_yaml(text.encode())
    except YamlError as error:
        raise ConfigError(f"{origin}: the value is not YAML: {error}") from None
    kinds = {type(item) for item in value} if isinstance(value, list) else {type(value)}
    if not kinds <= {bool, int, float, str} or len(kinds) > 1:
        raise ConfigError(
            f"{origin}: a value is true or false, a number, a text, or a list of one of these"
        )
    return ParameterSection(node_pattern(node or "/**", origin), {name: value}, origin)


def _check_remap(flag: str, word: str) -> None:
    origin = f"--ros-args {flag} {word}"
    left, assigned, to = word.partition(":=")
    node, _, name = left.rpartition(":") if "://" not in left else ("", "", left)
    if not assigned or not name or not to or (node and not re.fullmatch(_NAME, node)):
        raise ConfigError(f"{origin}: write from:=to or node:from:=to")
    if name == "__ns":
        if not NAMESPACE.fullmatch(to):
            raise ConfigError(
                f"{origin}: a namespace begins with a slash and holds letters, digits and '_'; "
                "write __ns:=/drone1"
            )
    elif name in {"__node", "__name"}:
        if not re.fullmatch(_NAME, to):
            raise ConfigError(f"{origin}: a node's name holds letters, digits and '_' only")
    elif not (_TOPIC.fullmatch(name) and _TOPIC.fullmatch(to)):
        raise ConfigError(f"{origin}: a topic's name holds letters, digits, '_', '/' and '~' only")


def _check_level(flag: str, word: str) -> None:
    level = word.rpartition(":=")[2]
    if level.lower() not in _LEVELS:
        raise ConfigError(
            f"--ros-args {flag} {word}: write debug, info, warn, error or fatal, or logger:=level"
        )


def _check_enclave(flag: str, word: str) -> None:
    if not NAMESPACE.fullmatch(word):
        raise ConfigError(f"--ros-args {flag} {word}: an enclave begins with a slash")


def _accept(_flag: str, _word: str) -> None:
    """Checked elsewhere: when it is read, or by rcl."""


_CHECKS: dict[str, Callable[[str, str], None]] = {
    "-p": _accept,
    "--param": _accept,
    "--params-file": _accept,
    "-r": _check_remap,
    "--remap": _check_remap,
    "--log-level": _check_level,
    "-e": _check_enclave,
    "--enclave": _check_enclave,
    "--log-config-file": _accept,
    "--log-file-name": _accept,
}
