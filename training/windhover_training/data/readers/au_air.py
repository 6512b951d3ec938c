"""AU-AIR as published: visible drone frames with altitude, attitude and GPS.

Source: Bozcan & Kayacan, "AU-AIR: A Multi-modal Unmanned Aerial Vehicle Dataset for Low
Altitude Traffic Surveillance", ICRA 2020.

``annotations.json`` lists frames with ``altitude`` in millimetres, ``longtitude`` (so
spelt), the time of day and boxes of ``top, left, height, width, class``; ``categories`` is
a list of names that ``class`` indexes. Images are in ``images/``. The stamp in
``frame_<stamp>_x_<number>.jpg`` is that of a flight.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from windhover.errors import DataError
from windhover_training.data.convert.summary import Summary
from windhover_training.data.readers.coco_json import read_json, records_of
from windhover_training.data.readers.records import RawBox, RawFrame

_DAY = range(7, 19)  # local hours that are day all year where AU-AIR was flown (56 degrees N)
_DUSK = (6, 19, 20)


def read(root: Path, summary: Summary) -> Iterator[RawFrame]:
    """Read all frames.

    Args:
        root: the folder with ``annotations.json`` and ``images/``.
        summary: receives what could not be read.

    Yields:
        Frames in order of flight and number.

    Raises:
        DataError: there is no ``annotations.json``, or it lists no frames.
    """
    file = root / "annotations.json"
    if not file.is_file():
        raise DataError(f"{root}: no annotations.json here; give AU-AIR's folder")
    document = read_json(file, summary)
    records = document.get("annotations") if isinstance(document, dict) else None
    if not isinstance(records, list):
        raise DataError(f"{file}: lists no frames; get the file again")
    names = [str(name) for name in document.get("categories", [])]
    images = root / "images" if (root / "images").is_dir() else root
    seen: set[str] = set()
    rows = records_of(records, "image", file.name, summary)
    for record in sorted(rows, key=lambda r: str(r.get("image_name"))):
        name = str(record.get("image_name") or "").strip()
        if not name:
            summary.add("dropped", "image: has no file name")
        elif name in seen:
            summary.add("dropped", "image: listed twice", name)
        else:
            seen.add(name)
            boxes = records_of(record.get("bbox"), "box", name, summary)
            yield _frame(images / name, record, tuple(_box(box, names) for box in boxes))


def _frame(path: Path, record: Mapping[str, Any], boxes: tuple[RawBox, ...]) -> RawFrame:
    parts = path.stem.split("_")
    millimetres, width, height = (
        record.get(key) for key in ("altitude", "image_width", "image_height")
    )
    altitude = millimetres if isinstance(millimetres, (int, float)) else None
    return RawFrame(
        name=path.stem,
        flight=parts[1] if len(parts) > 2 else "unknown",
        rgb=path,
        boxes=boxes,
        size=(int(width), int(height)) if width and height else None,
        altitude=None if altitude is None else altitude / 1000,
        altitude_source=None if altitude is None else "measured",
        time_of_day=_light(record.get("time")),
    )


def _box(box: Mapping[str, Any], names: list[str]) -> RawBox:
    number = box.get("class")
    category = f"class {number}"
    if isinstance(number, int) and 0 <= number < len(names):
        category = names[number]
    return RawBox(category, [box.get(key) for key in ("left", "top", "width", "height")])


def _light(time: object) -> str | None:
    hour = time.get("hour") if isinstance(time, dict) else None
    if not isinstance(hour, (int, float)):
        return None
    return "day" if hour in _DAY else "dusk" if hour in _DUSK else "night"
