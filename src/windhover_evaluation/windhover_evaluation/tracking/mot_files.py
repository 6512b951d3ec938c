"""Scores of MOTChallenge files: a truth file against a result file."""

from __future__ import annotations

from collections.abc import Sequence
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
from windhover.tracking.motchallenge import MotTracks, read_tracks
from windhover_evaluation.report.baseline import Baseline, Comparison, baseline_part
from windhover_evaluation.report.metrics import tracking_metrics
from windhover_evaluation.report.page import ReportData, Timeline, write_report
from windhover_evaluation.tracking.scores import TrackScores, TrackTable, evaluate_tracks

#: Label of everything where classes are not looked at.
ALL = ("all",)


@dataclass(frozen=True, slots=True)
class MotPair:
    """A truth and a result that can be scored.

    Attributes:
        truth: what is there; rows with flag 0 are ignored regions.
        result: what was tracked.
        labels: what both tables' ``class_ids`` index.
        first: number of the first frame of either.
        frames: how many frames there are, from the first to the last of either.
        warnings: what was passed over or does not go together.
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
) -> MotPair:
    """Read a truth and a result file.

    Args:
        truth: ``frame,id,x,y,w,h,flag,class,visibility``; rows with flag 0 need not
            be tracked, and a track on one is not judged.
        result: ``frame,id,x,y,w,h,score[,class,-1,-1]``.
        labels: names of the result's classes 0, 1, ...; each is then scored apart.
            Without them all boxes are one class.
        truth_labels: names of the truth's classes 1, 2, ... (MOTChallenge counts from
            1); default ``labels``. Objects of other classes are left out.

    Raises:
        DataError: a file can't be read or a row of it is malformed, see
            :func:`windhover.tracking.motchallenge.read_tracks`, or classes are asked
            for and a file has none.
        ConfigError: truth labels without labels.
    """
    if truth_labels and not labels:
        raise ConfigError("truth labels without labels: name the result's classes too (--labels)")
    there, found = read_tracks(truth), read_tracks(result)
    warnings: list[str] = []
    names = tuple(labels or ALL)
    if labels:
        known = tuple(truth_labels or labels)
        truth_classes = _named(there.class_ids - 1, known, names, str(truth), warnings)
        result_classes = _named(found.class_ids, names, names, str(result), warnings)
    else:
        truth_classes = np.zeros(len(there.ids), np.int32)
        result_classes = np.zeros(len(found.ids), np.int32)
    spans = [(int(each.frames[0]), int(each.frames[-1])) for each in (there, found)]
    if spans[0] != spans[1]:
        warnings.append(
            f"truth covers frames {spans[0][0]} to {spans[0][1]}, result {spans[1][0]} to "
            f"{spans[1][1]}: what only one of them has counts as misses or false alarms"
        )
    first = min(span[0] for span in spans)
    last = max(span[1] for span in spans)
    return MotPair(
        _table(there, truth_classes, there.seventh == 0),
        _table(found, result_classes, np.zeros(len(found.ids), np.bool_)),
        names,
        first,
        last - first + 1,
        tuple(warnings),
    )


def _named(
    numbers: NDArray[np.int32],
    names: Sequence[str],
    labels: Sequence[str],
    path: str,
    warnings: list[str],
) -> NDArray[np.int32]:
    """Indices into ``labels`` of a file's class numbers, -1 for those left out."""
    if (numbers < 0).all():
        raise DataError(f"{path}: its rows have no class; leave out --labels to score without")
    index = np.array(
        [labels.index(name) if name in labels else -1 for name in names] + [-1], np.int32
    )
    inside = (numbers >= 0) & (numbers < len(names))
    chosen = index[np.where(inside, numbers, len(names))]
    if (chosen < 0).any():
        count = int(np.count_nonzero(chosen < 0))
        warnings.append(f"{path}: {count} rows of classes other than {', '.join(labels)} left out")
    return chosen


def _table(rows: MotTracks, classes: NDArray[np.int32], ignored: NDArray[np.bool_]) -> TrackTable:
    table = TrackTable(rows.frames, rows.ids, rows.boxes, classes, ignored)
    return table[classes >= 0]


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
        facts: what to say of the run, such as the files' names.
        baseline: an earlier run to hold this one against.

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
        name: np.bincount(table.frames - pair.first, minlength=pair.frames)
        for name, table in (("objects", pair.truth), ("tracks", pair.result))
    }
    times = np.arange(pair.frames, dtype=np.float64)
    return Timeline(times, counts, f"frame after frame {pair.first}")
