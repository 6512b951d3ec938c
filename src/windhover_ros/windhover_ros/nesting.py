"""Nested mappings and their dotted names; nothing of ROS is imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from windhover.errors import ConfigError


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings to dotted names; a name that is no text, such as 1, becomes one."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names to nested mappings.

    Raises:
        ConfigError: a name has both a value and names below it.
    """
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *outer, last = name.split(".")
        place = nested
        for part in outer:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise ConfigError(f"{name}: {part} has a value, so it has no parameters below it")
        place[last] = value
    return nested
