"""Which category of a truth file is which label of a model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from windhover.errors import DataError

#: Truth names that mean a label of ours, used where the model has no label of
#: the truth's own name. Compared without case, spaces and punctuation.
DEFAULT_ALIASES: Mapping[str, str] = {
    "pedestrian": "person",
    "people": "person",
    "human": "person",
    "car": "vehicle",
    "other vehicle": "vehicle",
    "truck": "vehicle",
    "van": "vehicle",
    "bus": "vehicle",
    "trailer": "vehicle",
    "bicycle": "two-wheeler",
    "bike": "two-wheeler",
    "motorbike": "two-wheeler",
    "motorcycle": "two-wheeler",
    "weapons": "weapon",
    "gun": "weapon",
    "rifle": "weapon",
    "pistol": "weapon",
    "shotgun": "weapon",
}

_IGNORED_CATEGORIES = frozenset(
    {"dontcare", "ignore", "ignored", "ignoredregion", "ignoredregions"}
)


@dataclass(frozen=True, slots=True)
class CategoryMap:
    """How the categories of one truth file are read.

    Attributes:
        labels: the model's labels.
        names: category id to name, all categories of the file in its order.
        labels_of: category id to index into ``labels``, for those that are scored.
        ignored: ids of categories that mark regions not to be judged.
    """

    labels: tuple[str, ...]
    names: Mapping[Any, str]
    labels_of: Mapping[Any, int]
    ignored: frozenset[Any]

    @classmethod
    def of(
        cls,
        records: Sequence[Mapping[str, Any]],
        path: str,
        labels: tuple[str, ...],
        aliases: Mapping[str, str],
    ) -> CategoryMap:
        """Map a file's ``categories`` records to labels.

        Raises:
            DataError: a record has no id or name, an id is given twice, an alias
                names no label, or no category is one of the labels.
        """
        names = _names(records, path)
        own = {_key(label): index for index, label in enumerate(labels)}
        given = _given_aliases(aliases, own)
        defaults = {
            _key(name): own[_key(label)]
            for name, label in DEFAULT_ALIASES.items()
            if _key(label) in own
        }
        known = {**defaults, **own, **given}
        labels_of = {
            category: known[_key(name)] for category, name in names.items() if _key(name) in known
        }
        if not labels_of:
            raise DataError(
                f"{path}: none of its categories ({', '.join(names.values()) or 'none given'}) is "
                f"one of the model's labels ({', '.join(labels)}); say which of them is which label"
            )
        rest = {category: name for category, name in names.items() if category not in labels_of}
        ignored = frozenset(c for c, name in rest.items() if _key(name) in _IGNORED_CATEGORIES)
        return cls(labels, names, labels_of, ignored)

    def names_of_labels(self) -> dict[str, tuple[str, ...]]:
        """For each label the names of the categories that are scored as it."""
        return {
            label: tuple(self.names[c] for c, i in self.labels_of.items() if i == index)
            for index, label in enumerate(self.labels)
        }

    def result_ids(self) -> dict[str, int]:
        """For each label that the file knows, the category id its results carry.

        That of the category with the label's own name, else the first in the file.
        """
        chosen: dict[str, int] = {}
        for category, index in self.labels_of.items():
            label = self.labels[index]
            if label not in chosen or _key(self.names[category]) == _key(label):
                chosen[label] = category
        return chosen


def _names(records: Sequence[Mapping[str, Any]], path: str) -> dict[Any, str]:
    names: dict[Any, str] = {}
    for record in records:
        category, name = record.get("id"), record.get("name")
        if not isinstance(category, int) or not isinstance(name, str):
            raise DataError(
                f"{path}: a category needs an 'id' number and a 'name', found {str(record)[:80]}; "
                "add what is missing"
            )
        if category in names:
            raise DataError(f"{path}: category id {category} is given twice; make them unique")
        names[category] = name
    return names


def _given_aliases(aliases: Mapping[str, str], own: Mapping[str, int]) -> dict[str, int]:
    given = {}
    for name, label in aliases.items():
        if _key(label) not in own:
            raise DataError(
                f"alias {name}={label}: the model has no label '{label}'; use one that it has"
            )
        given[_key(name)] = own[_key(label)]
    return given


def _key(name: str) -> str:
    return re.sub(r"[^0-9a-z]+", "", name.casefold())
