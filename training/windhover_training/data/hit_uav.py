"""HIT-UAV as published -> single-channel images, YOLO labels and COCO truth per split.

Source: Suo et al., "HIT-UAV: A high-altitude infrared thermal dataset for Unmanned Aerial
Vehicle-based object detection", Scientific Data 10, 227 (2023), CC BY 4.0.

File names are ``T_altitude_angle_weather_frame``. What T means was read off the pictures:
with T=0 car roofs and buildings are heated by the sun and people are partly cooler than
the ground; with T=1 car bodies are colder than the tarmac and only bonnets are warm, and
parked cars leave warm or cold footprints on the ground. So T=0 is day and T=1 is night,
although the README that comes with the sample states the opposite.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

LABELS = ("person", "vehicle", "two-wheeler")
CLASS_OF = {"Person": 0, "Car": 1, "OtherVehicle": 1, "Bicycle": 2}
IGNORE_NAME = "DontCare"
_NAME = re.compile(r"^([01])_(\d+)_(\d+)_(\d+)_(\d+)\.jpg$")


@dataclass(frozen=True)
class Box:
    """One labelled box: x, y, w, h in pixels; ``class_id`` is -1 for an ignore region."""

    class_id: int
    xywh: tuple[float, float, float, float]


@dataclass(frozen=True)
class Record:
    """One published image and its usable boxes."""

    path: Path
    day: bool
    altitude: int
    angle: int
    frame: int
    height: int
    width: int
    boxes: tuple[Box, ...]

    @property
    def stem(self) -> str:
        """File name without its suffix: the image's identity in every split."""
        return self.path.stem


@dataclass
class Summary:
    """What a conversion kept, merged and dropped, by reason."""

    counts: Counter[str] = field(default_factory=Counter)

    def add(self, what: str, n: int = 1) -> None:
        """Count ``n`` more of ``what``."""
        self.counts[what] += n


def parse_name(name: str) -> tuple[bool, int, int, int] | None:
    """Read ``(day, altitude m, camera angle deg, frame)`` from a file name, or None."""
    match = _NAME.match(name)
    if match is None:
        return None
    time, altitude, angle, _weather, frame = (int(g) for g in match.groups())
    return time == 0, altitude, angle, frame


def clean_box(
    bbox: object, width: int, height: int, summary: Summary
) -> tuple[float, float, float, float] | None:
    """Clip one published x, y, w, h box to its image; None (and counted) if it is no box."""
    if not isinstance(bbox, (list, tuple)) or len(bbox) != 4:
        summary.add("box dropped: not four numbers")
        return None
    try:
        x, y, w, h = (float(v) for v in bbox)
    except (TypeError, ValueError):
        summary.add("box dropped: not four numbers")
        return None
    if not all(math.isfinite(v) for v in (x, y, w, h)):
        summary.add("box dropped: not finite")
        return None
    x1, y1, x2, y2 = max(x, 0.0), max(y, 0.0), min(x + w, float(width)), min(y + h, float(height))
    if x2 - x1 < 2 or y2 - y1 < 2:
        summary.add("box dropped: under 2 px or outside the image")
        return None
    if (x1, y1, x2 - x1, y2 - y1) != (x, y, w, h):
        summary.add("box clipped to the image")
    return x1, y1, x2 - x1, y2 - y1


def _boxes_of(rows: list[dict], names: dict[int, str], size: tuple[int, int], summary: Summary):
    height, width = size
    for row in rows:
        name = names.get(row.get("category_id", -1))
        if name != IGNORE_NAME and name not in CLASS_OF:
            summary.add(f"box dropped: unknown class {row.get('category_id')!r}")
            continue
        xywh = clean_box(row.get("bbox"), width, height, summary)
        if xywh is None:
            continue
        if name == IGNORE_NAME:
            summary.add("ignore region kept")
            yield Box(-1, xywh)
            continue
        if name in ("Car", "OtherVehicle"):
            summary.add(f"box merged: {name} -> vehicle")
        summary.add(f"box kept: {LABELS[CLASS_OF[name]]}")
        yield Box(CLASS_OF[name], xywh)


def load(root: Path, summary: Summary) -> list[Record]:
    """Pool the publisher's train, val and test lists.

    Args:
        root: folder that holds ``annotations/`` and the three image folders.
        summary: receives counts of what was kept, merged and dropped.

    Returns:
        Records in order of frame number. The publisher's lists interleave neighbouring
        frames of one flight, so they must be split again (``data.split``).

    Raises:
        FileNotFoundError: no annotation file is found under ``root``.
    """
    lists = sorted((root / "annotations").glob("*.json"))
    if not lists:
        raise FileNotFoundError(f"{root}: no annotations/*.json here; give HIT-UAV's normal_json")
    records: dict[str, Record] = {}
    for path in lists:
        document = json.loads(path.read_text())
        names = {c["id"]: c["name"] for c in document["categories"]}
        rows: dict[int, list[dict]] = {}
        for row in document["annotation"]:
            rows.setdefault(row.get("image_id"), []).append(row)
        for image in document["images"]:
            record = _record(root / path.stem / image["filename"], image, names, rows, summary)
            if record is not None and record.stem in records:
                summary.add("image dropped: listed twice")
            elif record is not None:
                records[record.stem] = record
    return sorted(records.values(), key=lambda r: (r.frame, r.stem))


