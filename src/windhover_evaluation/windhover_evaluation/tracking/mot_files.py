"""Scores of tracks in files: MOTChallenge or COCO truth against a MOTChallenge result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windhover import __version__
from windhover.errors import ConfigError, DataError
from windhover.files import write_json
from windhover.health.metrics import FORMAT
from windhover_evaluation.detection.categories import LabelMap
from windhover_evaluation.report.baseline import Baseline, Comparison, baseline_part
from windhover_evaluation.report.metrics import tracking_metrics
from windhover_evaluation.report.page import ReportData, Timeline, write_report
from windhover_evaluation.tracking.coco_truth import is_coco, read_coco_tracks
from windhover_evaluation.tracking.mot_truth import CLASS_NAMES, MotFile, read_result, read_truth
from windhover_evaluation.tracking.scores import (
    ANY_CLASS,
    TrackScores,
    TrackTable,
    evaluate_tracks,
)

#: Label of everything where classes are not looked at.
ALL = ("all",)

_LEFT_OUT = -2


@dataclass(frozen=True, slots=True)
class MotPair:
    """A truth and a result that can be scored.

    Attributes:
        truth: the objects to be tracked; rows with flag 0 are ignored.
        result: the tracks.
        labels: what both tables' ``class_ids`` index.
        first: number of the first frame of either.
        frames: how many frames there are, from the first to the last of either.
        warnings: what was left out, or does not agree between the two files.
    """

    truth: TrackTable
    result: TrackTable
    labels: tuple[str, ...]
    first: int
    frames: int
    warnings: tuple[str, ...]


def read_pair(
    truth: str | Path,
    result: str | Path,
    labels: Sequence[str] | None = None,
    truth_labels: Sequence[str] | None = None,
    mapping: Mapping[str, str] | None = None,
) -> MotPair:
    """Read a truth and a result file.

    Args:
        truth: see :mod:`.mot_truth`; rows with flag 0 need not be tracked, and a track
            on one is not scored. A ``.json`` is COCO truth with track ids
            (:mod:`.coco_truth`), its first image being frame 1.
        result: ``frame,id,x,y,w,h,score[,class,-1,-1]``.
        labels: names of the result's classes 0, 1, ...; each is then scored apart.
            Without them all boxes are one class.
        truth_labels: names of the truth's classes 1, 2, ... (MOTChallenge counts from
            1), or one key of :data:`.mot_truth.CLASS_NAMES`; default VisDrone's where
            the file is VisDrone's, else ``labels``. Which of them is which label is in
            :mod:`windhover_evaluation.detection.categories`; objects of other classes
            are left out.
        mapping: label by truth label; it comes before that table.

    Raises:
        DataError: a file can't be read or a row of it is malformed, see
            :func:`.mot_truth.read_truth`, classes are asked for and a file has none, or
            the truth has no object to track.
        ConfigError: truth labels or a mapping without labels, or truth labels for a COCO
            file, which has its own.
    """
    if (truth_labels or mapping) and not labels:
        raise ConfigError("--truth-labels and --map need --labels: name the result's classes too")
    if truth_labels and is_coco(truth):
        raise ConfigError(f"--truth-labels is for MOTChallenge truth; {truth} names its classes")
    names = tuple(labels) if labels else ALL
    warnings: list[str] = []
    if is_coco(truth):
        coco = read_coco_tracks(truth, labels, mapping)
        truth_table, truth_span, rows = coco.table, (1, coco.frames), len(coco.table)
        warnings.extend(coco.warnings)
    else:
        there = read_truth(truth, bool(labels))
        truth_span, rows = (int(there.frames[0]), int(there.frames[-1])), len(there.ids)
        if labels:
            found_classes = _truth_classes(there, names, truth_labels, mapping, warnings)
            truth_table = _table(there, *found_classes)
        else:
            classes = np.where(there.regions, ANY_CLASS, 0).astype(np.int32)
            truth_table = _table(there, classes, there.ignored)
    found = read_result(result, bool(labels))
    result_classes = (
        _result_classes(found, names, warnings) if labels else np.zeros(len(found.ids), np.int32)
    )
    result_table = _table(found, result_classes, found.ignored)
    if truth_table.ignored.all():
        raise DataError(
            f"{truth}: none of its {rows} rows is an object of {', '.join(names)} that is to be "
            "tracked, so there is nothing to score"
        )
    spans = [truth_span, (int(found.frames[0]), int(found.frames[-1]))]
    # COCO truth lists its frames; a result of fewer has nothing in the others.
    inside = is_coco(truth) and spans[0][0] <= spans[1][0] and spans[1][1] <= spans[0][1]
    if spans[0] != spans[1] and not inside:
        warnings.append(
            f"truth covers frames {spans[0][0]} to {spans[0][1]}, result {spans[1][0]} to "
            f"{spans[1][1]}: objects and tracks outside the other's frames count as misses and "
            "false alarms"
            + (
                "; does one count from 0 and the other from 1?"
                if 0 in (s[0] for s in spans)
                else ""
            )
        )
    first = min(span[0] for span in spans)
    last = max(span[1] for span in spans)
    return MotPair(truth_table, result_table, names, first, last - first + 1, tuple(warnings))


def _truth_classes(
    rows: MotFile,
    labels: Sequence[str],
    truth_labels: Sequence[str] | None,
    mapping: Mapping[str, str] | None,
    warnings: list[str],
) -> tuple[NDArray[np.int32], NDArray[np.bool_]]:
    """Indices into ``labels`` of a truth's rows, _LEFT_OUT for some, and which are ignored."""
    names = tuple(truth_labels or (CLASS_NAMES["visdrone"] if rows.visdrone else labels))
    if len(names) == 1 and names[0].casefold() in CLASS_NAMES:
        names = CLASS_NAMES[names[0].casefold()]
    if (rows.class_ids < 0).all():
        raise _no_classes(rows.path)
    found = LabelMap.of(names, labels, mapping, rows.path)
    index = np.array(
        [
            ANY_CLASS if name in found.ignored else found.indices.get(name, _LEFT_OUT)
            for name in names
        ]
        + [_LEFT_OUT],
        np.int32,
    )
    numbers = rows.class_ids - 1
    inside = (numbers >= 0) & (numbers < len(names))
    classes = index[np.where(inside, numbers, len(names))]
    classes[rows.regions] = ANY_CLASS
    _warn_of_left_out(classes, labels, rows.path, warnings)
    return classes, rows.ignored | (classes == ANY_CLASS)


