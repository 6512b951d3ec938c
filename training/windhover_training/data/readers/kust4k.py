"""KUST4K as published: aligned visible-thermal pairs with semantic masks.

Source: "An RGB-TIR Dataset from UAV Platform for Robust Urban Traffic Scenes Semantic
Segmentation", Scientific Data (2025), doi 10.1038/s41597-025-05994-7: 4,024 pairs, 640x512.

``RGB/``, ``TIR/`` and ``Seg_annos/`` hold files of one name, ``00001D.png``; the letter is D
for day or N for night. A mask's values are 0 unlabelled, 1 road, 2 building, 3 motorcycle,
4 car, 5 truck, 6 tree, 7 human, 8 traffic facilities.

A mask knows classes and no objects. A box here is a connected component of one class, so
cars that are parked against each other become one. Such a component is recognised by its area,
more than :data:`MERGED` times the median of its class in the whole set, and becomes an
ignore region: neither taught as one huge car nor as background. Large single objects are
lost in this way too. The summary tells how many. Pixels of ``unlabelled`` stay background.

The set names no flights. Frames of one light whose numbers follow each other were taken
together, so runs of :data:`BLOCK` numbers stand in for flights; neighbouring blocks may show
the same place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import DataError, SourceError
from windhover.sources.files import read_image
from windhover_training.data.convert.summary import Summary
from windhover_training.data.readers.pairing import list_images
from windhover_training.data.readers.records import RawBox, RawFrame

NAMES = {3: "motorcycle", 4: "car", 5: "truck", 7: "human"}  # the values that are objects
VALUES = 9
#: What a component that holds several objects becomes; a class of the label map.
SEVERAL = "several"
MIN_AREA = 12  # px; smaller specks are slips of the annotator's brush
MERGED = 2.5  # medians
BLOCK = 100

_FOLDERS = {
    "rgb": ("rgb", "visible"),
    "thermal": ("tir", "thermal", "ir"),
    "masks": ("seg_annos", "label", "labels", "masks"),
}


@dataclass(frozen=True, slots=True)
class Component:
    """One connected component of a mask: class, left, top, width, height and area in pixels."""

    category: str
    xywh: tuple[int, int, int, int]
    area: int


def read(root: Path, summary: Summary) -> Iterator[RawFrame]:
    """Read all frames of the visible folder, with boxes from their masks.

    Args:
        root: the folder with ``RGB``, ``TIR`` and ``Seg_annos``, in any case of letters.
        summary: receives what is missing and what was merged.

    Yields:
        Frames in order of their names.

    Raises:
        DataError: a folder is missing.
    """
    rgb, thermal, masks = (_folder(root, names) for names in _FOLDERS.values())
    twins = {path.stem: path for path in list_images(thermal)}
    drawn = {path.stem: path for path in list_images(masks)}
    found = []
    for path in list_images(rgb):
        if path.stem not in twins:
            summary.add("dropped", "image: visible without a thermal twin", path.stem)
        elif path.stem not in drawn:
            summary.add("dropped", "image: has no mask", path.stem)
        elif (mask := read_mask(drawn[path.stem], summary)) is not None:
            parts = tuple(components(mask, path.stem, summary))
            found.append((_frame(path, twins[path.stem], mask), parts))
    for stem in sorted(twins.keys() - {path.stem for path in list_images(rgb)}):
        summary.add("dropped", "image: thermal without a visible twin", stem)
    limits = typical_areas(part for _, parts in found for part in parts)
    for frame, parts in found:
        boxes = tuple(_box(part, limits, frame.name, summary) for part in parts)
        yield replace(frame, boxes=boxes)


def _folder(root: Path, names: tuple[str, ...]) -> Path:
    for base in (root, root / "Kust4K"):
        for entry in sorted(base.iterdir()) if base.is_dir() else []:
            if entry.is_dir() and entry.name.lower() in names:
                return entry
    raise DataError(f"{root}: no folder {' or '.join(names)} here; give KUST4K's folder")


def read_mask(path: Path, summary: Summary) -> NDArray[np.uint8] | None:
    """Read one mask, ``(H, W)`` uint8; ``None`` and counted if it is damaged or no mask."""
    try:
        pixels, encoding = read_image(path)
    except SourceError:
        summary.add("dropped", "image: mask is damaged", path.stem)
        return None
    if encoding != "mono8" or int(pixels.max()) >= VALUES:
        summary.add("dropped", "image: mask holds other values than 0..8", path.stem)
        return None
    return np.asarray(pixels, np.uint8)


def _frame(rgb: Path, thermal: Path, mask: NDArray[np.uint8]) -> RawFrame:
    digits = "".join(c for c in rgb.stem if c.isdecimal())
    light = {"D": "day", "N": "night"}.get(rgb.stem[-1:].upper())
    return RawFrame(
        name=rgb.stem,
        flight=f"{light or 'unknown'}-{int(digits or 0) // BLOCK * BLOCK:05d}",
        rgb=rgb,
        thermal=thermal,
        size=(mask.shape[1], mask.shape[0]),
        time_of_day=light,
    )


def components(mask: NDArray[np.uint8], name: str, summary: Summary) -> Iterator[Component]:
    """Find the connected components (8 neighbours) of object classes.

    Args:
        mask: ``(H, W)`` uint8, values as the set has them.
        name: of the frame, for the summary.
        summary: receives the specks that were left out.
    """
    for value, category in NAMES.items():
        count, _, stats, _ = cv2.connectedComponentsWithStats(
            (mask == value).astype(np.uint8), connectivity=8
        )
        for x, y, w, h, area in stats[1:count].tolist():
            if area < MIN_AREA:
                summary.add("dropped", f"box: {category} of under {MIN_AREA} pixels", name)
                continue
            yield Component(category, (x, y, w, h), area)


def typical_areas(parts: Iterable[Component]) -> dict[str, float]:
    """Median area of a component of each class, in pixels; most hold one object."""
    areas: dict[str, list[int]] = {}
    for part in parts:
        areas.setdefault(part.category, []).append(part.area)
    return {category: float(np.median(values)) for category, values in areas.items()}


def _box(part: Component, typical: dict[str, float], name: str, summary: Summary) -> RawBox:
    if part.area <= MERGED * typical[part.category]:
        return RawBox(part.category, part.xywh)
    summary.add("merged", f"box: {part.category}s that touch, now one ignore region", name)
    return RawBox(SEVERAL, part.xywh)
