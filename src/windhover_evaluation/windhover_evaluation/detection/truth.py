"""Detection truth: standard COCO JSON, and HIT-UAV's own JSON as it is published.

What is read (COCO data format, https://cocodataset.org/#format-data): ``images``
(``id``, ``file_name``, ``width``, ``height``), ``categories`` (``id``, ``name``)
and ``annotations`` (``image_id``, ``category_id``, ``bbox`` = left, top, width,
height in pixels, optional ``iscrowd``); of a pair on one grid, an image's record also
names both files as ``rgb`` and ``thermal``. HIT-UAV (Suo et al., Scientific Data
2023) writes ``annotation`` and ``filename`` instead and marks regions that are
not to be judged with a category ``DontCare``.

What is wrong with a file is either an error, where scores would mean nothing
(not JSON, a list missing, an image or category id given twice, no category that
the model knows), or a :class:`Problem`, counted and listed while the rest is
scored:

- a box of an unknown image or category, with NaN, without area or wholly
  outside its image is left out;
- a box that reaches beyond its image by more than a pixel is scored as it is;
- an annotation id that is given twice is scored both times, since ids play no
  part in scoring;
- a box of a category that maps to none of the labels is left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windhover.errors import DataError
from windhover_evaluation.detection.categories import CategoryMap
from windhover_evaluation.detection.groups import image_groups

#: Label of boxes that hide objects of any class, in :attr:`Truth.label_ids`.
ANY_LABEL = -1

_LISTED = 20


@dataclass(frozen=True, slots=True)
class TruthImage:
    """One image of a truth file.

    Attributes:
        image_id: as the file gives it; results carry it unchanged.
        file_name: as the file gives it, relative to the images' folder.
        width: pixels; 0 where the file does not say.
        height: pixels; 0 where the file does not say.
        groups: what to break scores down by, such as ``{"time": "night"}``.
        cameras: the files of a picture of which the file says the camera, by ``rgb`` and
            ``thermal``; with both, a pair on one grid. Empty where it names one file alone.
    """

    image_id: int | str
    file_name: str
    width: int
    height: int
    groups: Mapping[str, str] = field(default_factory=dict)
    cameras: Mapping[str, str] = field(default_factory=dict)


# A sentence names so many of the flawed items; ``items`` holds more.
_TOLD = 5


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of flaw in a truth file.

    Attributes:
        text: what it is and what was done about it, without the count.
        count: how often.
        items: the first ids or names that have it.
    """

    text: str
    count: int
    items: tuple[str, ...]

    def __str__(self) -> str:
        more = ", ..." if self.count > _TOLD else ""
        return f"{self.count} x {self.text}: {', '.join(self.items[:_TOLD])}{more}"


@dataclass(frozen=True, slots=True)
class Truth:
    """What is in a set of images, as ``N`` rows of columns.

    Attributes:
        path: the file it was read from.
        labels: the model's labels, which ``label_ids`` index.
        images: in the file's order.
        image_rows: ``(N,)`` int64, indices into ``images``.
        boxes: ``(N, 4)`` float64, ``x1, y1, x2, y2``, source pixels.
        label_ids: ``(N,)`` int32; :data:`ANY_LABEL` for a region that hides
            objects of every label.
        ignored: ``(N,)`` bool, regions that are not judged: what is found there
            is neither right nor wrong.
        categories: the truth's category names that make up each label.
        category_ids: the one category id that results of a label carry: that of
            the category with the label's own name, else the first in the file.
        problems: flaws that were found and passed over.
    """

    path: str
    labels: tuple[str, ...]
    images: tuple[TruthImage, ...]
    image_rows: NDArray[np.int64]
    boxes: NDArray[np.float64]
    label_ids: NDArray[np.int32]
    ignored: NDArray[np.bool_]
    categories: Mapping[str, tuple[str, ...]]
    category_ids: Mapping[str, int]
    problems: tuple[Problem, ...] = ()

    def __len__(self) -> int:
        return len(self.label_ids)

    def of_images(self, rows: Sequence[int]) -> Truth:
        """The truth of some of the images, in the order given."""
        place = np.full(len(self.images), -1, np.int64)
        place[list(rows)] = np.arange(len(rows))
        kept = place[self.image_rows] >= 0
        return replace(
            self,
            images=tuple(self.images[row] for row in rows),
            image_rows=place[self.image_rows[kept]],
            boxes=self.boxes[kept],
            label_ids=self.label_ids[kept],
            ignored=self.ignored[kept],
        )

    def boxes_of(self, row: int) -> Truth:
        """The same truth with the boxes of one image only, for drawing it."""
        rows = self.image_rows == row
        return replace(
            self,
            image_rows=self.image_rows[rows],
            boxes=self.boxes[rows],
            label_ids=self.label_ids[rows],
            ignored=self.ignored[rows],
        )


def load_truth(
    path: str | Path, labels: Sequence[str], aliases: Mapping[str, str] | None = None
) -> Truth:
    """Read a truth file and express it in a model's labels.

    A category becomes the label that ``aliases`` names, else the label of its own
    name, else what :data:`~.categories.DEFAULT_ALIASES` names if the model has that label.
    Several categories may become one label; they are then scored as one class.

    Args:
        path: COCO or HIT-UAV JSON.
        labels: all labels of the model, in its order.
        aliases: truth category name to label.

    Raises:
        DataError: the file can't be used; see the module's text.
    """
    data = _read_json(Path(path))
    reader = _Reader(
        path=str(path),
        images=_images(data, path),
        categories=CategoryMap.of(
            _list(data, path, "categories"), str(path), tuple(labels), aliases or {}
        ),
    )
    for number, annotation in enumerate(_list(data, path, "annotations", "annotation")):
        reader.add(annotation, number)
    return reader.truth()


