"""Chips cut around people in real pictures, for the second look.

Three kinds of source, as their publishers lay them out:

- pictures of surveillance cameras with people and weapons boxed (``cctv_people``), whose lists
  say which hold a person with a long weapon and which hold no weapon;
- pictures in which only weapons are boxed, and a person fills the picture (``weapon_videos``);
- any pictures with people boxed and surely no weapon (``coco_people``).

A chip holds the person with a quarter more around. Copies and frames of one place stay in one
split (:func:`.yolo_text.flight_of`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import DataError
from windhover_evaluation.fan_out import HERE, Progress, Workers
from windhover_training.data.convert.truth_file import write_truth
from windhover_training.data.readers.yolo_text import flight_of

LABELS: Final = ("weapon",)
#: Side of a chip, pixels: a little more than the network sees, so that it can be shifted.
SIZE: Final = 176
#: Side of what a chip shows, in heights of the person.
_ROOM: Final = 1.25
#: People shorter than this in the picture are not cut out, pixels.
_LEAST_PX: Final = 48.0
#: Share of a weapon that a chip must show to be taught.
_LEAST_SHARE: Final = 0.4
_HELD_OUT: Final = 0.15
#: Lists of cctv_people: file, split, and most chips of a picture.
_LISTS: Final = (
    ("long_gun_whole_person", "armed", 2),
    ("long_gun_half_person", "armed", 1),
    ("no_weapon", "unarmed", 1),
)
_CHUNK: Final = 16  # pictures a task

Boxes = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RealChip:
    """One chip.

    Attributes:
        jpeg: ``(176, 176, 3)`` uint8 BGR as a JPEG file.
        weapons: ``(N, 4)`` x1, y1, x2, y2 in its pixels.
        split: without ``-val``.
        flight: its place.
    """

    jpeg: bytes
    weapons: Boxes
    split: str
    flight: str


@dataclass(frozen=True, slots=True)
class _Source:
    """One picture to cut from, and how.

    Attributes:
        kind: listed, filled or unarmed.
        root: of the published set.
        picture: its file.
        split: of its chips.
        most: chips of it.
    """

    kind: str
    root: Path
    picture: Path
    split: str
    most: int = 1


def cut_chips(
    root: Path, out: Path, workers: Workers = HERE, progress: Progress | None = None
) -> dict[str, int]:
    """Cut chips from all sources below a folder and write them as a set.

    Args:
        root: holds ``cctv_people``, ``weapon_videos`` and ``coco_people``, or some of them.
        out: data set root.
        workers: that read pictures and cut.
        progress: called with pictures done and pictures in all.

    Returns:
        Chips of each split: ``armed``, ``unarmed``, ``videos``, ``people``, each with
        ``-val`` for the places that are held out.

    Raises:
        DataError: none of the sources is there, or a file can't be read.
        OSError: a file can't be written.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    cut = workers.map(_cut, list(_sources(root)), chunk=_CHUNK, progress=progress)
    for number, chip in enumerate(chain.from_iterable(cut)):
        split = f"{chip.split}-val" if is_held_out(chip.flight) else chip.split
        path = out / "images" / split / f"{number:06d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(chip.jpeg)
        rows.setdefault(split, []).append(_row(path.name, chip))
    if not rows:
        raise DataError(f"{root}: holds none of cctv_people, weapon_videos, coco_people")
    for split, chips in rows.items():
        write_truth(out / "truth" / f"{split}.json", chips, LABELS)
    return {split: len(chips) for split, chips in sorted(rows.items())}


def is_held_out(flight: str) -> bool:
    """Whether a place is kept for validation: decided by its name alone."""
    digest = hashlib.sha256(flight.encode()).digest()
    return digest[0] / 256 < _HELD_OUT