def _result_classes(rows: MotFile, labels: Sequence[str], warnings: list[str]) -> NDArray[np.int32]:
    """A result's class numbers, _LEFT_OUT for those that are none of ``labels``."""
    if (rows.class_ids < 0).all():
        raise _no_classes(rows.path)
    inside = (rows.class_ids >= 0) & (rows.class_ids < len(labels))
    classes = np.where(inside, rows.class_ids, _LEFT_OUT).astype(np.int32)
    _warn_of_left_out(classes, labels, rows.path, warnings)
    return classes


def _no_classes(path: str) -> DataError:
    return DataError(f"{path}: its rows have no class; leave out --labels to score without")


def _warn_of_left_out(
    classes: NDArray[np.int32], labels: Sequence[str], path: str, warnings: list[str]
) -> None:
    count = int(np.count_nonzero(classes == _LEFT_OUT))
    if count:
        warnings.append(f"{path}: {count} rows of classes other than {', '.join(labels)} left out")


def _table(rows: MotFile, classes: NDArray[np.int32], ignored: NDArray[np.bool_]) -> TrackTable:
    table = TrackTable(rows.frames, rows.ids, rows.boxes, classes, ignored)
    return table[classes != _LEFT_OUT]


def evaluate_mot(
    pair: MotPair,
    out_dir: str | Path,
    facts: dict[str, str],
    baseline: Baseline | None = None,
) -> tuple[TrackScores, list[Comparison]]:
    """Score a pair and write ``metrics.json`` and ``report.html``.

    Args:
        pair: from :func:`read_pair`.
        out_dir: folder; made if need be.
        facts: shown with the scores, such as the files' names.
        baseline: an earlier run to compare this one with.

    Returns:
        The scores, and those of the baseline beside them.

    Raises:
        DataError: an id occurs twice in a frame, or a result can't be written.
    """
    scores = evaluate_tracks(pair.truth, pair.result, pair.labels, pair.frames)
    about = {
        **facts,
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "windhover": __version__,
    }
    metrics: dict[str, Any] = {
        "format": FORMAT,
        "run": about,
        "tracking": tracking_metrics(scores),
        "warnings": list(pair.warnings),
    }
    compared = baseline.against(metrics) if baseline else []
    out = Path(out_dir)
    write_json(out / "metrics.json", {**metrics, **baseline_part(compared)})
    write_report(
        ReportData(
            title="Tracks against truth",
            subtitle="HOTA, CLEAR MOT and identity scores of one sequence",
            facts=about,
            tracking=scores,
            baseline=compared,
            timeline=_timeline(pair),
            warnings=pair.warnings,
        ),
        out / "report.html",
    )
    return scores, compared


def _timeline(pair: MotPair) -> Timeline:
    counts = {
        name: np.bincount(table.frames[~table.ignored] - pair.first, minlength=pair.frames)
        for name, table in (("objects", pair.truth), ("tracks", pair.result))
    }
    times = np.arange(pair.frames, dtype=np.float64)
    return Timeline(times, counts, f"frame after frame {pair.first}")
