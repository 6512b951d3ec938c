"""VisDrone as published: visible drone images (DET) and videos (VID, MOT).

Source: Zhu et al., "Detection and Tracking Meet Drones Challenge", IEEE TPAMI (2021); the
formats are those of the VisDrone toolkits.

DET: ``VisDrone2019-DET-<split>/{images,annotations}``, a text file an image with lines
``left,top,width,height,score,category,truncation,occlusion``. VID and MOT:
``{sequences/<name>/0000001.jpg,annotations/<name>.txt}``, with ``frame,target`` before those
columns. Score 0 marks a box that is not judged, category 0 an ignored region. Some lines
end with a comma. The set gives no altitude and no time of day.

The publisher's splits keep sequences whole, so they are kept. In DET the first number of a
name is the sequence's; with 9999999 every picture stands for itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from windhover.errors import DataError
from windhover_training.data.convert.summary import Summary
from windhover_training.data.readers.pairing import list_images
from windhover_training.data.readers.records import RawBox, RawFrame

REGION = 0  # the category of ignored regions
_SPLIT = re.compile(r"-(train|val|test)(?:-|$)")


def read(root: Path, summary: Summary) -> Iterator[RawFrame]:
    """Read one downloaded part, or all parts that lie in one folder.

    Args:
        root: ``VisDrone2019-DET-train`` or the like, or the folder that holds such.
        summary: receives what could not be read.

    Yields:
        Frames, part by part, in natural order.

    Raises:
        DataError: there is no such part.
    """
    folders = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
    parts = [path for path in folders if (path / "annotations").is_dir()]
    if not parts:
        raise DataError(
            f"{root}: no annotations/ here; give VisDrone2019-DET-train or the folder that holds it"
        )
    for part in parts:
        match = _SPLIT.search(part.name)
        split = match[1] if match else None
        yield from _videos(part, split, summary)
        yield from _pictures(part, split, summary)


def _pictures(part: Path, split: str | None, summary: Summary) -> Iterator[RawFrame]:
    for path in list_images(part / "images"):
        fields = path.stem.split("_")
        flight = "_".join(fields[:2]) if fields[0] == "9999999" else fields[0]
        lines = _lines(part / "annotations" / f"{path.stem}.txt", 8, summary)
        boxes = tuple(_box(values, None) for values in lines)
        yield RawFrame(path.stem, flight, rgb=path, boxes=boxes, split=split)


def _videos(part: Path, split: str | None, summary: Summary) -> Iterator[RawFrame]:
    sequences = part / "sequences"
    for folder in sorted(sequences.iterdir()) if sequences.is_dir() else []:
        boxes: dict[int, list[RawBox]] = {}
        for values in _lines(part / "annotations" / f"{folder.name}.txt", 10, summary):
            boxes.setdefault(int(values[0]), []).append(_box(values[2:], int(values[1])))
        for place, path in enumerate(list_images(folder), start=1):
            number = int(path.stem) if path.stem.isdecimal() else place
            name = f"{folder.name}-{number:07d}"
            found = tuple(boxes.pop(number, ()))
            yield RawFrame(name, folder.name, rgb=path, boxes=found, split=split)
        for number, rows in sorted(boxes.items()):
            item = f"{folder.name} frame {number}"
            summary.add("dropped", "box: of a frame that has no image", item, len(rows))


def _lines(path: Path, columns: int, summary: Summary) -> Iterator[list[float]]:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        summary.add("missing", f"image: no annotation file ({error.strerror})", path.name)
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values = [float(part) for part in line.rstrip(", \t").split(",")]
            # Numbers that name something must be whole ones.
            _ = [int(values[i]) for i in (*range(columns - 8), columns - 4, columns - 3)]
        except (ValueError, IndexError, OverflowError):
            summary.add("dropped", f"line: not {columns} numbers", f"{path.name}:{number}")
            continue
        yield values


def _box(values: list[float], target: int | None) -> RawBox:
    judged = int(values[4]) != 0
    return RawBox(int(values[5]) if judged else REGION, values[:4], target)
