"""COCO annotation files, with the departures that published sets and tools have.

Format: https://cocodataset.org/#format-data. ``annotation`` is read for ``annotations`` and
``filename`` for ``file_name``, as HIT-UAV writes them. Ids, flags and sizes may be text, boxes
polygons, and the file may begin with a byte order mark: evaluation reads them alike
(:mod:`windhover_evaluation.detection.coco_values`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windhover.errors import DataError
from windhover_evaluation.detection.coco_values import (
    Identifier,
    corners,
    flag,
    identifier,
    number,
)
from windhover_training.data.convert.summary import Summary
from windhover_training.data.readers.records import RawBox


@dataclass(frozen=True, slots=True)
class CocoImage:
    """One image of a file.

    Attributes:
        file_name: as the file gives it.
        record: everything the file says of it.
        boxes: its boxes.
    """

    file_name: str
    record: Mapping[str, Any]
    boxes: tuple[RawBox, ...]

    @property
    def size(self) -> tuple[int, int] | None:
        """``(width, height)`` in pixels, if the file says."""
        width, height = number(self.record.get("width")), number(self.record.get("height"))
        return (int(width), int(height)) if width and height else None


def read_json(path: Path, summary: Summary) -> Any:
    """Parse a JSON file; ``None`` and counted if it can't be read or is no JSON."""
    try:
        return json.loads(path.read_bytes())  # UTF-8, -16 or -32, with or without a mark
    except OSError as error:
        summary.add("dropped", f"file: can't be read ({error.strerror})", str(path))
    except (ValueError, RecursionError):
        summary.add("dropped", "file: not JSON", str(path))
    return None


def read_coco(path: Path, summary: Summary, ignored: str | None = None) -> Iterator[CocoImage]:
    """Read one annotation file.

    Args:
        path: the file.
        summary: receives what is wrong with it: ids given twice, boxes of no image.
        ignored: category to give boxes that ``iscrowd`` marks; without it they keep theirs.

    Yields:
        Images in the file's order, those without a box as well.

    Raises:
        DataError: a category id is given twice, so that nobody can say what its boxes are.
    """
    document = read_json(path, summary)
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        if document is not None:
            summary.add("dropped", "file: has no list 'images'", str(path))
        return
    rows = _rows(document, path.name, summary, ignored)
    seen: set[Any] = set()
    for record in records_of(document["images"], "image", path.name, summary):
        name = record.get("file_name") or record.get("filename")
        if not name:
            summary.add("dropped", "image: has no file name", f"{path.name} id {record.get('id')}")
            continue
        key = identifier(record.get("id"))
        if key in seen:
            summary.add("dropped", "image: id given twice", str(name))
            continue
        seen.add(key)
        # Label Studio and tools on Windows write backslashes.
        yield CocoImage(str(name).replace("\\", "/"), record, tuple(rows.pop(key, ())))
    for image_id, boxes in rows.items():
        if image_id not in seen:
            item = f"{path.name} image {image_id}"
            summary.add("dropped", "box: of an image that is not listed", item, len(boxes))


def _rows(
    document: Mapping[str, Any], file: str, summary: Summary, ignored: str | None
) -> dict[Any, list[RawBox]]:
    names = _category_names(document, file, summary)
    rows: dict[Any, list[RawBox]] = {}
    seen: dict[Any, tuple[Any, Any]] = {}
    annotations = document.get("annotations", document.get("annotation"))
    for row in records_of(annotations, "box", file, summary):
        key, place = identifier(row.get("id")), (row.get("image_id"), row.get("bbox"))
        if key is not None and key in seen:
            if seen[key] == place:
                summary.add("dropped", "box: given twice", f"{file} id {key}")
                continue
            summary.add("changed", "box: id given twice, renumbered", f"{file} id {key}")
        seen[key] = place
        category_id = identifier(row.get("category_id"))
        category: str | int = "none given" if category_id is None else category_id
        if category_id is not None:
            category = names.get(category_id, category)
        try:
            crowd = flag(row.get("iscrowd"))
        except ValueError as error:
            summary.add("dropped", f"box: iscrowd {error}", f"{file} id {key}")
            continue
        if ignored is not None and crowd:
            category = ignored
        track = row.get("track_id")
        box = RawBox(category, _xywh(row), track if isinstance(track, int) else None)
        rows.setdefault(identifier(row.get("image_id")), []).append(box)
    return rows


def _category_names(
    document: Mapping[str, Any], file: str, summary: Summary
) -> dict[Identifier, str]:
    names: dict[Identifier, str] = {}
    for record in records_of(document.get("categories"), "category", file, summary):
        key, name = identifier(record.get("id")), record.get("name")
        if key is None or not isinstance(name, str) or not name.strip():
            summary.add("dropped", "category: without an id and a name", f"{file} {record}"[:80])
            continue
        if names.get(key, name.strip()) != name.strip():
            raise DataError(
                f"{file}: category id {key} is both {names[key]} and {name}; make ids unique"
            )
        names[key] = name.strip()
    return names


def _xywh(row: Mapping[str, Any]) -> Any:
    """Left, top, width and height; as the file has them where they are no four numbers."""
    found = corners(dict(row))
    if found is None:
        return row.get("bbox")
    x1, y1, x2, y2 = found
    return [x1, y1, x2 - x1, y2 - y1]


def records_of(
    values: object, what: str, file: str, summary: Summary
) -> Iterator[Mapping[str, Any]]:
    """The JSON objects of a list; whatever else stands in it is counted and passed over."""
    for place, value in enumerate(values if isinstance(values, list) else []):
        if isinstance(value, dict):
            yield value
        else:
            summary.add("dropped", f"{what}: record is no JSON object", f"{file} #{place}")
