"""MOTChallenge truth and result files as tables: those of MOT15 to MOT20, VisDrone and ours.

A truth row is ``frame, id, x, y, w, h, flag[, class[, visibility]]``. VisDrone's MOT and VID
sets write ten fields, ``..., score, category, truncation, occlusion``, where a score of 0
and category 0 mark a region that is not scored; many of those share one id, or have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from windhover.errors import DataError
from windhover.tracking.motchallenge import MotRows, read_rows

#: Names of the classes 1, 2, ... of sets whose truth files hold numbers alone.
CLASS_NAMES: Final = {
    "visdrone": (
        "pedestrian", "people", "bicycle", "car", "van", "truck", "tricycle",
        "awning-tricycle", "bus", "motor", "others",
    ),
    "mot17": (
        "pedestrian", "rider", "car", "bicycle", "motorbike", "non motorised vehicle",
        "static person", "distractor", "occluder", "occluder on the ground", "occluder full",
        "reflection", "crowd",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class MotFile:
    """The rows of a truth or result file, by frame.

    Attributes:
        path: the file.
        frames: ``(N,)`` int64 frame numbers, ascending.
        ids: ``(N,)`` int64 object or track ids.
        boxes: ``(N, 4)`` float64 x1, y1, x2, y2, pixels.
        class_ids: ``(N,)`` int32 as the file has them, -1 where it has none.
        ignored: ``(N,)`` bool, objects that need not be tracked (flag 0).
        regions: ``(N,)`` bool, ignored rows of no object: they hide tracks of any class.
        visdrone: whether the rows are written as VisDrone writes them.
    """

    path: str
    frames: NDArray[np.int64]
    ids: NDArray[np.int64]
    boxes: NDArray[np.float64]
    class_ids: NDArray[np.int32]
    ignored: NDArray[np.bool_]
    regions: NDArray[np.bool_]
    visdrone: bool = False


def read_truth(path: str | Path, by_class: bool = False) -> MotFile:
    """Read a truth file; rows may be in any order.

    Args:
        path: the file.
        by_class: ids are unique within a class, not over all of them.

    Raises:
        DataError: it can't be read, has no row, or a row is malformed, see
            :func:`windhover.tracking.motchallenge.read_detections`; an id is not an
            integer, or one object has two boxes in a frame. The message names the line.
    """
    rows = _rows(path)
    visdrone = _is_visdrone(rows)
    class_ids = rows.extra[:, 0].astype(np.int32) if visdrone else rows.class_ids
    ignored = rows.seventh == 0
    regions = ignored & ((rows.ids < 0) | (class_ids == 0))
    _check_ids(rows, class_ids if by_class else np.zeros_like(class_ids), ~ignored, path)
    return MotFile(
        str(path),
        rows.frames,
        rows.ids.astype(np.int64),
        rows.boxes,
        class_ids,
        ignored,
        regions,
        visdrone,
    )


def read_result(path: str | Path, by_class: bool = False) -> MotFile:
    """Read a result file; arguments and errors are those of :func:`read_truth`."""
    rows = _rows(path)
    classes = rows.class_ids if by_class else np.zeros_like(rows.class_ids)
    _check_ids(rows, classes, np.ones(len(rows.ids), np.bool_), path)
    nothing = np.zeros(len(rows.ids), np.bool_)
    return MotFile(
        str(path),
        rows.frames,
        rows.ids.astype(np.int64),
        rows.boxes,
        rows.class_ids,
        nothing,
        nothing,
    )


def _rows(path: str | Path) -> MotRows:
    rows = read_rows(path, "truth or result")
    if not len(rows.ids):
        raise DataError(f"{path}: holds no rows; give a MOTChallenge truth or result file")
    fractions = np.flatnonzero(rows.ids != np.floor(rows.ids))
    if len(fractions):
        row = fractions[0]
        raise DataError(
            f"{path} line {rows.lines[row]}: id {rows.ids[row]:g} in frame {rows.frames[row]} "
            "is not a whole number"
        )
    return rows


def _is_visdrone(rows: MotRows) -> bool:
    """Whether fields eight to ten are category 0-11, truncation 0-1 and occlusion 0-2."""
    # MOT15's 3D truth has world coordinates there, which are no such integers.
    highest = np.array([11.0, 1.0, 2.0])
    integral = np.isfinite(rows.extra) & (rows.extra == np.floor(rows.extra))
    return bool((integral & (rows.extra >= 0) & (rows.extra <= highest)).all())


def _check_ids(
    rows: MotRows, classes: NDArray[np.int32], objects: NDArray[np.bool_], path: str | Path
) -> None:
    chosen = np.flatnonzero(objects)
    columns = (rows.frames, classes.astype(np.int64), rows.ids.astype(np.int64))
    keys = np.stack([column[chosen] for column in columns], axis=1)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    first_of_each = first[inverse.reshape(-1)]
    again = np.flatnonzero(first_of_each != np.arange(len(chosen)))
    if len(again):
        row, before = chosen[again[0]], chosen[first_of_each[again[0]]]
        raise DataError(
            f"{path} line {rows.lines[row]}: id {rows.ids[row]:.0f} occurs twice in frame "
            f"{rows.frames[row]}, first in line {rows.lines[before]}; make ids unique"
        )
