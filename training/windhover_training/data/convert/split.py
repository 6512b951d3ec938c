"""Split by flight: a whole flight is on one side, never single frames.

Neighbouring frames of a flight are almost equal, so a split by frame would score a model
on what it was trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from windhover.errors import ConfigError, DataError
from windhover_training.data.convert.summary import Summary
from windhover_training.data.readers.records import LabelledFrame

SPLITS = ("train", "val", "test")
_ROUNDS = 20  # of moving single flights; three or four are enough as a rule


def assign(flights: Iterable[str], held_out: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Give every flight to one split.

    Args:
        flights: names, each once.
        held_out: split name -> names of its flights. All others go to ``train``.

    Returns:
        Split name -> flight names.

    Raises:
        DataError: a flight is unknown or named for two splits.
    """
    known = list(flights)
    owner: dict[str, str] = {}
    for split, names in held_out.items():
        for name in names:
            if name not in known:
                raise DataError(f"split {split}: no flight {name!r}; `data flights` lists them")
            if name in owner:
                raise DataError(f"flight {name!r} is in {owner[name]} and in {split}")
            owner[name] = split
    splits: dict[str, list[str]] = {"train": [], **{split: [] for split in held_out}}
    for name in known:
        splits[owner.get(name, "train")].append(name)
    return splits


def load_held_out(path: Path) -> dict[str, list[str]]:
    """Read a YAML file of split name -> flights.

    Raises:
        ConfigError: it can't be read or holds something else.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({error.strerror}); give a YAML file") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is not YAML ({error})") from error
    if not isinstance(document, dict) or not all(isinstance(v, list) for v in document.values()):
        raise ConfigError(f"{path}: must hold lists of flights by split, such as 'test: [a, b]'")
    return {str(split): [str(name) for name in names] for split, names in document.items()}


def published(frames: Iterable[LabelledFrame]) -> dict[str, list[str]] | None:
    """The publisher's own split, if every flight is on one side of it; else ``None``."""
    owners: dict[str, set[str]] = {}
    for frame in frames:
        owners.setdefault(frame.flight, set()).add(str(frame.extra.get("published_split", "")))
    if not owners or any(len(splits) > 1 or splits == {""} for splits in owners.values()):
        return None
    used = {split for splits in owners.values() for split in splits}
    order = [split for split in SPLITS if split in used or split == "train"]
    return {split: [f for f, splits in owners.items() if splits == {split}] for split in order}


def balanced(
    frames: Sequence[LabelledFrame], labels: int, shares: Mapping[str, float]
) -> dict[str, list[str]]:
    """Give flights to splits so that frames, boxes of each class and light are shared alike.

    Deterministic: flights in order of weight go where they mend most of what is missing,
    then single flights move as long as that is an improvement. Every split gets a flight
    where there are enough of them.

    Args:
        frames: of one set.
        labels: how many labels the set has.
        shares: split -> share of the whole, above 0; they are scaled to a sum of 1.

    Returns:
        Split name -> flight names, in order of name.
    """
    names = sorted({frame.flight for frame in frames})
    parts = np.array(list(shares.values()), np.float64)
    table = _Table(_columns(frames, names, labels), parts / parts.sum())
    for flight in np.argsort(-table.columns.sum(axis=1), kind="stable"):
        table.move(flight, table.best(flight))
    table.improve()
    table.fill_empty()
    return {
        split: [name for name, own in zip(names, table.owner, strict=True) if own == number]
        for number, split in enumerate(shares)
    }


def _columns(frames: Sequence[LabelledFrame], names: list[str], labels: int) -> NDArray[np.float64]:
    """``(flights, 1 + labels + times of day)``: each flight's share of the set's total."""
    row = {name: place for place, name in enumerate(names)}
    times = {time: 1 + labels + i for i, time in enumerate(("day", "night", "dusk"))}
    columns = np.zeros((len(names), 1 + labels + len(times)))
    for frame in frames:
        mine = columns[row[frame.flight]]
        mine[0] += 1
        mine[1 : 1 + labels] += np.bincount(frame.class_ids[frame.objects], minlength=labels)
        if frame.time_of_day in times:
            mine[times[frame.time_of_day]] += 1
    columns = columns[:, columns.any(axis=0)]
    return columns / columns.sum(axis=0)


