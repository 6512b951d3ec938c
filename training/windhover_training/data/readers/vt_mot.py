"""VT-MOT as published: visible-thermal video pairs with tracks.

Source: Zhu et al., "Visible-Thermal Multiple Object Tracking: Large-scale Video Dataset and
Progressive Fusion Approach", Pattern Recognition (2025), arXiv 2408.00969.

``{train,test}/<sequence>/{visible,infrared}/0000001.jpg`` (some copies have ``images/`` in
front), and ``<sequence>/gt/gt.txt`` with a line ``frame,id,x,y,w,h,flag,class`` a box; a
line with flag 0 is not to be used. Classes are 1 pedestrian and 2 car. Frame n is the n-th
visible image in natural order, counted from 1. The set gives no altitude.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from windhover.errors import DataError
from windhover_training.data.convert.summary import Summary
from windhover_training.data.readers.metadata import altitude_of, find_metadata
from windhover_training.data.readers.pairing import list_images, pair_images
from windhover_training.data.readers.records import RawBox, RawFrame

Boxes = Mapping[int, tuple[RawBox, ...]]


def is_published(root: Path) -> bool:
    """Whether ``root`` holds sequences in VT-MOT's layout."""
    return bool(_sequences(root))


def sequences(root: Path) -> list[tuple[str | None, Path]]:
    """The sequences below ``root``, each with the publisher's split, in a fixed order.

    Raises:
        DataError: there is none.
    """
    found = _sequences(root)
    if not found:
        raise DataError(
            f"{root}: no <sequence>/visible here; give the folder with VT-MOT's train and test"
        )
    return found


def _sequences(root: Path) -> list[tuple[str | None, Path]]:
    found = []
    for pattern in ("*/visible", "*/*/visible", "*/*/*/visible"):
        for visible in sorted(root.glob(pattern)):
            split = visible.parents[1].name
            found.append((split if split in ("train", "val", "test") else None, visible.parent))
    return found


def read(root: Path, summary: Summary) -> Iterator[RawFrame]:
    """Read all sequences.

    Args:
        root: the folder that holds ``train/`` and ``test/``. If it also holds a metadata file,
            altitudes are read from that, and frame numbers where frames were filtered out.
        summary: receives lines and images that could not be used.

    Yields:
        Frames, sequence by sequence.

    Raises:
        DataError: there is no sequence.
    """
    found = sequences(root)
    metadata = find_metadata(root, summary)
    for split, folder in found:
        rgb, thermal = list_images(folder / "visible"), list_images(folder / "infrared")
        records = {path: metadata.get(str(path.relative_to(root)), {}) for path in rgb}
        boxes = read_gt(folder / "gt" / "gt.txt", summary)
        numbers = frame_numbers(rgb, boxes, records)
        filtered = any("frame" in record for record in records.values())
        for number in sorted(boxes.keys() - set(numbers.values())) if not filtered else []:
            item = f"{folder.name} frame {number}"
            summary.add("dropped", "box: of a frame that has no image", item, len(boxes[number]))
        for visible, infrared in pair_images(rgb, thermal, folder.name, summary):
            altitude = altitude_of(records[visible].get("altitude"))
            yield RawFrame(
                name=f"{folder.name}-{numbers[visible]:07d}",
                flight=folder.name,
                rgb=visible,
                thermal=infrared,
                boxes=boxes.get(numbers[visible], ()),
                altitude=altitude,
                altitude_source=records[visible].get("altitude_source", "measured"),
                split=split,
                extra={"frame": numbers[visible]},
            )


def frame_numbers(
    rgb: list[Path], boxes: Boxes, records: Mapping[Path, Mapping[str, Any]]
) -> dict[Path, int]:
    """Frame number of each visible image.

    It is the image's place, counted from 1; but what a record says of it where frames were
    filtered out, and what its name says where files are gone, so that boxes reach beyond
    the last image.
    """
    last = max(boxes, default=0)
    named = last > len(rgb) and all(path.stem.isdecimal() for path in rgb)
    numbers = {}
    for place, path in enumerate(rgb, start=1):
        said = records[path].get("frame")
        numbers[path] = said if isinstance(said, int) else int(path.stem) if named else place
    return numbers


def read_gt(path: Path, summary: Summary) -> Boxes:
    """Read one ``gt.txt``.

    Args:
        path: the file.
        summary: receives lines that are no box.

    Returns:
        Frame number -> its boxes.
    """
    item = f"{path.parent.parent.name}/gt.txt"
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        summary.add("missing", f"sequence: no gt/gt.txt ({error.strerror}), so no boxes", item)
        return {}
    boxes: dict[int, list[RawBox]] = {}
    seen: set[tuple[int, int]] = set()
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        values = _values(line)
        where = f"{item}:{number}"
        if values is None:
            summary.add("dropped", "line: not frame,id,x,y,w,h,flag,class", where)
            continue
        frame, track, flag, category = (int(values[i]) for i in (0, 1, 6, 7))
        if flag == 0:
            summary.add("dropped", "box: flag 0", where)
        elif (frame, track) in seen:
            summary.add("dropped", "box: track id twice in one frame", where)
        else:
            seen.add((frame, track))
            boxes.setdefault(frame, []).append(RawBox(category, values[2:6], track))
    return {frame: tuple(rows) for frame, rows in boxes.items()}


def _values(line: str) -> list[float] | None:
    try:
        values = [float(part) for part in line.split(",") if part.strip()]
    except ValueError:
        return None
    if len(values) < 8 or not all(math.isfinite(values[i]) for i in (0, 1, 6, 7)):
        return None
    return values
