"""Which images and objects each stage of a curriculum teaches, as files that code writes.

Labels carry no confidence, so difficulty is what can be measured: the size of an object
within its class, and what a model trained so far takes for an object where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from windhover.errors import DataError
from windhover.files import write_json
from windhover_training.config import Strict
from windhover_training.data.readers.pictures import Picture, read_truth

STAGES = ("easy", "medium", "full")


class HardNegative(Strict):
    """Something that a model was sure of where there is nothing.

    Attributes:
        split: of the image.
        image_id: in its split's truth file.
        box: x1, y1, x2, y2 in image pixels.
        label: what it was taken for.
        score: how sure the model was.
    """

    split: str
    image_id: int
    box: tuple[float, float, float, float]
    label: str
    score: float


class Entry(Strict):
    """One image of a stage: ``hidden`` are the rows of its objects that are not taught."""

    split: str
    image_id: int
    hidden: tuple[int, ...] = ()


class StageList(Strict):
    """What one stage teaches; ``rule`` says in words how it was chosen."""

    stage: str
    rule: str
    images: tuple[Entry, ...]
    hard: tuple[HardNegative, ...] = ()


@dataclass(frozen=True)
class Lesson:
    """A stage list, put together with the images that it names.

    Attributes:
        pictures: objects that are not taught are hidden in them.
        hard: place in ``pictures`` and the x, y of a hard negative's middle, pixels.
    """

    pictures: list[Picture]
    hard: list[tuple[int, float, float]]


def sides_of(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(N,)`` side of the square that is as large as each box, pixels."""
    return np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))


def build_list(
    stage: str,
    pictures: Sequence[Picture],
    labels: Sequence[str],
    *,
    quantile: float,
    least_area: float,
    hard: Sequence[HardNegative] = (),
) -> StageList:
    """Choose what a stage teaches.

    Args:
        stage: ``easy`` (images with large objects; smaller ones are hidden), ``medium``
            (images with any object) or ``full`` (all images, and the hard negatives).
        pictures: of the training splits.
        labels: of the classes.
        quantile: an object is large from this quantile of its class's sides upwards.
        least_area: and from this area, square pixels.
        hard: mined with the model of the stage before.

    Raises:
        DataError: no image is left for the stage.
    """
    if stage == "easy":
        least = _large_from(pictures, len(labels), quantile, least_area)
        images = [_easy(picture, least) for picture in pictures]
        sizes = ", ".join(f"{n} {v:.1f} px" for n, v in zip(labels, least, strict=True))
        rule = f"objects with a side from the {quantile:g} quantile of their class: {sizes}"
    elif stage == "medium":
        images = [_entry(picture) if len(picture.boxes) else None for picture in pictures]
        rule = "images with objects, all sizes"
    else:
        images = [_entry(picture) for picture in pictures]
        rule = "all images, with what the model of the stage before took for objects"
    kept = tuple(image for image in images if image is not None)
    if not kept:
        raise DataError(f"stage {stage}: no image has {rule}; use other data or a lower quantile")
    return StageList(stage=stage, rule=rule, images=kept, hard=tuple(hard))


def write_list(path: Path, chosen: StageList) -> None:
    """Write a stage list."""
    write_json(path, chosen.model_dump(mode="json"), indent=None)


def read_lesson(path: Path, pictures: Sequence[Picture]) -> Lesson:
    """Read a stage list and find its images.

    Args:
        path: written by :func:`write_list`; a person may have edited it.
        pictures: of the training splits.

    Raises:
        DataError: the list is damaged or names what is not there.
    """
    try:
        chosen = StageList.model_validate(read_truth(path))
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise DataError(f"{path}: {problem}; remove it to make it again") from error
    known = {(picture.split, picture.image_id): picture for picture in pictures}
    places: dict[tuple[str, int], int] = {}
    taught: list[Picture] = []
    for entry in chosen.images:
        key = (entry.split, entry.image_id)
        picture = known.get(key)
        if picture is None or any(row >= len(picture.boxes) for row in entry.hidden):
            raise DataError(
                f"{path}: names image {entry.image_id} of {entry.split}, which is not in the set "
                "as it is; remove the file to make it again"
            )
        places[key] = len(taught)
        keep = np.ones(len(picture.boxes), bool)
        keep[list(entry.hidden)] = False
        taught.append(picture if keep.all() else picture.teaching(keep))
    hard = [
        (places[h.split, h.image_id], (h.box[0] + h.box[2]) / 2, (h.box[1] + h.box[3]) / 2)
        for h in chosen.hard
        if (h.split, h.image_id) in places
    ]
    return Lesson(taught, hard)


def summary(chosen: Mapping[str, Any]) -> dict[str, int]:
    """How much a list (as JSON) holds."""
    return {"images": len(chosen["images"]), "hard_negatives": len(chosen["hard"])}


def _large_from(
    pictures: Sequence[Picture], classes: int, quantile: float, least_area: float
) -> NDArray[np.float64]:
    sides = np.concatenate([sides_of(p.boxes) for p in pictures])
    kinds = np.concatenate([p.classes for p in pictures])
    own = [sides[kinds == k] for k in range(classes)]
    least = [np.quantile(values, quantile) if len(values) else 0.0 for values in own]
    return np.maximum(least, np.sqrt(least_area))


def _entry(picture: Picture, hidden: Sequence[int] = ()) -> Entry:
    return Entry(split=picture.split, image_id=picture.image_id, hidden=tuple(hidden))


def _easy(picture: Picture, least: NDArray[np.float64]) -> Entry | None:
    large = sides_of(picture.boxes) >= least[picture.classes]
    if not large.any():
        return None
    return _entry(picture, np.flatnonzero(~large).tolist())