def cut_person(picture: NDArray[np.uint8], person: Boxes, weapons: Boxes) -> tuple[Any, Boxes]:
    """Cut one person out.

    Args:
        picture: ``(H, W, 3)`` uint8.
        person: ``(4,)`` x1, y1, x2, y2.
        weapons: ``(N, 4)`` of the picture.

    Returns:
        ``(176, 176, 3)`` uint8 and the weapons of which enough is in it, in its pixels.
    """
    centre = (person[:2] + person[2:]) / 2
    scale = SIZE / (float((person[2:] - person[:2]).max()) * _ROOM)
    # OpenCV counts from pixel centres, boxes from outer corners.
    offset = SIZE / 2 - scale * centre + 0.5 * scale - 0.5
    matrix = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
    flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    chip = cv2.warpAffine(
        picture, matrix, (SIZE, SIZE), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    placed = (weapons.reshape(-1, 2, 2) - centre) * scale + SIZE / 2
    placed = placed.reshape(-1, 4)
    seen = placed.clip(0, SIZE)
    share = _areas(seen) / np.maximum(_areas(placed), 1e-9)
    return chip, seen[share > _LEAST_SHARE]


def _sources(root: Path) -> Iterator[_Source]:
    """Every picture, in the order in which chips are counted."""
    listed = root / "cctv_people"
    if listed.is_dir():
        for name, split, most in _LISTS:
            for line in (listed / f"{name}.txt").read_text().split():
                places = (listed / "images" / line, listed / "images" / f"{line}.jpg")
                path = next((place for place in places if place.is_file()), None)
                if path is not None:
                    yield _Source("listed", listed, path, split, most)
    filled = root / "weapon_videos"
    if filled.is_dir():
        for path in sorted((filled / "images").iterdir()):
            yield _Source("filled", filled, path, "videos")
    unarmed = root / "coco_people"
    if unarmed.is_dir():
        for path in sorted((unarmed / "images").rglob("*.jpg")):
            yield _Source("unarmed", unarmed, path, "people")


def _cut(source: _Source) -> list[RealChip]:
    cutters = {"listed": _cut_listed, "filled": _cut_filled, "unarmed": _cut_unarmed}
    return list(cutters[source.kind](source))


def _cut_filled(source: _Source) -> Iterator[RealChip]:
    name = source.picture.stem
    small = cv2.resize(_read(source.picture), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    _, boxes = _labels(source.root / "labels" / f"{name}.txt", (SIZE, SIZE))
    yield RealChip(_jpeg(small), boxes, source.split, flight_of(name))


def _cut_unarmed(source: _Source) -> Iterator[RealChip]:
    name, nothing = source.picture.stem, np.empty((0, 4))
    labels = next((source.root / "labels").rglob(f"{name}.txt"), None)
    if labels is None:
        return
    picture = _read(source.picture)
    classes, boxes = _labels(labels, picture.shape[1::-1])
    for person in boxes[classes == 0]:
        if _LEAST_PX < person[3] - person[1] < 420.0:
            chip, _ = cut_person(picture, person, nothing)
            yield RealChip(_jpeg(chip), nothing, source.split, name)


def _cut_listed(source: _Source) -> Iterator[RealChip]:
    name = source.picture.stem
    picture = _read(source.picture)
    classes, boxes = _labels(source.root / "labels" / f"{name}.txt", picture.shape[1::-1])
    people, weapons = boxes[classes == 0], boxes[classes == 1]
    largest = people[np.argsort(-_areas(people), kind="stable")]
    cut = 0
    for person in largest[largest[:, 3] - largest[:, 1] >= _LEAST_PX]:
        touched = [w for w in weapons if _touches(person, w)]
        if cut == source.most or (source.split == "armed" and not touched):
            continue
        chip, placed = cut_person(picture, person, weapons)
        cut += 1
        yield RealChip(_jpeg(chip), placed, source.split, flight_of(name))


def _jpeg(pixels: NDArray[Any]) -> bytes:
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 92])[1].tobytes()


def _read(path: Path) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path))
    if picture is None:
        raise DataError(f"{path}: can't be read; fetch the set again")
    return np.asarray(picture, np.uint8)


def _labels(path: Path, size: tuple[int, ...]) -> tuple[NDArray[np.int64], Boxes]:
    """Classes and ``(N, 4)`` x1, y1, x2, y2 pixels of a YOLO text file."""
    lines = path.read_text().splitlines() if path.is_file() else []
    fields = [line.split()[:5] for line in lines if len(line.split()) >= 5]
    table = np.array([[float(v) for v in row] for row in fields]).reshape(-1, 5)
    low, high = table[:, 1:3] - table[:, 3:] / 2, table[:, 1:3] + table[:, 3:] / 2
    return table[:, 0].astype(np.int64), np.concatenate([low, high], axis=1) * np.tile(size, 2)


def _areas(boxes: Boxes) -> NDArray[np.float64]:
    return np.asarray((boxes[:, 2:] - boxes[:, :2]).prod(axis=1), np.float64)


def _touches(first: Boxes, second: Boxes) -> bool:
    shared = np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2])
    return bool(shared.min() > 0)


def _row(name: str, chip: RealChip) -> dict[str, Any]:
    image = {"file_name": name, "rgb": name, "height": SIZE, "width": SIZE, "flight": chip.flight}
    boxes = [[round(float(v), 2) for v in (*box[:2], *(box[2:] - box[:2]))] for box in chip.weapons]
    annotations = [
        {"category_id": 0, "bbox": box, "area": box[2] * box[3], "iscrowd": 0} for box in boxes
    ]
    return {"image": image, "annotations": annotations}