class _Reader:
    """Checks annotations one by one and keeps those that can be scored."""

    def __init__(self, path: str, images: tuple[TruthImage, ...], categories: CategoryMap) -> None:
        self._path = path
        self._images = images
        self._categories = categories
        self._row_of = {image.image_id: row for row, image in enumerate(images)}
        self._seen: set[int | str] = set()
        self._problems: dict[str, list[str]] = {}
        self._rows: list[int] = []
        self._boxes: list[tuple[float, float, float, float]] = []
        self._labels: list[int] = []
        self._ignored: list[bool] = []
        names = Counter(image.file_name for image in images)
        for name in (name for name, count in names.items() if count > 1):
            self._note("file name given to more than one image (each is scored)", name)

    def add(self, annotation: Mapping[str, Any], number: int) -> None:
        """Take in one annotation, the ``number``-th of the file, or note why not."""
        key = _hashable(annotation.get("id"))
        name = f"#{number}" if key is None else str(key)
        if key is not None:
            if key in self._seen:
                self._note("annotation id given twice (both are scored)", name)
            self._seen.add(key)
        image_id = _hashable(annotation.get("image_id"))
        row = None if image_id is None else self._row_of.get(image_id)
        if row is None:
            self._note("box of an image that is not in the file (left out)", name)
            return
        box = self._box(annotation.get("bbox"), self._images[row], name)
        label = self._label(_hashable(annotation.get("category_id")), name)
        if box is None or label is None:
            return
        self._rows.append(row)
        self._boxes.append(box)
        self._labels.append(label)
        self._ignored.append(
            label == ANY_LABEL or bool(annotation.get("iscrowd")) or bool(annotation.get("ignore"))
        )

    def truth(self) -> Truth:
        """All that was kept."""
        return Truth(
            path=self._path,
            labels=self._categories.labels,
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
        )

    def _box(
        self, bbox: Any, image: TruthImage, name: str
    ) -> tuple[float, float, float, float] | None:
        box = _corners(bbox)
        if box is None:
            self._note("box that is not four finite numbers (left out)", name)
            return None
        x1, y1, x2, y2 = box
        if x2 <= x1 or y2 <= y1:
            self._note("box without area (left out)", name)
            return None
        if image.width and image.height:
            if x2 <= 0 or y2 <= 0 or x1 >= image.width or y1 >= image.height:
                self._note("box wholly outside its image (left out)", name)
                return None
            if x1 < -1 or y1 < -1 or x2 > image.width + 1 or y2 > image.height + 1:
                self._note("box that reaches beyond its image (scored as it is)", name)
        return box

    def _label(self, category: int | str | None, name: str) -> int | None:
        if category not in self._categories.names:
            self._note("box of a category that is not in the file (left out)", name)
            return None
        if category in self._categories.ignored:
            return ANY_LABEL
        label = self._categories.labels_of.get(category)
        if label is None:
            kind = self._categories.names[category]
            self._note(f"box of category {kind}, which the model lacks (not scored)", name)
        return label

    def _note(self, text: str, item: str) -> None:
        self._problems.setdefault(text, []).append(item)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{path}: can't be read ({error.strerror}); give the path of a COCO JSON file"
        ) from error
    except ValueError as error:
        raise DataError(
            f"{path}: is not JSON ({error}); give a COCO JSON file, whole and uncompressed"
        ) from error
    if not isinstance(data, dict):
        raise DataError(
            f"{path}: holds a {type(data).__name__}, not a COCO object with images, categories "
            "and annotations; a results file can't serve as truth"
        )
    return data


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
    ids: set[int | str] = set()
    for record in _list(data, path, "images"):
        image_id = record.get("id")
        name = record.get("file_name", record.get("filename"))
        if not isinstance(image_id, (int, str)) or not isinstance(name, str) or not name:
            raise DataError(
                f"{path}: an image needs an 'id' and a 'file_name', found {str(record)[:80]}; "
                "add what is missing"
            )
        if image_id in ids:
            raise DataError(f"{path}: image id {image_id} is given twice; make image ids unique")
        ids.add(image_id)
        images.append(
            TruthImage(
                image_id,
                name,
                _pixels(record.get("width")),
                _pixels(record.get("height")),
                image_groups(record, name),
                _cameras(record, path),
            )
        )
    if not images:
        raise DataError(f"{path}: lists no images; there is nothing to score")
    return tuple(images)


def _cameras(record: Mapping[str, Any], path: str | Path) -> dict[str, str]:
    cameras = {camera: record[camera] for camera in ("rgb", "thermal") if camera in record}
    for camera, name in cameras.items():
        if not isinstance(name, str) or not name:
            raise DataError(
                f"{path}: image {record['id']} names {str(name)[:40]!r} as its {camera} file; "
                "give its path or leave the entry out"
            )
    return cameras


def _corners(bbox: Any) -> tuple[float, float, float, float] | None:
    if not isinstance(bbox, list) or len(bbox) != 4:
        return None
    if not all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in bbox):
        return None
    x, y, width, height = (float(value) for value in bbox)
    if not np.isfinite((x, y, width, height)).all():
        return None
    return x, y, x + width, y + height


def _pixels(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _hashable(value: Any) -> int | str | None:
    return value if isinstance(value, (int, str)) else None
