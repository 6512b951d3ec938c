"""What is known of frames beside their annotations: ``metadata.json`` and flight tables.

``metadata.json`` is ``{"frames": [{"image_path", "annotation_path", "altitude"}, ...]}``,
paths relative to its folder and altitudes in metres above ground. A table is CSV with a
header: ``sequence``, ``altitude`` and, if known, ``time_of_day``.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windhover.errors import ConfigError
from windhover_training.data.convert.summary import Summary
from windhover_training.data.readers.coco_json import read_json, records_of

METADATA = "metadata.json"
#: What ``data filter-altitude`` leaves behind; it has all that ``metadata.json`` had.
FILTERED = "metadata_filtered.json"

_TIMES = ("day", "night", "dusk")


@dataclass(frozen=True, slots=True)
class Flight:
    """What is known of a whole flight from a table.

    Attributes:
        altitude: metres above ground.
        time_of_day: ``day``, ``night`` or ``dusk``, if the table says.
    """

    altitude: float
    time_of_day: str | None = None


def altitude_of(value: object) -> float | None:
    """An altitude in metres, or ``None`` where ``value`` is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None


def read_metadata(path: Path, summary: Summary) -> list[Mapping[str, Any]]:
    """The frames of a metadata file; what is no frame is counted and passed over."""
    document = read_json(path, summary)
    frames = document.get("frames") if isinstance(document, dict) else None
    if document is not None and not isinstance(frames, list):
        summary.add("dropped", "file: has no list 'frames'", str(path))
    return list(records_of(frames, "frame", path.name, summary))


def find_metadata(root: Path, summary: Summary) -> dict[str, Mapping[str, Any]]:
    """Image path -> its record, from whichever metadata file ``root`` has; empty if none."""
    for name in (FILTERED, METADATA):
        if (root / name).is_file():
            frames = read_metadata(root / name, summary)
            return {str(frame.get("image_path")): frame for frame in frames}
    return {}


def read_table(path: Path) -> dict[str, Flight]:
    """Read a flight table.

    Returns:
        Sequence or flight name -> what is known of it.

    Raises:
        ConfigError: it can't be read, a column is missing, or a row is wrong.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path}: can't be read ({error}); give a CSV table") from error
    if not rows or not {"sequence", "altitude"} <= rows[0].keys():
        raise ConfigError(f"{path}: needs a header with sequence,altitude and a row a flight")
    table: dict[str, Flight] = {}
    for number, row in enumerate(rows, start=2):
        table.update([_row(path, number, row, table)])
    return table


def tell_unused(table: Mapping[str, Flight], flights: Set[str], summary: Summary) -> None:
    """Count rows of a table that name no flight of the set: misspelt ones, as a rule."""
    for name in table:
        if name not in flights:
            summary.add("missing", "table: names a flight that is not in the set", name)


def _row(
    path: Path, number: int, row: Mapping[str, str | None], table: Mapping[str, Flight]
) -> tuple[str, Flight]:
    name, text = (row["sequence"] or "").strip(), (row["altitude"] or "").strip()
    time = (row.get("time_of_day") or "").strip() or None
    try:
        altitude = altitude_of(float(text))
    except ValueError:
        altitude = None
    if not name or altitude is None or (time is not None and time not in _TIMES):
        raise ConfigError(
            f"{path}:{number}: needs a sequence, an altitude in metres and, if given, one of "
            f"{', '.join(_TIMES)}; correct the row"
        )
    if name in table:
        raise ConfigError(f"{path}:{number}: {name} stands twice; keep one row")
    return name, Flight(altitude, time)
