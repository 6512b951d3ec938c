"""Any set with a COCO annotation file, of one modality or of aligned pairs.

Images are found relative to the annotation file's folder or to ``--images``. An image's
record may say ``flight`` (or ``video_id``, ``sequence``), ``altitude`` in metres,
``time_of_day``, and, for a pair, ``thermal`` or ``ir_file_name`` for the twin's file; each is
also looked for in ``attributes``. Boxes that ``iscrowd`` marks become ignore regions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from windhover.errors import DataError
from windhover_training.data.convert.summary import Summary
from windhover_training.data.readers.coco_json import CocoImage, read_coco
from windhover_training.data.readers.records import RawFrame

#: Category of boxes that ``iscrowd`` marks; a class of the label map.
CROWD = "crowd"


def read(
    root: Path, summary: Summary, images: Path | None = None, modality: str = "rgb"
) -> Iterator[RawFrame]:
    """Read one annotation file, or all ``*.json`` of a folder and of its ``annotations``.

    Args:
        root: annotation file or folder.
        summary: receives what could not be read.
        images: folder that file names are relative to.
        modality: what ``file_name`` shows, ``rgb`` or ``thermal``.

    Yields:
        Frames, file by file.

    Raises:
        DataError: there is no JSON file.
    """
    files = [root] if root.is_file() else sorted({*root.glob("*.json"), *root.glob("*/*.json")})
    if not files:
        raise DataError(f"{root}: no JSON file here; give a COCO annotation file or its folder")
    seen: set[str] = set()
    for file in files:
        for image in read_coco(file, summary, CROWD):
            frame = _frame(file, image, images, modality)
            if frame.name in seen:
                summary.add("dropped", "image: name given twice", frame.name)
                continue
            seen.add(frame.name)
            yield frame


def _frame(file: Path, image: CocoImage, images: Path | None, modality: str) -> RawFrame:
    attributes = image.record.get("attributes")
    record = {**attributes, **image.record} if isinstance(attributes, dict) else image.record
    twin = _first(record, "thermal", "ir_file_name", "thermal_file_name")
    first = _place(file, image.file_name, images)
    second = _place(file, str(twin), images) if twin else None
    altitude = record.get("altitude")
    if isinstance(altitude, bool) or not isinstance(altitude, (int, float)):
        altitude = None
    flight = _first(record, "flight", "sequence", "video_id")
    return RawFrame(
        name="-".join(Path(image.file_name).with_suffix("").parts),
        flight="unknown" if flight is None else str(flight),
        rgb=first if modality == "rgb" else None,
        thermal=second if modality == "rgb" else first,
        boxes=image.boxes,
        size=image.size,
        altitude=None if altitude is None else float(altitude),
        altitude_source=None if altitude is None else "measured",
        time_of_day=_light(record.get("time_of_day")),
    )


def _place(file: Path, name: str, images: Path | None) -> Path:
    # Some tools write absolute paths or addresses, which nobody else has.
    last = Path(name).name.partition("?")[0]
    if images is not None:
        return next((p for p in (images / name, images / last) if p.is_file()), images / name)
    # Beside the file, or in the folder of its split: annotations/val.json and val/ or images/val/.
    base, split = file.parent, file.stem
    choices = [
        base / name,
        *(base.parent / sub / name for sub in ("", split, f"images/{split}", "images")),
        *(base.parent / sub / last for sub in (base.name, split, f"images/{split}", "images")),
    ]
    return next((path for path in choices if path.is_file()), choices[0])


def _first(record: Mapping[str, Any], *keys: str) -> Any:
    return next((record[key] for key in keys if record.get(key) is not None), None)


def _light(value: object) -> str | None:
    return value if value in ("day", "night", "dusk") else None
