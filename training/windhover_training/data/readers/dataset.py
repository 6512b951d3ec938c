"""Reading a converted set back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from windhover.errors import DataError
from windhover_training.data.readers.records import IGNORE, MODALITIES, LabelledFrame

_OWN = {
    "id", "file_name", *MODALITIES, "height", "width", "flight", "source", "time_of_day",
    "time_source", "altitude", "altitude_source",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ConvertedSet:
    """A set in the converted layout.

    Attributes:
        root: its folder.
        labels: names of the class ids.
        splits: name -> frames, in the order of the files.
    """

    root: Path
    labels: tuple[str, ...]
    splits: Mapping[str, list[LabelledFrame]]

    @property
    def frames(self) -> list[LabelledFrame]:
        """All frames of all splits."""
        return [frame for frames in self.splits.values() for frame in frames]


def load_set(root: Path) -> ConvertedSet:
    """Read the truth of every split of a converted or rendered set.

    Raises:
        DataError: there is none, a file is damaged, or the splits' labels differ.
    """
    files = sorted((root / "truth").glob("*.json"))
    if not files:
        raise DataError(
            f"{root}: no truth/*.json here; give a set that 'windhover-train data convert' made"
        )
    splits: dict[str, list[LabelledFrame]] = {}
    labels: tuple[str, ...] = ()
    for file in files:
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
            names = tuple(str(c["name"]) for c in document["categories"])
            splits[file.stem] = _frames(root, file.stem, document)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{file}: damaged ({error!r}); convert the set again") from error
        if labels and names != labels:
            raise DataError(f"{file}: its labels {names} are not {labels}; convert the set again")
        labels = names
    return ConvertedSet(root, labels, splits)


def _frames(root: Path, split: str, document: Mapping[str, Any]) -> list[LabelledFrame]:
    rows: dict[int, list[tuple[tuple[float, ...], int, int]]] = {}
    for row in document["annotations"]:
        class_id = IGNORE if row.get("iscrowd") else row["category_id"]
        box = (tuple(row["bbox"]), class_id, row.get("track_id", -1))
        own = rows.setdefault(row["image_id"], [])
        # An ignore region stands in the file once for each class.
        if class_id != IGNORE or box not in own:
            own.append(box)
    return [
        _frame(root, split, record, rows.get(record["id"], [])) for record in document["images"]
    ]


def _frame(
    root: Path,
    split: str,
    record: Mapping[str, Any],
    rows: list[tuple[tuple[float, ...], int, int]],
) -> LabelledFrame:
    base = root / "images" / split
    # Sets of one modality that name no other are thermal: the renderer's and older ones.
    files = {m: record[m] for m in MODALITIES if m in record} or {"thermal": record["file_name"]}
    return LabelledFrame(
        name=Path(record["file_name"]).stem,
        flight=str(record["flight"]),
        source=str(record.get("source", root.name)),
        images={modality: base / name for modality, name in files.items()},
        width=int(record["width"]),
        height=int(record["height"]),
        boxes=np.array([r[0] for r in rows], np.float64).reshape(-1, 4),
        class_ids=np.array([r[1] for r in rows], np.int64),
        tracks=np.array([r[2] for r in rows], np.int64),
        altitude=record.get("altitude"),
        altitude_source=record.get("altitude_source"),
        time_of_day=record.get("time_of_day"),
        time_source=record.get("time_source"),
        extra={key: value for key, value in record.items() if key not in _OWN},
    )
