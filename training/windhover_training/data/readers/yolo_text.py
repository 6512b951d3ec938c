"""Pictures with a text file each, as Ultralytics, Roboflow and Darknet write them.

``images/a.jpg`` and ``labels/a.txt``, a line a box: class number, then centre x, centre y,
width and height as shares of the picture. A picture without a file shows nothing that was
labelled. What the numbers stand for is not in the files: a label map's ``ids`` says it.

Copies that Roboflow made of one picture share the name before ``.rf.``, and frames of one
video often share all but a last number: both count as one flight.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import cv2

from windhover.errors import DataError
from windhover_training.data.convert.summary import Summary
from windhover_training.data.readers.pairing import list_images
from windhover_training.data.readers.records import RawBox, RawFrame

_NUMBER = re.compile(r"(?<=[^\W_])[_-]\d+(?:_crop)?$")


def read(root: Path, summary: Summary) -> Iterator[RawFrame]:
    """Read one folder of RGB pictures.

    Args:
        root: folder that holds ``images`` and ``labels``.
        summary: receives what could not be read.

    Yields:
        Frames in natural order.

    Raises:
        DataError: there is no picture.
    """
    pictures = list_images(root / "images")
    if not pictures:
        raise DataError(f"{root}: no pictures in images/ here; give the folder that holds images/")
    for path in pictures:
        pixels = cv2.imread(str(path))
        if pixels is None:
            summary.add("dropped", "image: can't be read", path.name)
            continue
        size = (pixels.shape[1], pixels.shape[0])
        boxes = tuple(_boxes(root / "labels" / f"{path.stem}.txt", size, summary))
        yield RawFrame(path.stem, flight_of(path.stem), rgb=path, boxes=boxes, size=size)


def flight_of(stem: str) -> str:
    """What a picture's name says of the place that it was taken at."""
    name = stem.split(".rf.", maxsplit=1)[0]
    return _NUMBER.sub("", name)


def _boxes(path: Path, size: tuple[int, int], summary: Summary) -> Iterator[RawBox]:
    if not path.is_file():
        return
    width, height = size
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            kind, x, y, w, h = line.split()[:5]
            middle, sides = (float(x), float(y)), (float(w), float(h))
            category = int(kind)
        except ValueError:
            summary.add("dropped", "line: not a class and four numbers", f"{path.name}:{number}")
            continue
        left, top = ((m - s / 2) for m, s in zip(middle, sides, strict=True))
        yield RawBox(category, [left * width, top * height, sides[0] * width, sides[1] * height])