def _record(path: Path, image: dict, names: dict, rows: dict, summary: Summary) -> Record | None:
    parsed = parse_name(path.name)
    if parsed is None:
        summary.add("image dropped: name is not T_altitude_angle_weather_frame")
        return None
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) if path.is_file() else None
    if pixels is None:
        summary.add("image dropped: missing or unreadable")
        return None
    size = (int(pixels.shape[0]), int(pixels.shape[1]))
    day, altitude, angle, frame = parsed
    boxes = tuple(_boxes_of(rows.get(image["id"], []), names, size, summary))
    summary.add("image kept")
    return Record(path, day, altitude, angle, frame, *size, boxes)


def fill_ignored(pixels: np.ndarray, boxes: tuple[Box, ...]) -> np.ndarray:
    """Blur ignore regions away so that training takes nothing in them for background.

    Labelled objects inside a region stay as they are.

    Args:
        pixels: ``(H, W)`` uint8.
        boxes: the image's boxes, ignore regions among them.

    Returns:
        ``(H, W)`` uint8; ``pixels`` itself if nothing is ignored.
    """
    regions = [b.xywh for b in boxes if b.class_id < 0]
    if not regions:
        return pixels
    mask = np.zeros(pixels.shape, bool)
    for x, y, w, h in regions:
        mask[int(y) : int(np.ceil(y + h)), int(x) : int(np.ceil(x + w))] = True
    for box in boxes:
        if box.class_id >= 0:
            x, y, w, h = box.xywh
            mask[int(y) : int(np.ceil(y + h)), int(x) : int(np.ceil(x + w))] = False
    out = pixels.copy()
    out[mask] = cv2.GaussianBlur(pixels, (0, 0), 25)[mask]
    return out


def write_split(
    records: list[Record], out: Path, split: str, flights: dict[str, str], *, fill: bool
) -> None:
    """Write one split: ``images/``, ``labels/`` (YOLO) and ``truth/<split>.json`` (COCO).

    Args:
        records: the split's images.
        out: data set root.
        split: ``train``, ``val`` or ``test``.
        flights: image stem -> flight name.
        fill: blur ignore regions away (training images); truth keeps them either way, as
            one ``iscrowd`` box per class.
    """
    images, annotations = [], []
    for folder in ("images", "labels"):
        (out / folder / split).mkdir(parents=True, exist_ok=True)
    (out / "truth").mkdir(parents=True, exist_ok=True)
    for image_id, record in enumerate(records, start=1):
        pixels = cv2.imread(str(record.path), cv2.IMREAD_GRAYSCALE)
        pixels = fill_ignored(pixels, record.boxes) if fill else pixels
        cv2.imwrite(str(out / "images" / split / f"{record.stem}.png"), pixels)
        lines = [_yolo_line(b, record.width, record.height) for b in record.boxes]
        text = "".join(line for line in lines if line)
        (out / "labels" / split / f"{record.stem}.txt").write_text(text)
        images.append(
            {
                "id": image_id,
                "file_name": f"{record.stem}.png",
                "height": record.height,
                "width": record.width,
                "flight": flights[record.stem],
                "day": record.day,
                "altitude": record.altitude,
                "angle": record.angle,
            }
        )
        for box in record.boxes:
            classes = [box.class_id] if box.class_id >= 0 else range(len(LABELS))
            for class_id in classes:
                annotations.append(_coco_row(len(annotations) + 1, image_id, class_id, box))
    categories = [{"id": i, "name": name} for i, name in enumerate(LABELS)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (out / "truth" / f"{split}.json").write_text(json.dumps(document))


def _yolo_line(box: Box, width: int, height: int) -> str:
    if box.class_id < 0:
        return ""
    x, y, w, h = box.xywh
    cx, cy = (x + w / 2) / width, (y + h / 2) / height
    return f"{box.class_id} {cx:.6f} {cy:.6f} {w / width:.6f} {h / height:.6f}\n"


def _coco_row(row_id: int, image_id: int, class_id: int, box: Box) -> dict:
    return {
        "id": row_id,
        "image_id": image_id,
        "category_id": class_id,
        "bbox": [round(v, 3) for v in box.xywh],
        "area": box.xywh[2] * box.xywh[3],
        "iscrowd": int(box.class_id < 0),
    }