class _Table:
    """Which flight is in which split, and how much of everything each split has so far."""

    def __init__(self, columns: NDArray[np.float64], wanted: NDArray[np.float64]) -> None:
        self.columns = columns
        self.wanted = wanted[:, None]
        self.owner = np.full(len(columns), -1)
        self.totals = np.zeros((len(wanted), columns.shape[1]))

    def move(self, flight: int, split: int) -> None:
        if self.owner[flight] >= 0:
            self.totals[self.owner[flight]] -= self.columns[flight]
        self.totals[split] += self.columns[flight]
        self.owner[flight] = split

    def costs(self, flight: int) -> NDArray[np.float64]:
        """``(splits,)``: how far from what is wanted, were ``flight`` in each of them."""
        row, rest = self.columns[flight], self.totals.copy()
        if self.owner[flight] >= 0:
            rest[self.owner[flight]] -= row
        # Relative to the share: a tenth too much is worse in a small split than in a large one.
        before = ((rest - self.wanted) ** 2 / self.wanted).sum(axis=1)
        after = ((rest + row - self.wanted) ** 2 / self.wanted).sum(axis=1)
        return after - before

    def best(self, flight: int) -> int:
        return int(np.argmin(self.costs(flight)))

    def improve(self) -> None:
        for _ in range(_ROUNDS):
            moved = False
            for flight in range(len(self.owner)):
                costs = self.costs(flight)
                best = int(np.argmin(costs))
                if costs[best] < costs[self.owner[flight]] - 1e-12:
                    self.move(flight, best)
                    moved = True
            if not moved:
                return

    def fill_empty(self) -> None:
        for split in range(len(self.totals)):
            counts = np.bincount(self.owner, minlength=len(self.totals))
            spare = [f for f in range(len(self.owner)) if counts[self.owner[f]] > 1]
            if counts[split] or not spare:
                continue
            self.move(min(spare, key=lambda f: self._loss(f, split)), split)

    def _loss(self, flight: int, split: int) -> float:
        costs = self.costs(flight)
        return float(costs[split] - costs[self.owner[flight]])


def choose(
    frames: Sequence[LabelledFrame],
    labels: int,
    summary: Summary,
    *,
    held_out: Path | None = None,
    shares: Mapping[str, float] | None = None,
) -> tuple[dict[str, list[LabelledFrame]], str]:
    """Split frames: by a file, else as the publisher did, else balanced.

    Args:
        frames: of one set.
        labels: how many labels the set has.
        summary: receives flights of the file that this set lacks.
        held_out: YAML file of split -> flights.
        shares: wanted shares; given, the publisher's split is not looked at.

    Returns:
        Split name -> frames, and in words how they were split.

    Raises:
        ConfigError: the file is no such file.
        DataError: the file names a flight twice or one that is not there.
    """
    names = list(dict.fromkeys(frame.flight for frame in frames))
    own = published(frames)
    if held_out is not None:
        flights, how = assign(names, load_held_out(held_out)), f"by {held_out.name}"
    elif own is not None and shares is None:
        flights, how = own, "as published, which keeps flights whole"
    else:
        wanted = shares or {"train": 0.8, "val": 0.1, "test": 0.1}
        text = ", ".join(f"{split} {share:g}" for split, share in wanted.items())
        flights, how = balanced(frames, labels, wanted), f"balanced by flight ({text})"
    owner = {name: split for split, members in flights.items() for name in members}
    splits: dict[str, list[LabelledFrame]] = {split: [] for split in flights}
    for frame in frames:
        splits[owner[frame.flight]].append(frame)
    if len(names) < len(splits):
        summary.add("missing", "split: fewer flights than splits", f"{len(names)} flight(s)")
    return splits, how
