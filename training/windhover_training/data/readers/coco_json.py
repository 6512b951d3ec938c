"""COCO annotation files, with the departures that published sets have.

Format: https://cocodataset.org/#format-data. ``annotation`` is read for ``annotations`` and
``filename`` for ``file_name``, as HIT-UAV writes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        width: Any = self.record.get("width")
        height: Any = self.record.get("height")
        return (int(width), int(height)) if _number(width) and _number(height) else None


def read_json(path: Path, summary: Summary) -> Any:
    """Parse a JSON file; ``None`` and counted if it can't be read or is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        summary.add("dropped", f"file: can't be read ({error.strerror})", str(path))
    except ValueError:
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
        key = _key(record.get("id"))
        if key in seen:
            summary.add("dropped", "image: id given twice", str(name))
            continue
        seen.add(key)
        yield CocoImage(str(name), record, tuple(rows.pop(key, ())))
    for image_id, boxes in rows.items():
        if image_id not in seen:
            item = f"{path.name} image {image_id}"
            summary.add("dropped", "box: of an image that is not listed", item, len(boxes))


def _rows(
    document: Mapping[str, Any], file: str, summary: Summary, ignored: str | None
) -> dict[Any, list[RawBox]]:
    categories = records_of(document.get("categories"), "category", file, summary)
    names = {_key(c.get("id")): str(c.get("name")) for c in categories}
    rows: dict[Any, list[RawBox]] = {}
    seen: dict[Any, tuple[Any, Any]] = {}
    annotations = document.get("annotations", document.get("annotation"))
    for row in records_of(annotations, "box", file, summary):
        key, place = _key(row.get("id")), (row.get("image_id"), row.get("bbox"))
        if key is not None and key in seen:
            if seen[key] == place:
                summary.add("dropped", "box: given twice", f"{file} id {key}")
                continue
            summary.add("changed", "box: id given twice, renumbered", f"{file} id {key}")
        seen[key] = place
        number = _key(row.get("category_id"))
        category = names.get(number, number if isinstance(number, int) else str(number))
        if ignored is not None and row.get("iscrowd"):
            category = ignored
        track = row.get("track_id")
        box = RawBox(category, row.get("bbox"), track if isinstance(track, int) else None)
        rows.setdefault(_key(row.get("image_id")), []).append(box)
    return rows


def records_of(
    values: object, what: str, file: str, summary: Summary
) -> Iterator[Mapping[str, Any]]:
    """The JSON objects of a list; whatever else stands in it is counted and passed over."""
    for place, value in enumerate(values if isinstance(values, list) else []):
        if isinstance(value, dict):
            yield value
        else:
            summary.add("dropped", f"{what}: record is no JSON object", f"{file} #{place}")


def _key(value: object) -> Any:
    """Something that can be looked up, whatever a file holds for an id."""
    return value if value is None or isinstance(value, (int, str)) else repr(value)


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0
