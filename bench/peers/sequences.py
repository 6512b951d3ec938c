"""A tracker's input: detections, images and truth, frame by frame.

A folder of MOTChallenge's own layout can be read, one sequence a sub-folder::

    SEQ/det/det.txt  SEQ/gt/gt.txt  [SEQ/img1/000001.jpg ...]  [SEQ/seqinfo.ini]

All boxes are one class there; truth rows with flag 0 need not be tracked, and a
track on one is ignored. ``seqinfo.ini`` gives the rate (30 frames a second
without it). Without images every frame shows the same still texture, in which a
tracker measures no camera motion.
"""

from __future__ import annotations

import configparser
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import DataError
from windhover.tracking.motchallenge import MotDetections, read_detections
from windhover.types import Detections
from windhover_evaluation.tracking.mot_files import ALL
from windhover_evaluation.tracking.mot_truth import read_truth
from windhover_evaluation.tracking.scores import ANY_CLASS, TrackTable

RATE_HZ = 30
_KEPT_PICTURES = 300


@dataclass(frozen=True, slots=True)
class Sequence:
    """Frames at one rate with one kind of detections.

    Attributes:
        kind: what it is counted with, such as ``drone``.
        source: of the detections.
        rate_hz: frames a second.
        labels: what class ids index.
        truth: frame numbers count from 0 at ``rate_hz``.
        detections: of each frame, highest score first.
        images: files of the frames' images; none: nothing to be seen.
    """

    kind: str
    source: str
    rate_hz: float
    labels: tuple[str, ...]
    truth: TrackTable
    detections: tuple[Detections, ...]
    images: tuple[Path, ...]

    def first(self, seconds: float) -> Sequence:
        """The sequence up to some time."""
        count = round(seconds * self.rate_hz)
        return replace(
            self,
            truth=self.truth[self.truth.frames < count],
            detections=self.detections[:count],
            images=self.images[:count],
        )

    def __iter__(self) -> Iterator[tuple[int, Detections, NDArray[np.uint8]]]:
        """Yield stamp in nanoseconds, detections and B, G, R image of each frame."""
        for index, rows in enumerate(self.detections):
            image = _picture(self.images[index]) if self.images else _still()
            yield round(index * 1e9 / self.rate_hz), rows, image


@lru_cache(maxsize=_KEPT_PICTURES)
def _picture(path: Path) -> NDArray[np.uint8]:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"{path}: no image that can be read")
    return np.asarray(image, np.uint8)


@lru_cache(maxsize=1)
def _still() -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 255, (64, 80, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(noise, (640, 512), interpolation=cv2.INTER_CUBIC), np.uint8)


def by_score(rows: MotDetections, number: int) -> Detections:
    """A frame's detections, highest score first."""
    start, stop = np.searchsorted(rows.frames, (number, number + 1))
    found = rows.rows[start:stop]
    return found[np.argsort(-found.scores, kind="stable")]


def read_folder(folder: Path) -> list[Sequence]:
    """The sequences of a folder in MOTChallenge's layout; it may be one itself.

    Raises:
        DataError: there is none, a file is malformed, or images are fewer than frames.
    """
    found = [each.parent.parent for each in sorted(folder.glob("**/det/det.txt"))]
    if not found:
        raise DataError(f"{folder}: holds no det/det.txt; give a folder of MOTChallenge sequences")
    return [_read_sequence(each, folder.name) for each in found]


def _read_sequence(folder: Path, kind: str) -> Sequence:
    there, rows = (
        read_truth(folder / "gt" / "gt.txt"),
        read_detections(folder / "det" / "det.txt"),
    )
    count = int(max(there.frames[-1], rows.frames.max(initial=1)))
    classless = np.zeros(len(rows.rows), np.int32)
    rows = MotDetections(rows.frames, replace(rows.rows, class_ids=classless))
    images = tuple(sorted((folder / "img1").glob("*.[jp][pn]g")))
    if images and len(images) < count:
        raise DataError(f"{folder}/img1: {len(images)} images for {count} frames")
    return Sequence(
        kind,
        "det.txt",
        _rate(folder / "seqinfo.ini"),
        ALL,
        TrackTable(
            there.frames - 1,
            there.ids,
            there.boxes,
            np.where(there.regions, ANY_CLASS, 0).astype(np.int32),
            there.ignored,
        ),
        tuple(by_score(rows, number) for number in range(1, count + 1)),
        images[:count],
    )


def _rate(path: Path) -> float:
    info = configparser.ConfigParser()
    try:
        info.read(path, encoding="utf-8")
        rate_hz = info.getfloat("Sequence", "frameRate", fallback=float(RATE_HZ))
    except (configparser.Error, ValueError):
        rate_hz = 0.0
    if not 0.0 < rate_hz < 1000.0:
        raise DataError(f"{path}: give it a line [Sequence] and frameRate=30, or whatever it is")
    return rate_hz
