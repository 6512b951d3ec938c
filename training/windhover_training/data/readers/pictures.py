"""Images of a converted or rendered set with their boxes, read when they are needed.

A set lists its images in ``truth/<split>.json``. An image is one file with one, three or
four channels (B, G, R, T), or a pixel-aligned pair, whose record then names the files as
``rgb`` and ``thermal``. Whatever the files hold, it is given with the channels that the
model takes. A camera that four channels need and that was not there is refused; a bundle
that is scored or calibrated gets it black (:mod:`windhover_evaluation.detection.frames`,
which reads the files).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import DataError
from windhover.imaging.formats import Modality, to_channels
from windhover.model.manifest import CHANNEL_COUNT
from windhover.types import Frame
from windhover_evaluation.detection.frames import Files, read_cameras

#: What a model with so many channels looks at.
KINDS: dict[int, Modality] = {CHANNEL_COUNT[name]: name for name in get_args(Modality)}
_BLUR = 25.0  # px, standard deviation: nothing of a person or a car is left
_KEPT = 256  # images in memory


@dataclass(frozen=True)
class Picture:
    """One image of a set.

    Attributes:
        files: as :func:`files_of` gives them.
        image_id: of its split's truth file.
        split: name.
        flight: what must stay on one side of a split.
        boxes: ``(N, 4)`` float32 x1, y1, x2, y2 in pixels, objects only.
        classes: ``(N,)`` int64.
        hidden: ``(M, 4)`` float32, regions that are neither taught nor scored and that are
            blurred when the image is read.
    """

    files: Files
    image_id: int
    split: str
    flight: str
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    hidden: NDArray[np.float32]

    def teaching(self, taught: NDArray[np.bool_]) -> Picture:
        """The same image with some objects hidden: ``taught`` is ``(N,)``, True to keep."""
        return replace(
            self,
            boxes=self.boxes[taught],
            classes=self.classes[taught],
            hidden=np.concatenate([self.hidden, self.boxes[~taught]]),
        )


def load_pictures(
    root: Path,
    splits: Sequence[str],
    channels: int,
    labels: Sequence[str],
    flaws: Counter[str] | None = None,
    *,
    may_be_empty: bool = False,
) -> list[Picture]:
    """List the images of some splits.

    A set's categories become the model's classes by their names; boxes of others are left
    out. So are boxes that are none, and all of that is counted.

    Args:
        root: converted or rendered set.
        splits: names.
        channels: 1, 3 or 4: which files of a pair are looked at.
        labels: of the model, in the order of its class ids.
        flaws: receives what was left out, and how often.
        may_be_empty: pictures without any object are what is wanted.

    Raises:
        DataError: a split is missing, damaged or empty, or nothing in it can be taught.
    """
    pictures: list[Picture] = []
    flaws = Counter() if flaws is None else flaws
    for split in splits:
        path = root / "truth" / f"{split}.json"
        document = read_truth(path)
        try:
            kinds = _class_ids(document["categories"], labels)
            rows: dict[Any, list[dict[str, Any]]] = {}
            for row in document["annotations"]:
                rows.setdefault(row["image_id"], []).append(row)
            base = root / "images" / split
            pictures += [
                _picture(image, rows.pop(image["id"], []), base, channels, kinds, flaws)
                for image in document["images"]
            ]
            flaws["box of an image that is not in the set"] += sum(map(len, rows.values()))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{path}: damaged ({error!r}); convert the set again") from error
    if not may_be_empty and not any(len(picture.boxes) for picture in pictures):
        raise DataError(
            f"{root}: {', '.join(splits)} hold no object of {', '.join(labels)}; use other data "
            "or labels"
        )
    return pictures


def _class_ids(categories: Sequence[dict[str, Any]], labels: Sequence[str]) -> dict[Any, int]:
    return {c["id"]: labels.index(c["name"]) for c in categories if c["name"] in labels}


def read_truth(path: Path) -> dict[str, Any]:
    """Read a split's truth file.

    Raises:
        DataError: it is missing or damaged.
    """
    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"{path}: can't be read ({error.strerror}); 'windhover-train data convert' makes it"
        ) from error
    except ValueError as error:
        raise DataError(f"{path}: damaged ({error}); convert the set again") from error
    return document


def files_of(image: dict[str, Any], base: Path, channels: int) -> Files:
    """The files of a truth file's image record that a model with so many channels needs.

    Args:
        image: the record.
        base: folder of its split's images.
        channels: 1, 3 or 4.

    Raises:
        DataError: the record is of a pair and lacks one of them.
    """
    if not {"rgb", "thermal"} & image.keys():
        return (base / image["file_name"],)
    wanted = {1: ("thermal",), 3: ("rgb",), 4: ("rgb", "thermal")}[channels]
    lacking = [name for name in wanted if name not in image]
    if lacking:
        raise DataError(
            f"{base / image['file_name']} has no {lacking[0]} image, which a model with "
            f"{channels} channels needs; use another set or model"
        )
    return tuple(base / image[name] for name in wanted)


def files_of_images(root: Path, split: str, ids: Iterable[Any], channels: int) -> list[Files]:
    """The same for images of a split by their ids.

    Raises:
        DataError: as :func:`files_of`, or the split's truth file is damaged.
    """
    records = {row["id"]: row for row in read_truth(root / "truth" / f"{split}.json")["images"]}
    base = root / "images" / split
    return [files_of(records[i], base, channels) for i in ids]


def read_frame(files: Files, channels: int) -> Frame:
    """Read an image as a frame for a model of so many channels.

    Args:
        files: as :func:`files_of` gives them.
        channels: 1, 3 or 4. One camera's picture stands for the other's where the model
            looks at one: grey of the colours, or grey three times.

    Raises:
        DataError: a pair is not of one size, or a camera that four channels need is missing.
        SourceError: a file can't be read.
    """
    kind = KINDS[channels]
    cameras = read_cameras(files, "thermal", lone=None if kind == "rgbt" else kind)
    if channels == 4 and (lacks := cameras.missing_camera(kind)):
        raise DataError(f"{files[0]} has no {lacks} channel; use a set of RGB and thermal pairs")
    return cameras.frame(kind)


def read_files(files: Files, channels: int) -> NDArray[np.uint8]:
    """The same as an array: ``(H, W)`` uint8 for one channel, else ``(H, W, channels)``."""
    frame = read_frame(files, channels)
    return np.ascontiguousarray(to_channels(frame.image, frame.encoding, KINDS[channels]))


class Reader:
    """Reads pictures, hidden regions blurred, and keeps the last few in memory."""

    def __init__(self, channels: int, keep: int = _KEPT) -> None:
        self.channels = channels
        self._kept = lru_cache(maxsize=keep)(self._read)

    def __call__(self, picture: Picture) -> NDArray[np.uint8]:
        """Pixels ``(H, W)`` or ``(H, W, C)``; not to be written to.

        Raises:
            SourceError: a file can't be read.
        """
        return self._kept(_ByIdentity(picture))

    def _read(self, key: _ByIdentity) -> NDArray[np.uint8]:
        picture = key.picture
        pixels = hide(read_files(picture.files, self.channels), picture.hidden, picture.boxes)
        pixels.setflags(write=False)
        return pixels


class _ByIdentity:
    """A cache key: arrays have no hash."""

    def __init__(self, picture: Picture) -> None:
        self.picture = picture

    def __hash__(self) -> int:
        return hash((self.picture.files, self.picture.hidden.tobytes()))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and (
            self.picture.files == other.picture.files
            and np.array_equal(self.picture.hidden, other.picture.hidden)
        )


def hide(
    pixels: NDArray[np.uint8], hidden: NDArray[np.float32], boxes: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Blur regions away so that training takes nothing in them for background.

    Args:
        pixels: ``(H, W)`` or ``(H, W, C)``.
        hidden: ``(M, 4)`` x1, y1, x2, y2.
        boxes: ``(N, 4)`` objects, which stay as they are.

    Returns:
        The same shape; ``pixels`` itself if nothing is hidden.
    """
    if not len(hidden):
        return pixels
    mask = np.zeros(pixels.shape[:2], bool)
    for part, value in ((hidden, True), (boxes, False)):
        for x1, y1, x2, y2 in part:
            mask[max(int(y1), 0) : int(np.ceil(y2)), max(int(x1), 0) : int(np.ceil(x2))] = value
    out = pixels.copy()
    out[mask] = cv2.GaussianBlur(pixels, (0, 0), _BLUR)[mask]
    return out


