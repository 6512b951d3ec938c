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
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import DataError
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

Boxes = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RealChip:
    """One chip.

    Attributes:
        pixels: ``(176, 176, 3)`` uint8 BGR.
        weapons: ``(N, 4)`` x1, y1, x2, y2 in its pixels.
        split: without ``-val``.
        flight: its place.
    """

    pixels: NDArray[np.uint8]
    weapons: Boxes
    split: str
    flight: str


def cut_chips(root: Path, out: Path) -> dict[str, int]:
    """Cut chips from all sources below a folder and write them as a set.

    Args:
        root: holds ``cctv_people``, ``weapon_videos`` and ``coco_people``, or some of them.
        out: data set root.

    Returns:
        Chips of each split: ``armed``, ``unarmed``, ``videos``, ``people``, each with
        ``-val`` for the places that are held out.

    Raises:
        DataError: none of the sources is there, or a file can't be read or written.
    """
    rows: dict[str, list[dict[str, Any]]] = {}
    for number, chip in enumerate(_all_chips(root)):
        split = f"{chip.split}-val" if is_held_out(chip.flight) else chip.split
        folder = out / "images" / split
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{number:06d}.jpg"
        if not cv2.imwrite(str(path), chip.pixels, [cv2.IMWRITE_JPEG_QUALITY, 92]):
            raise DataError(f"{path}: can't be written; free some space")
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


def _all_chips(root: Path) -> Iterator[RealChip]:
    sources = {"cctv_people": _listed, "weapon_videos": _filled, "coco_people": _unarmed}
    for name, chips in sources.items():
        if (root / name).is_dir():
            yield from chips(root / name)


def _listed(root: Path) -> Iterator[RealChip]:
    for name, split, most in (
        ("long_gun_whole_person", "armed", 2),
        ("long_gun_half_person", "armed", 1),
        ("no_weapon", "unarmed", 1),
    ):
        for line in (root / f"{name}.txt").read_text().split():
            yield from _chips_of_people(root, line, split, most)


def _filled(root: Path) -> Iterator[RealChip]:
    for path in sorted((root / "images").iterdir()):
        small = cv2.resize(_read(path), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
        _, boxes = _labels(root / "labels" / f"{path.stem}.txt", (SIZE, SIZE))
        yield RealChip(np.asarray(small, np.uint8), boxes, "videos", flight_of(path.stem))


def _unarmed(root: Path) -> Iterator[RealChip]:
    nothing = np.empty((0, 4))
    for path in sorted((root / "images").rglob("*.jpg")):
        labels = next((root / "labels").rglob(f"{path.stem}.txt"), None)
        if labels is None:
            continue
        picture = _read(path)
        classes, boxes = _labels(labels, picture.shape[1::-1])
        for person in boxes[classes == 0]:
            if _LEAST_PX < person[3] - person[1] < 420.0:
                chip, _ = cut_person(picture, person, nothing)
                yield RealChip(chip, nothing, "people", path.stem)


def _chips_of_people(root: Path, name: str, split: str, most: int) -> Iterator[RealChip]:
    path = next(
        (p for p in (root / "images" / name, root / "images" / f"{name}.jpg") if p.is_file()), None
    )
    if path is None:
        return
    picture = _read(path)
    classes, boxes = _labels(root / "labels" / f"{path.stem}.txt", picture.shape[1::-1])
    people, weapons = boxes[classes == 0], boxes[classes == 1]
    largest = people[np.argsort(-_areas(people), kind="stable")]
    cut = 0
    for person in largest[largest[:, 3] - largest[:, 1] >= _LEAST_PX]:
        touched = [w for w in weapons if _touches(person, w)]
        if cut == most or (split == "armed" and not touched):
            continue
        chip, placed = cut_person(picture, person, weapons)
        cut += 1
        yield RealChip(chip, placed, split, flight_of(path.stem))


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
