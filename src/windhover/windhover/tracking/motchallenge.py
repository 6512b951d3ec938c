"""MOTChallenge text files: detections in, results out.

One row a box, fields separated by commas (or by blanks)::

    frame, id, x, y, w, h, score[, class | , x, y, z]

``x, y`` is the top-left corner in pixels, read without an offset: the benchmark
counts pixels from 1, and result files use the same grid as the detections.
The eighth field is a class index in rows of 8 or 9 fields, and in rows of 10
when it is a whole number from 0 on and the last two are -1; else it is the
world coordinate x, which is not used, and the class is 0. Scores may have any
range: they are compared to the tracker's thresholds without scaling. A byte order
mark and a comma at the end of a row are accepted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from windhover.errors import ConfigError, DataError
from windhover.files import atomic_path
from windhover.tracking import Tracker, make_tracker
from windhover.types import Detections, Tracks

_MIN_FIELDS = 7
_FIELDS = "frame,id,x,y,w,h,score"
# Every frame number up to the last is stepped through; beyond this (92 hours
# at 30 Hz) a number is a mistake, such as a time stamp in its place.
MAX_FRAME = 10_000_000
# No pixel is that far out, and squares of it fit any float.
_LARGEST = 1e9


@dataclass(frozen=True, slots=True)
class MotDetections:
    """The rows of a detection file, by frame.

    Attributes:
        frames: ``(N,)`` int64 frame numbers, ascending.
        rows: the ``N`` boxes in the same order; scores are not sorted.
    """

    frames: NDArray[np.int64]
    rows: Detections

    @property
    def numbers(self) -> range:
        """Every frame number from 1 (or 0, if the file has one) to the last."""
        if not len(self.frames):
            return range(0)
        return range(min(1, int(self.frames[0])), int(self.frames[-1]) + 1)

    def __iter__(self) -> Iterator[tuple[int, Detections]]:
        """Yield the frames of :attr:`numbers`; those without a row have no detections."""
        numbers = self.numbers
        edges = np.searchsorted(self.frames, np.arange(numbers.start, numbers.stop + 1))
        for number, start, end in zip(numbers, edges[:-1], edges[1:], strict=True):
            yield number, self.rows[start:end]


@dataclass(frozen=True, slots=True)
class TrackFileSummary:
    """Summary of tracking a detection file.

    Attributes:
        frames: frames stepped through, those without detections included.
        detections: rows read.
        tracks: different track ids written.
        boxes: rows written.
        seconds: length of the sequence at the given rate.
    """

    frames: int
    detections: int
    tracks: int
    boxes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class MotRows:
    """The rows of any MOTChallenge file, by frame.

    Attributes:
        frames: ``(N,)`` int64 frame numbers, ascending.
        ids: ``(N,)`` float64 second field.
        boxes: ``(N, 4)`` float64 x1, y1, x2, y2, pixels.
        seventh: ``(N,)`` float64: a detection's score, a truth's flag.
        class_ids: ``(N,)`` int32 as the file has them, -1 where it has none.
        extra: ``(N, 3)`` float64 fields eight to ten, NaN where a row has fewer.
        lines: ``(N,)`` int64 line number of each row, from 1.
    """

    frames: NDArray[np.int64]
    ids: NDArray[np.float64]
    boxes: NDArray[np.float64]
    seventh: NDArray[np.float64]
    class_ids: NDArray[np.int32]
    extra: NDArray[np.float64]
    lines: NDArray[np.int64]


def read_detections(path: Path | str) -> MotDetections:
    """Read a detection file; rows may be in any order.

    Args:
        path: the file. One without rows gives no detections.

    Raises:
        DataError: it can't be read, or a row is malformed: too few fields, no
            number, NaN or infinite, a width or height of 0 or less, a frame
            number that is negative, not whole or beyond :data:`MAX_FRAME`. The
            message names the line.
    """
    rows = read_rows(path, "detection")
    return MotDetections(
        frames=rows.frames,
        rows=Detections(
            rows.boxes.astype(np.float32),
            rows.seventh.astype(np.float32),
            np.maximum(rows.class_ids, 0),
        ),
    )


def read_rows(path: Path | str, kind: str) -> MotRows:
    """Read the rows of a MOTChallenge file, sorted by frame.

    Args:
        path: the file.
        kind: what it should be, for messages.

    Raises:
        DataError: as :func:`read_detections`.
    """
    path = Path(path)
    values: list[tuple[float, ...]] = []
    try:
        with path.open(encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    values.append((number, *_parse(line, f"{path} line {number}")))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; give a MOTChallenge {kind} file") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file; give a MOTChallenge {kind} file") from None
    table = np.array(values, np.float64).reshape(-1, 12)
    table = table[np.argsort(table[:, 1], kind="stable")]
    return MotRows(
        frames=table[:, 1].astype(np.int64),
        ids=table[:, 2],
        boxes=np.concatenate((table[:, 3:5], table[:, 3:5] + table[:, 5:7]), axis=1),
        seventh=table[:, 7],
        class_ids=table[:, 8].astype(np.int32),
        extra=table[:, 9:],
        lines=table[:, 0].astype(np.int64),
    )


def _parse(line: str, where: str) -> tuple[float, ...]:
    """Frame, id, x, y, w, h, field seven, class (-1 for none) and fields eight to ten."""
    fields = line.split(",") if "," in line else line.split()
    while fields and not fields[-1].strip():
        fields.pop()
    if len(fields) < _MIN_FIELDS:
        raise DataError(f"{where}: {len(fields)} fields; needs at least {_FIELDS}")
    try:
        values = [float(field) for field in fields]
    except ValueError as error:
        raise DataError(f"{where}: {error}; fields are {_FIELDS}") from None
    frame, number, x, y, width, height, score = values[:_MIN_FIELDS]
    if not all(abs(value) < _LARGEST for value in values[:_MIN_FIELDS]):
        raise DataError(f"{where}: NaN, infinite or huge value; remove the row or write a number")
    if frame != int(frame) or not 0 <= frame <= MAX_FRAME:
        raise DataError(f"{where}: frame {fields[0].strip()} is not a whole number from 0 on")
    if width <= 0 or height <= 0:
        raise DataError(f"{where}: box of {width:g} x {height:g} px; width and height must be > 0")
    rest = values[_MIN_FIELDS:]
    extra = [*rest, math.nan, math.nan, math.nan][:3]
    return frame, number, x, y, width, height, score, _class_of(rest, where), *extra


def _class_of(extra: list[float], where: str) -> int:
    """Class index of the fields after the score, -1 where they hold none."""
    if len(extra) not in {1, 2} and not (len(extra) == 3 and extra[1:] == [-1.0, -1.0]):
        return -1
    value = extra[0]
    if 0 <= value < 2**31 and value == int(value):
        return int(value)
    if value == -1.0 or len(extra) == 3:
        return -1
    raise DataError(f"{where}: class {value:g} is not a whole number from 0 on")


def format_rows(frame: int, tracks: Tracks, classes: bool = False) -> str:
    """Result rows of one frame, ``frame,id,x,y,w,h,score,-1,-1,-1`` a line.

    Args:
        frame: number of the frame.
        tracks: of that frame.
        classes: write the class index in the first of the last three fields.
    """
    corners = tracks.boxes.astype(np.float64)
    sides = corners[:, 2:] - corners[:, :2]
    return "".join(
        f"{frame},{track_id},{x:.3f},{y:.3f},{w:.3f},{h:.3f},{score:.4f},{label},-1,-1\n"
        for track_id, (x, y), (w, h), score, label in zip(
            tracks.track_ids.tolist(),
            corners[:, :2].tolist(),
            sides.tolist(),
            tracks.scores.tolist(),
            tracks.class_ids.tolist() if classes else [-1] * len(tracks),
            strict=True,
        )
    )


def write_mot(
    path: Path | str, results: Iterable[tuple[int, Tracks]], classes: bool = False
) -> None:
    """Write a result file atomically: on failure the existing one is untouched.

    Args:
        path: the file; its folder is made if need be.
        results: frame number and tracks, in the order to be written.
        classes: as :func:`format_rows` takes it.

    Raises:
        DataError: it can't be written.
    """
    try:
        with atomic_path(Path(path)) as part, part.open("w", encoding="utf-8") as file:
            file.writelines(format_rows(number, rows, classes) for number, rows in results)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; choose another place for results") from None


def track_file(
    detections: Path | str,
    out: Path | str,
    rate_hz: float = 30.0,
    tracker: Tracker | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> TrackFileSummary:
    """Track a detection file into a result file.

    Every frame number from the first to the last advances the tracker by one
    period, whether the file has rows for it or not.

    Args:
        detections: detection file, see the module's description.
        out: result file; written atomically at the end.
        rate_hz: frames a second of the sequence.
        tracker: a new one; ``None`` for :func:`windhover.tracking.make_tracker`'s default.
        progress: called with frames done and frames in all.

    Raises:
        DataError: a file can't be read or written, or a row is malformed.
        ConfigError: the rate is not a positive number.
    """
    if not (math.isfinite(rate_hz) and rate_hz > 0):
        raise ConfigError(f"rate {rate_hz:g} Hz: must be a positive number of frames a second")
    read = read_detections(detections)
    tracker = tracker or make_tracker()
    period_ns = 1e9 / rate_hz
    total = len(read.numbers)
    ids: set[int] = set()
    boxes = 0

    def results() -> Iterator[tuple[int, Tracks]]:
        nonlocal boxes
        for done, (number, rows) in enumerate(read, 1):
            tracks = tracker.update(rows, round(number * period_ns))
            ids.update(tracks.track_ids.tolist())
            boxes += len(tracks)
            yield number, tracks
            if progress is not None:
                progress(done, total)

    write_mot(out, results(), classes=bool(read.rows.class_ids.any()))
    return TrackFileSummary(
        frames=total,
        detections=len(read.frames),
        tracks=len(ids),
        boxes=boxes,
        seconds=total / rate_hz,
    )
