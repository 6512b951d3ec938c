"""Parts that are chosen by name: built in, or added by other packages as entry points.

A package adds a part with one module and one line in its ``setup.py``::

    entry_points={"windhover.trackers": ["mine = my_package.tracker:KIND"]}

See the packaging guide's entry points specification.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from windhover.errors import ConfigError

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Registry(Mapping[str, T], Generic[T]):
    """A read-only mapping from names to parts, in the order of registration.

    Entry points are looked up on first use and each is imported when it is needed. A
    built-in name cannot be replaced.

    Args:
        group: entry point group, such as ``windhover.trackers``.
        kind: class that every part is an instance of.
        built_in: parts that need no entry point.
    """

    def __init__(self, group: str, kind: type[T], built_in: Mapping[str, T]) -> None:
        self.group = group
        self._kind = kind
        self._parts: dict[str, T] = dict(built_in)

    @cached_property
    def _added(self) -> dict[str, EntryPoint]:
        added: dict[str, EntryPoint] = {}
        for point in entry_points(group=self.group):
            if point.name in self._parts or point.name in added:
                _log.warning("%s: %r is registered twice; %s is ignored", self.group, point.name,
                             point.value)  # fmt: skip
                continue
            added[point.name] = point
        return added

    def __getitem__(self, name: str) -> T:
        """The part of that name.

        Raises:
            KeyError: nothing is registered under the name.
            ConfigError: the entry point cannot be imported, or is of another kind.
        """
        if name not in self._parts:
            point = self._added[name]
            self._parts[name] = self._checked(point, self._load(point))
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        yield from dict.fromkeys((*self._parts, *self._added))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._parts or name in self._added

    def _load(self, point: EntryPoint) -> Any:
        try:
            return point.load()
        # Whatever a foreign package does when it is imported, the message names it.
        except Exception as error:
            raise ConfigError(
                f"{self.group}: {point.name} ({point.value}) cannot be imported: {error}"
            ) from error

    def _checked(self, point: EntryPoint, part: Any) -> T:
        if not isinstance(part, self._kind):
            raise ConfigError(
                f"{self.group}: {point.name} ({point.value}) is a {type(part).__name__}, "
                f"not a {self._kind.__name__}"
            )
        return part
