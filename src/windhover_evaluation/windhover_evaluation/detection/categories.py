"""Which category of a data set is which label of a model: the one table of names.

A name stands for a *concept*, and a concept may be a kind of a wider one (a car is a kind
of vehicle, a motorcycle a kind of two-wheeler). A category becomes the label

1. that the caller maps it to,
2. of the same name,
3. of the same concept (``pedestrian`` for ``person``),
4. of a wider concept (``car`` for ``vehicle``), or
5. of the one narrower concept that the model knows (``two-wheeler`` for ``motorcycle``).

What is none of these but a kind of the same thing as a label, such as a bicycle for a model
that knows motorcycles, is ignored: such objects need not be found, and finding them is not
wrong. Names are compared without case, spaces, punctuation and plural.

A rider, cyclist or motorcyclist is one object with the machine, unless the data set marks
the machine apart: then it is a person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from windhover.errors import ConfigError, DataError

#: Given as a label, it makes a category's objects ignored regions.
IGNORE: Final = "ignore"

# Concept: the wider one, and the names for it. Those of VisDrone, UAVDT, DroneVehicle,
# HIT-UAV, AU-AIR, KUST4K, VT-MOT, FLIR ADAS, M3FD, LLVIP, KAIST, Stanford Drone, DOTA, VEDAI,
# xView, BDD100K, Cityscapes, KITTI, MOTChallenge, COCO and Open Images are among them.
_CONCEPTS: Final[Mapping[str, tuple[str, str]]] = {
    "person": (
        "",
        "pedestrian, people, human, man, men, woman, women, boy, girl, child, children, adult, "
        "worker, soldier, civilian, walker, hiker, person sitting, sitting person, "
        "static person, standing, walking",
    ),
    "two-wheeler": ("", "two wheeled vehicle, bike and rider"),
    "motorcycle": ("two-wheeler", "motor, motorbike, motor bike, scooter, motor scooter, moped"),
    "bicycle": ("two-wheeler", "bike, cycle, push bike, e bike"),
    "vehicle": (
        "",
        "other vehicle, motor vehicle, motorised vehicle, motorized vehicle, land vehicle, "
        "large vehicle, small vehicle, civilian vehicle, military vehicle",
    ),
    "car": (
        "vehicle",
        "automobile, auto, sedan, saloon, hatchback, estate car, station wagon, taxi, cab, suv, "
        "small car, passenger car, passenger vehicle, jeep",
    ),
    "van": ("vehicle", "minivan, caravan, camper, camper van, camping car"),
    "truck": (
        "vehicle",
        "lorry, pickup, pick up, pickup truck, pickup car, cargo truck, utility truck, "
        "dump truck, tow truck, fire truck, freight car, box truck, semi truck, tractor trailer",
    ),
    "bus": ("vehicle", "minibus, mini bus, coach, school bus"),
    "trailer": ("vehicle", ""),
    "tractor": ("vehicle", ""),
    "tricycle": ("vehicle-like", "awning tricycle, rickshaw, three wheeler"),
    "weapon": ("", "firearm, armed weapon"),
    "rifle": ("weapon", "long gun, assault rifle, machine gun"),
    "pistol": ("weapon", "handgun, hand gun, revolver"),
    "shotgun": ("weapon", ""),
    "gun": ("weapon", ""),
}

# A person on a machine: the concept of both together.
_RIDERS: Final[Mapping[str, str]] = {
    "rider": "two-wheeler",
    "biker": "two-wheeler",
    "cyclist": "bicycle",
    "bicyclist": "bicycle",
    "motorcyclist": "motorcycle",
    "motorbiker": "motorcycle",
}

# Regions in which nothing is scored, whatever the model.
_IGNORED: Final = frozenset(
    {
        "dontcare", "ignore", "ignored", "ignoreregion", "ignoredregion", "crowd", "several",
        "other", "notsure", "unsure", "distractor", "reflection",
    }
)  # fmt: skip


def name_key(name: str) -> str:
    """A name as it is compared: letters and digits of any script, lower case, singular."""
    letters = "".join(letter for letter in name.casefold() if letter.isalnum())
    return _SINGULAR.get(letters) or (letters[:-1] if _is_plural(letters) else letters)


_SINGULAR: Final = {"bus": "bus", "buses": "bus", "minibuses": "minibus", "lorries": "lorry"}


def _is_plural(letters: str) -> bool:
    return len(letters) > 3 and letters.endswith("s") and not letters.endswith(("ss", "us"))


_CONCEPT_OF: Final[Mapping[str, str]] = {
    name_key(name): concept
    for concept, (_, names) in _CONCEPTS.items()
    for name in (concept, *names.split(", "))
    if name
}
_FAMILY_OF: Final[Mapping[str, str]] = {
    concept: wider or concept for concept, (wider, _) in _CONCEPTS.items()
}


def parse_mapping(texts: Iterable[str]) -> dict[str, str]:
    """Read ``NAME=LABEL`` pairs, such as ``motor=two-wheeler``, from a command line.

    Args:
        texts: each one pair, or several with commas between them.

    Returns:
        Label by category name.

    Raises:
        ConfigError: a text is no such pair, or a name is given two labels.
    """
    mapping: dict[str, str] = {}
    for pair in (part for text in texts for part in text.split(",")):
        name, equals, label = (part.strip() for part in pair.partition("="))
        if not (name and equals and label):
            raise ConfigError(
                f"--map {pair.strip()!r}: write NAME=LABEL, such as motor=two-wheeler "
                f"(or NAME={IGNORE})"
            )
        if mapping.get(name, label) != label:
            raise ConfigError(f"--map gives {name} two labels, {mapping[name]} and {label}")
        mapping[name] = label
    return mapping


@dataclass(frozen=True, slots=True)
class LabelMap:
    """Which label each category name of a data set is.

    Attributes:
        labels: the model's labels.
        indices: category name to index into ``labels``.
        ignored: names whose objects are ignored regions.
    """

    labels: tuple[str, ...]
    indices: Mapping[str, int]
    ignored: frozenset[str]

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        labels: Sequence[str],
        mapping: Mapping[str, str] | None = None,
        where: str = "the data set",
    ) -> LabelMap:
        """Find the label of each name.

        Args:
            names: all category names of the data set, since some mean another thing
                where others are there too.
            labels: of the model.
            mapping: label by name, or :data:`IGNORE`; it comes before the table.
            where: how to name the data set in messages.

        Raises:
            ConfigError: the mapping names no label of the model.
            DataError: the mapping names no category of the data set.
        """
        own = {name_key(label): index for index, label in enumerate(labels)}
        given = _given(mapping or {}, own, names, labels, where)
        lookup = _Lookup(names, labels, own)
        indices: dict[str, int] = {}
        ignored: set[str] = set()
        for name in names:
            found = given[name_key(name)] if name_key(name) in given else lookup.label(name)
            if found == IGNORE:
                ignored.add(name)
            elif isinstance(found, int):
                indices[name] = found
        return cls(tuple(labels), indices, frozenset(ignored))


def _given(
    mapping: Mapping[str, str],
    own: Mapping[str, int],
    names: Sequence[str],
    labels: Sequence[str],
    where: str,
) -> dict[str, int | str]:
    known = {name_key(name) for name in names}
    given: dict[str, int | str] = {}
    for name, label in mapping.items():
        index = own.get(name_key(label))
        if index is None and name_key(label) != IGNORE:
            raise ConfigError(
                f"mapping {name}={label}: the model has no label '{label}'; "
                f"use one of {', '.join(labels)}, or {IGNORE}"
            )
        if name_key(name) not in known:
            raise DataError(
                f"mapping {name}={label}: {where} has no category '{name}'; "
                f"it has {', '.join(names) or 'none'}"
            )
        given[name_key(name)] = IGNORE if index is None else index
    return given


class _Lookup:
    """The table as one model and one data set see it."""

    def __init__(self, names: Sequence[str], labels: Sequence[str], own: Mapping[str, int]) -> None:
        self._own = own
        self._by_concept: dict[str, int] = {}
        for index, label in enumerate(labels):
            key = name_key(label)
            concept = _CONCEPT_OF.get(key) or _RIDERS.get(key)
            if concept is not None:
                self._by_concept.setdefault(concept, index)
        self._families = {_FAMILY_OF[concept] for concept in self._by_concept}
        concepts = {_CONCEPT_OF.get(name_key(name), "") for name in names}
        self._machines_apart = bool(concepts & {"two-wheeler", "motorcycle", "bicycle"})

    def label(self, name: str) -> int | str | None:
        """Index of a name's label, :data:`IGNORE`, or ``None`` where the model has none."""
        key = name_key(name)
        # KAIST marks what may be a person as "person?".
        if name.rstrip().endswith("?"):
            return IGNORE
        if key in self._own:
            return self._own[key]
        if key in _IGNORED:
            return IGNORE
        if key in _RIDERS:
            return self._rider(_RIDERS[key])
        concept = _CONCEPT_OF.get(key)
        return None if concept is None else self._of_concept(concept)

    def _rider(self, machine: str) -> int | str | None:
        person = self._by_concept.get("person")
        if self._machines_apart:
            return person
        found = self._of_concept(machine)
        return person if found is None else found

    def _of_concept(self, concept: str) -> int | str | None:
        family = _FAMILY_OF[concept]
        for each in (concept, family):
            if each in self._by_concept:
                return self._by_concept[each]
        if concept == family:
            narrower = [i for c, i in self._by_concept.items() if _FAMILY_OF[c] == family]
            return narrower[0] if len(narrower) == 1 else None
        related = family in self._families or (
            family == "vehicle-like" and self._families & {"vehicle", "two-wheeler"}
        )
        return IGNORE if related else None
