"""Detection truth: standard COCO JSON, and HIT-UAV's own JSON as it is published.

What is read (COCO data format, https://cocodataset.org/#format-data): ``images``
(``id``, ``file_name``, ``width``, ``height``), ``categories`` (``id``, ``name``)
and ``annotations`` (``image_id``, ``category_id``, ``bbox`` = left, top, width,
height in pixels, else ``segmentation`` polygons, optional ``iscrowd`` and
``track_id``); of a pair on one grid, an image's record also names both files as
``rgb`` and ``thermal``. HIT-UAV (Suo et al., Scientific Data 2023) writes
``annotation`` and ``filename`` instead and marks regions that are not scored
with a category ``DontCare``. Ids and numbers may be written as text.

A flaw of a file is either an error, where scores would mean nothing (not JSON, a
list missing, an image or category id given twice, no category that the model
knows), or a :class:`Problem`, counted and listed while the rest is scored:

- a box of an unknown image or category, with NaN, without area or completely
  outside its image is left out;
- a box that reaches beyond its image by more than a pixel is scored unchanged;
- an annotation id that is given twice is scored both times, since ids play no
  part in scoring;
- a box of a category that maps to none of the labels is left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from windhover.errors import DataError
from windhover_evaluation.detection.categories import LabelMap, name_key
from windhover_evaluation.detection.coco_values import (
    Identifier,
    corners,
    flag,
    identifier,
    pixels,
    read_json_object,
)
from windhover_evaluation.detection.groups import image_groups
from windhover_evaluation.detection.truth import ANY_LABEL, NO_TRACK, Problem, Truth, TruthImage

_LISTED = 20


def load_truth(
    path: str | Path, labels: Sequence[str], mapping: Mapping[str, str] | None = None
) -> Truth:
    """Read a truth file and express it in a model's labels.

    Which category is which label is in :mod:`.categories`. Several categories may
    become one label; they are then scored as one class.

    Args:
        path: COCO or HIT-UAV JSON.
        labels: all labels of the model, in its order.
        mapping: label by category name, see :func:`.categories.parse_mapping`.

    Raises:
        DataError: the file can't be used; see the module's text.
        ConfigError: ``mapping`` names no label of the model.
    """
    data = read_json_object(Path(path))
    images = _images(data, path)
    categories = _categories(_list(data, path, "categories"), str(path), labels, mapping)
    reader = _Reader(str(path), images, categories)
    for number, annotation in enumerate(_list(data, path, "annotations", "annotation")):
        reader.add(annotation, number)
    return reader.truth()


@dataclass(frozen=True, slots=True)
class _Categories:
    """The categories of one file.

    Attributes:
        labels: which of them is which label.
        names: by id as it is compared.
        ids: as the file gives them, likewise.
    """

    labels: LabelMap
    names: Mapping[Identifier, str]
    ids: Mapping[Identifier, Identifier]

    def names_of_labels(self) -> dict[str, tuple[str, ...]]:
        """For each label the names of the categories that are scored as it."""
        return {
            label: tuple(n for n in self.names.values() if self.labels.indices.get(n) == index)
            for index, label in enumerate(self.labels.labels)
        }

    def result_ids(self) -> dict[str, Identifier]:
        """For each label that the file knows, the category id that its results carry."""
        chosen: dict[str, Identifier] = {}
        for key, name in self.names.items():
            index = self.labels.indices.get(name)
            if index is None:
                continue
            label = self.labels.labels[index]
            if label not in chosen or name_key(name) == name_key(label):
                chosen[label] = self.ids[key]
        return chosen


def _categories(
    records: Sequence[Mapping[str, Any]],
    path: str,
    labels: Sequence[str],
    mapping: Mapping[str, str] | None,
) -> _Categories:
    names: dict[Identifier, str] = {}
    ids: dict[Identifier, Identifier] = {}
    places: dict[Identifier, int] = {}
    for place, record in enumerate(records):
        key, name = identifier(record.get("id")), record.get("name")
        if key is None or not isinstance(name, str):
            raise DataError(
                f"{path}: categories[{place}] needs an 'id' and a 'name', found "
                f"{str(record)[:80]}; add what is missing"
            )
        if key in names:
            raise DataError(
                f"{path}: category id {key} is given twice, in categories[{places[key]}] and "
                f"categories[{place}]; make them unique"
            )
        names[key], ids[key], places[key] = name, _as_given(record["id"], key), place
    found = LabelMap.of(tuple(names.values()), labels, mapping, path)
    if not found.indices:
        raise DataError(
            f"{path}: none of its categories ({', '.join(names.values()) or 'none given'}) is "
            f"one of the model's labels ({', '.join(labels)}); map them: --map NAME=LABEL"
        )
    return _Categories(found, names, ids)


class _Reader:
    """Checks annotations one by one and keeps those that can be scored."""

    def __init__(self, path: str, images: tuple[TruthImage, ...], categories: _Categories) -> None:
        self._path = path
        self._images = images
        self._categories = categories
        self._row_of = {identifier(image.image_id): row for row, image in enumerate(images)}
        self._places: dict[Identifier, int] = {}
        self._count = 0
        self._problems: dict[str, list[str]] = {}
        self._rows: list[int] = []
        self._boxes: list[tuple[float, float, float, float]] = []
        self._labels: list[int] = []
        self._ignored: list[bool] = []
        self._tracks: list[int] = []
        self._track_numbers: dict[Identifier, int] = {}
        names = Counter(image.file_name for image in images)
        for name in (name for name, count in names.items() if count > 1):
            self._note("file name given to more than one image (each is scored)", name)

    def add(self, annotation: dict[str, Any], number: int) -> None:
        """Add the ``number``-th annotation of the file, or note why it is left out."""
        self._count += 1
        key = identifier(annotation.get("id"))
        name = f"#{number}" if key is None else str(key)
        if key is not None:
            first = self._places.setdefault(key, number)
            if first != number:
                both = f"{key} (annotations[{first}] and annotations[{number}])"
                self._note("annotation id given twice (both are scored)", both)
        image_id = identifier(annotation.get("image_id"))
        row = None if image_id is None else self._row_of.get(image_id)
        if row is None:
            self._note("box of an image that is not in the file (left out)", name)
            return
        box = self._box(corners(annotation), self._images[row], name)
        label = self._label(identifier(annotation.get("category_id")), name)
        if box is None or label is None:
            return
        track = identifier(annotation.get("track_id"))
        self._rows.append(row)
        self._boxes.append(box)
        self._labels.append(label)
        self._ignored.append(label == ANY_LABEL or self._is_ignored(annotation, number))
        # Numbered as they come: which one it is matters, and not what it is called.
        number_of = self._track_numbers
        self._tracks.append(
            NO_TRACK if track is None else number_of.setdefault(track, len(number_of))
        )

    def truth(self) -> Truth:
        """The truth of the annotations that were kept."""
        tracks = np.array(self._tracks, np.int64)
        return Truth(
            path=self._path,
            labels=self._categories.labels.labels,
            images=self._images,
            image_rows=np.array(self._rows, np.int64),
            boxes=np.array(self._boxes, np.float64).reshape(-1, 4),
            label_ids=np.array(self._labels, np.int32),
            ignored=np.array(self._ignored, np.bool_),
            categories=self._categories.names_of_labels(),
            category_ids=self._categories.result_ids(),
            problems=tuple(
                Problem(text, len(items), tuple(items[:_LISTED]))
                for text, items in self._problems.items()
            ),
            ignored_categories=tuple(sorted(self._categories.labels.ignored)),
            annotations=self._count,
            track_ids=tracks if (tracks != NO_TRACK).any() else None,
        )

    def _is_ignored(self, annotation: Mapping[str, Any], number: int) -> bool:
        try:
            return flag(annotation.get("iscrowd")) or flag(annotation.get("ignore"))
        except ValueError as error:
            raise DataError(
                f"{self._path}: iscrowd or ignore of annotations[{number}]: {error}; correct it"
            ) from None

    def _box(
        self,
        box: tuple[float, float, float, float] | None,
        image: TruthImage,
        name: str,
    ) -> tuple[float, float, float, float] | None:
        if box is None:
            self._note("box that is not four finite numbers (left out)", name)
            return None
        x1, y1, x2, y2 = box
        if x2 <= x1 or y2 <= y1:
            self._note("box without area (left out)", name)
            return None
        if image.width and image.height:
            if x2 <= 0 or y2 <= 0 or x1 >= image.width or y1 >= image.height:
                self._note("box completely outside its image (left out)", name)
                return None
            if x1 < -1 or y1 < -1 or x2 > image.width + 1 or y2 > image.height + 1:
                self._note("box that reaches beyond its image (scored unchanged)", name)
        return box

    def _label(self, category: Identifier | None, name: str) -> int | None:
        kind = None if category is None else self._categories.names.get(category)
        if kind is None:
            self._note("box of a category that is not in the file (left out)", name)
            return None
        if kind in self._categories.labels.ignored:
            return ANY_LABEL
        label = self._categories.labels.indices.get(kind)
        if label is None:
            self._note(f"box of category {kind}, which the model does not have (not scored)", name)
        return label

    def _note(self, text: str, item: str) -> None:
        self._problems.setdefault(text, []).append(item)


def _list(data: Mapping[str, Any], path: str | Path, *keys: str) -> list[dict[str, Any]]:
    for key in keys:
        value = data.get(key)
        if isinstance(value, list) and all(isinstance(item, dict) for item in value):
            return value
        if value is not None:
            raise DataError(f"{path}: '{key}' must be a list of objects; write it as COCO does")
    raise DataError(f"{path}: has no '{keys[0]}' list; give a COCO or HIT-UAV JSON file")


def _images(data: Mapping[str, Any], path: str | Path) -> tuple[TruthImage, ...]:
    images: list[TruthImage] = []
    places: dict[Identifier, int] = {}
    for place, record in enumerate(_list(data, path, "images")):
        key = identifier(record.get("id"))
        name = record.get("file_name", record.get("filename"))
        if key is None or not isinstance(name, str) or not name.strip():
            raise DataError(
                f"{path}: images[{place}] needs an 'id' and a 'file_name', found "
                f"{str(record)[:80]}; add what is missing"
            )
        first = places.setdefault(key, place)
        if first != place:
            raise DataError(
                f"{path}: image id {key} is given twice, in images[{first}] and "
                f"images[{place}]; make image ids unique"
            )
        if "\0" in name:
            raise DataError(f"{path}: images[{place}] has a file_name with a NUL; correct it")
        name = name.replace("\\", "/")
        try:
            width, height = pixels(record.get("width")), pixels(record.get("height"))
        except ValueError as error:
            raise DataError(f"{path}: size of images[{place}]: {error}; correct it") from None
        images.append(
            TruthImage(
                _as_given(record["id"], key),
                name,
                width,
                height,
                image_groups(record, name),
                _cameras(record, path),
            )
        )
    if not images:
        raise DataError(f"{path}: lists no images; there is nothing to score")
    return tuple(images)


def _as_given(value: Any, key: Identifier) -> Identifier:
    """An id as results carry it: the file's own text or number."""
    return value if isinstance(value, (int, str)) else key


def _cameras(record: Mapping[str, Any], path: str | Path) -> dict[str, str]:
    cameras = {camera: record[camera] for camera in ("rgb", "thermal") if camera in record}
    for camera, name in cameras.items():
        if not isinstance(name, str) or not name:
            raise DataError(
                f"{path}: image {record['id']} names {str(name)[:40]!r} as its {camera} file; "
                "give its path or leave the entry out"
            )
    return {camera: name.replace("\\", "/") for camera, name in cameras.items()}
