"""Writes a scored run as MOTChallenge files that other tools take as they are.

In the folder::

    gt/gt.txt  seqinfo.ini                                truth of all classes
    trackeval/<class>/gt/<sequence>/gt/gt.txt  seqinfo.ini
    trackeval/<class>/trackers/windhover/data/<sequence>.txt

``gt/gt.txt`` has ``frame,id,x,y,w,h,flag,class,visibility``, where classes count from 1 in
the order of the labels and flag 0 marks an object that need not be tracked. TrackEval
(https://github.com/JonathonLuiten/TrackEval) scores one class a run and calls it ``pedestrian``,
so there is one folder a class, in which every object has class 1; what need not be tracked is
a distractor, class 8, on which a track counts neither way. Pixels are ours: the outer corner
of the top-left one is 0, 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from windhover.files import write_atomic
from windhover_evaluation.tracking.scores import ANY_CLASS, TrackTable

_PEDESTRIAN, _DISTRACTOR = 1, 8
_TRACKER = "windhover"


@dataclass(frozen=True, slots=True)
class MotSequence:
    """What ``seqinfo.ini`` says of a sequence.

    Attributes:
        name: of its folder and files.
        frames: how many it has.
        rate_hz: frames a second.
        width: of its images, pixels.
        height: likewise.
    """

    name: str
    frames: int
    rate_hz: float
    width: int
    height: int

    def ini(self) -> str:
        """The text of ``seqinfo.ini``."""
        return (
            f"[Sequence]\nname={self.name}\nimDir=img1\nframeRate={self.rate_hz:g}\n"
            f"seqLength={self.frames}\nimWidth={self.width}\nimHeight={self.height}\nimExt=.jpg\n"
        )


def write_mot_folder(
    folder: Path,
    sequence: MotSequence,
    truth: TrackTable,
    result: TrackTable,
    labels: Sequence[str],
) -> None:
    """Write truth and tracks of a run; see the module's text for the files.

    Regions that hide objects of every class are left out: the format has no such thing.

    Args:
        folder: where to.
        sequence: that was run.
        truth: the objects, frames from 0.
        result: the tracks, likewise.
        labels: what the tables' ``class_ids`` index.

    Raises:
        DataError: a file can't be written.
    """
    truth, result = _by_frame(truth[truth.class_ids != ANY_CLASS]), _by_frame(result)
    # The format's ids are positive; those of a truth may count from 0.
    shift = 1 - min(1, int(truth.ids.min(initial=1)))
    truth = replace(truth, ids=truth.ids + shift)
    write_atomic(folder / "gt" / "gt.txt", _truth_rows(truth, truth.class_ids + 1))
    write_atomic(folder / "seqinfo.ini", sequence.ini())
    for number, label in enumerate(labels):
        objects, tracks = truth[truth.class_ids == number], result[result.class_ids == number]
        place = folder / "trackeval" / re.sub(r"[^\w-]+", "_", label)
        classes = np.where(objects.ignored, _DISTRACTOR, _PEDESTRIAN)
        write_atomic(place / "gt" / sequence.name / "gt" / "gt.txt", _truth_rows(objects, classes))
        write_atomic(place / "gt" / sequence.name / "seqinfo.ini", sequence.ini())
        write_atomic(
            place / "trackers" / _TRACKER / "data" / f"{sequence.name}.txt",
            "".join(f"{row},1,-1,-1,-1\n" for row in _rows(tracks)),
        )


def _truth_rows(table: TrackTable, classes: NDArray[np.integer]) -> str:
    flags = (~table.ignored).astype(int).tolist()
    rows = zip(_rows(table), flags, classes.tolist(), strict=True)
    return "".join(f"{row},{flag},{number},1\n" for row, flag, number in rows)


def _by_frame(table: TrackTable) -> TrackTable:
    return table[np.argsort(table.frames, kind="stable")]


def _rows(table: TrackTable) -> list[str]:
    """``frame,id,x,y,w,h`` of each row; frames count from 1."""
    corners = table.boxes
    columns = zip(
        (table.frames + 1).tolist(),
        table.ids.tolist(),
        corners[:, :2].tolist(),
        (corners[:, 2:] - corners[:, :2]).tolist(),
        strict=True,
    )
    return [f"{frame},{n},{x:.3f},{y:.3f},{w:.3f},{h:.3f}" for frame, n, (x, y), (w, h) in columns]
