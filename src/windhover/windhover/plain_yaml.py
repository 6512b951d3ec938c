"""YAML from outside, read within bounds: plain values only, and no more than was written.

A model bundle, a config or a calibration may come from anyone. PyYAML's safe loader runs
nothing, but takes any length, takes the last of two equal keys, and lets aliases grow a few
lines into gigabytes once they are walked through. rcl, which reads the same parameter files,
refuses aliases too.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

# libyaml's scanner where PyYAML has it: a bundle's manifest is read ten times faster.
try:
    from yaml import CSafeLoader as _SafeLoader
except ImportError:
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]

MAX_BYTES = 1 << 20
"""Longest file that is read; the largest of ours has some 20 kB."""

MAX_DEPTH = 100
"""Most collections within each other."""


class YamlError(Exception):
    """Text is not YAML that is accepted here; the message has the reason in one line."""


class _Loader(_SafeLoader):
    """Safe YAML that refuses a key given twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"key {key.value!r} appears twice", key.start_mark
                    )
                seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def _check_events(text: bytes) -> None:
    """Refuse aliases, and nesting that would go through a loader's stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise _refusal(f"alias *{event.anchor} is not taken: write it out", event)
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _refusal("nested too deep", event)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _refusal(problem: str, event: Any) -> yaml.MarkedYAMLError:
    return yaml.composer.ComposerError(None, None, problem, event.start_mark)


class _Dumper(yaml.SafeDumper):
    """Safe YAML without aliases, which the loader refuses."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True


def parse_yaml(text: bytes) -> Any:
    """The document in a text.

    Args:
        text: UTF-8, at most :data:`MAX_BYTES`.

    Raises:
        YamlError: too long, too deep, malformed, or it holds an alias or a key twice.
    """
    if len(text) > MAX_BYTES:
        raise YamlError(f"longer than {MAX_BYTES} bytes")
    try:
        _check_events(text)
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise YamlError(yaml_problem(error)) from error
    except (ValueError, OverflowError) as error:
        # Dates and numbers that PyYAML takes for such but can't make.
        raise YamlError(" ".join(str(error).split())) from error


def read_yaml(path: str | Path) -> Any:
    """The document in a file; no more than :data:`MAX_BYTES` of it are ever held.

    Raises:
        OSError: the file can't be read.
        YamlError: as :func:`parse_yaml`.
    """
    with Path(path).open("rb") as stream:
        return parse_yaml(stream.read(MAX_BYTES + 1))


def dump_yaml(document: Any, **options: Any) -> str:
    """A document of plain values as text that :func:`parse_yaml` takes.

    Args:
        document: str, int, float, bool, None, list and dict.
        **options: as for ``yaml.dump``.

    Raises:
        yaml.YAMLError: it holds a value that is not plain.
    """
    return str(yaml.dump(document, Dumper=_Dumper, sort_keys=False, **options))


def yaml_problem(error: yaml.YAMLError) -> str:
    """PyYAML's complaint in one line."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line = f" in line {mark.line + 1}" if mark else ""
        return f"{error.problem or error.context}{line}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
