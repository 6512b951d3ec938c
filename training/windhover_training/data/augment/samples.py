"""Frames with their boxes in memory, and the crops that are made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from windhover.errors import DataError, EncodingError, SourceError
from windhover_training.data.readers.pictures import Reader, load_pictures, read_files, read_truth

Pixels = NDArray[np.uint8]
Boxes = NDArray[np.float32]
Classes = NDArray[np.int64]

#: ``(S, S)`` or ``(S, S, C)`` uint8 pixels, ``(N, 4)`` float32 x1, y1, x2, y2 in its pixels,
#: ``(N,)`` int64 classes.
Crop = tuple[Pixels, Boxes, Classes]


class HeldCrop(NamedTuple):
    """A crop of a real picture, whose scores may be held near those of the start.

    Attributes:
        pixels: ``(S, S, 4)`` uint8.
        boxes: ``(N, 4)`` float32 x1, y1, x2, y2 in its pixels.
        classes: ``(N,)`` int64; below 0 what is not judged.
    """

    pixels: Pixels
    boxes: Boxes
    classes: Classes


@dataclass(frozen=True, eq=False)
class Sample:
    """One image in memory with its boxes.

    Attributes:
        pixels: ``(H, W)`` or ``(H, W, C)`` uint8.
        boxes: ``(N, 4)`` float32 x1, y1, x2, y2 in pixels.
        classes: ``(N,)`` int64. A class below 0 is that of an object which is neither taught
            nor taken for background; :func:`ignored` gives it and takes it back.
        flight: name of the flight it belongs to.
        pixels_per_metre: scale of the ground in the middle of the image; 0 if not known.
        places: ``(P, 2)`` x, y of hard negatives, where crops of an image without objects
            are centred.
    """

    pixels: Pixels
    boxes: Boxes
    classes: Classes
    flight: str
    pixels_per_metre: float = 0.0
    places: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 2), np.float32))

    @cached_property
    def mean_level(self) -> float:
        """Mean of all pixels, 0..255."""
        return float(self.pixels.mean())


def ignored(class_id: Any) -> Any:
    """The class of an object that is not judged, for an object of this class, and back."""
    return ~class_id


def add_unlabelled(
    boxes: Boxes, classes: Classes, unlabelled: Sequence[int], width: int, height: int
) -> tuple[Boxes, Classes]:
    """Boxes and classes of a crop in which nothing of some classes is judged.

    For pictures of a set that does not label all that they show: each of those classes gets
    an object over all of the crop that is not judged, neither found nor missed.
    """
    if not unlabelled:
        return boxes, classes
    over_all = np.tile(np.array([0, 0, width, height], np.float32), (len(unlabelled), 1))
    ids = ignored(np.array(unlabelled, np.int64))
    return np.concatenate([boxes, over_all]), np.concatenate([classes, ids])


def cover_unlabelled(crop: Crop, unlabelled: Sequence[int]) -> Crop:
    """The same for a crop that is made; see :func:`add_unlabelled`."""
    pixels, boxes, classes = crop
    height, width = pixels.shape[:2]
    return pixels, *add_unlabelled(boxes, classes, unlabelled, width, height)


def load_samples(
    root: Path, splits: list[str], unreadable: dict[str, str] | None = None
) -> list[Sample]:
    """Read all frames of some splits of a converted data set into memory (0.3 MB a frame).

    Args:
        root: data set written by ``data convert``.
        splits: names of the splits to pool.
        unreadable: receives the files that can't be read and why, which are then left out;
            without it one such file is an error.

    Raises:
        DataError: a split was never written, or pictures can't be read.
    """
    samples = []
    for split in splits:
        document = read_truth(root / "truth" / f"{split}.json")
        rows: dict[int, list[dict[str, Any]]] = {}
        for row in document["annotations"]:
            if not row["iscrowd"]:
                rows.setdefault(row["image_id"], []).append(row)
        for image in document["images"]:
            path = root / "images" / split / image["file_name"]
            try:
                pixels = read_files((path,), 1)
            except (SourceError, EncodingError) as error:
                if unreadable is None:
                    raise DataError(f"{error}; convert the set again") from error
                unreadable[str(path)] = str(error)
                continue
            own = rows.get(image["id"], [])
            xywh = np.array([r["bbox"] for r in own], np.float32).reshape(-1, 4)
            boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
            classes = np.array([r["category_id"] for r in own], np.int64)
            samples.append(Sample(pixels, boxes, classes, image["flight"]))
    if not samples:
        raise DataError(f"{root}: no picture of {', '.join(splits)} can be read; convert it again")
    return samples


def load_colour(root: Path, splits: Sequence[str], labels: Sequence[str]) -> list[Sample]:
    """Read all of some splits of a set of RGB pictures or chips into memory.

    Their pixels are ``(H, W, 3)`` uint8 B, G, R, 77 kB a chip of 160 px; the set's categories
    become the model's classes by their names.

    Raises:
        DataError: a split is missing, damaged or has no picture.
    """
    pictures = load_pictures(root, splits, 3, labels, may_be_empty=True)
    if not pictures:
        raise DataError(f"{root}: {', '.join(splits)} list no pictures; make the set again")
    read = Reader(3, keep=1)
    return [Sample(read(each), each.boxes, each.classes, each.flight) for each in pictures]