def _picture(
    image: dict[str, Any],
    rows: list[dict[str, Any]],
    base: Path,
    channels: int,
    kinds: dict[Any, int],
    flaws: Counter[str],
) -> Picture:
    boxes, classes, hidden = [], [], []
    for row in rows:
        box = _corners(row.get("bbox"), image)
        if isinstance(box, str):
            flaws[box] += 1
        elif row.get("iscrowd"):
            hidden.append(box)
        elif row["category_id"] not in kinds:
            flaws["box of a category that is no label"] += 1
        else:
            boxes.append(box)
            classes.append(kinds[row["category_id"]])
    # A region is listed once for each class; blurring it once is enough.
    regions = sorted(set(hidden)) if not image.get("filled") else []
    return Picture(
        files=files_of(image, base, channels),
        image_id=image["id"],
        split=base.name,
        flight=str(image.get("flight", image["id"])),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        classes=np.array(classes, np.int64),
        hidden=np.array(regions, np.float32).reshape(-1, 4),
    )


def _corners(bbox: Any, image: dict[str, Any]) -> tuple[float, float, float, float] | str:
    """A box inside its image, or what is wrong with it."""
    try:
        x, y, width, height = (float(value) for value in bbox)
    except (TypeError, ValueError):
        return "box that is not four numbers"
    if not np.isfinite((x, y, width, height)).all():
        return "box that is not finite"
    limit_x, limit_y = image.get("width") or np.inf, image.get("height") or np.inf
    x1, y1 = max(x, 0.0), max(y, 0.0)
    x2, y2 = min(x + width, limit_x), min(y + height, limit_y)
    if x2 <= x1 or y2 <= y1:
        return "box without area inside its image"
    return x1, y1, float(x2), float(y2)
