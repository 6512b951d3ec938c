"""Scores many recordings, each in a process of its own, on this machine or on a cluster.

Writes a folder for each recording, as ``windhover evaluate bag`` does for one, and
``scores.json`` over all of them, which holds no times: with ``--rate 0`` it is byte-for-byte the
same whatever the number of workers.
"""

from __future__ import annotations

import glob
import json
import math
import os
import shutil
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from windhover.errors import ConfigError, DataError, SourceError
from windhover.files import write_json
from windhover.sources import is_bag
from windhover_evaluation.detection.operating_points import OperatingPoint, ratio
from windhover_evaluation.fan_out import open_workers

FORMAT = "windhover-bags/1"
_MEANS = {"detection": ("mAP50", "mAP50-95", "AR"), "tracking": ("HOTA", "DetA", "AssA", "IDF1")}
_COUNTS = ("true_positives", "false_positives", "false_negatives")
_TRACK_COUNTS = (*_COUNTS, "objects", "id_switches", "fragments")


@dataclass(frozen=True, slots=True)
class BagRun:
    """One recording and how it is scored.

    Attributes:
        name: of its folder.
        bag: as given on the command line.
        truth: its truth, if it has one.
        baseline: metrics.json of an earlier run, likewise.
        words: other words of the command line, ROS arguments last.
        folder: all recordings' results, absolute.
        cwd: what relative paths start from.
    """

    name: str
    bag: str
    truth: Path | None
    baseline: Path | None
    words: tuple[str, ...]
    folder: Path
    cwd: Path


def plan_runs(
    bags: Sequence[str],
    out: Path,
    truth: Path | None,
    baseline: Path | None,
    words: Sequence[str],
) -> list[BagRun]:
    """The runs of several recordings, in their order.

    Args:
        bags: as given on the command line.
        out: folder for all results.
        truth: of one recording, with ``{bag}`` where its name stands.
        baseline: folder of an earlier run over the same recordings.
        words: of the command line, as :class:`BagRun` has them.

    Raises:
        ConfigError: two recordings have one name, or all would have one truth.
        SourceError: one is no recording.
        DataError: the truth of one is not there.
    """
    names = [bag_name(bag) for bag in bags]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ConfigError(f"two recordings are called {twice[0]}; rename one, or score it apart")
    if truth is not None and "{bag}" not in str(truth):
        raise ConfigError(
            f"--truth {truth}: several recordings have a truth each; write {{bag}} where the "
            "recording's name stands, such as truth/{bag}.json"
        )
    for bag in bags:
        if not is_bag(bag):
            raise SourceError(f"{bag} is no rosbag2")
    truths = [truth_of(truth, bag) for bag in bags]
    for path in truths:
        if path is not None and not path.is_file():
            raise DataError(f"{path}: there is no such truth; leave its recording out")
    before = [None if baseline is None else baseline / name for name in names]
    return [
        BagRun(name, bag, known, earlier, tuple(words), out.absolute(), Path.cwd())
        for name, bag, known, earlier in zip(names, bags, truths, before, strict=True)
    ]


def bag_name(bag: str) -> str:
    """The folder's name, or the file's without its suffix."""
    path = Path(bag).absolute()
    return path.name if path.is_dir() else path.stem


def truth_of(truth: Path | None, bag: str) -> Path | None:
    """The truth of one recording, whose name stands for ``{bag}``."""
    return None if truth is None else Path(str(truth).replace("{bag}", bag_name(bag)))


def score_bags(
    runs: Sequence[BagRun],
    count: int,
    cluster: str | None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Score recordings and write ``scores.json``.

    Args:
        runs: as :func:`plan_runs` gives them; at least one.
        count: processes on this machine.
        cluster: address of a Dask scheduler, whose workers do it instead.
        progress: called with recordings done and recordings in all.

    Returns:
        What ``scores.json`` holds. A recording that could not be scored is in it with the
        reason, and stops no other.

    Raises:
        ConfigError: as :func:`~windhover_evaluation.fan_out.open_workers`.
        DataError: a file can't be written.
    """
    out = runs[0].folder
    given = [Path(run.bag) for run in runs]
    given += [run.truth for run in runs if run.truth is not None]
    inputs = dict.fromkeys(path.absolute().parent for path in given)
    with open_workers(
        count, cluster, inputs=list(inputs), out=out, packages=["windhover_bringup"]
    ) as workers:
        results = list(workers.map(score_bag, runs, progress=progress))
    for run in runs:  # of workers that died
        for left in out.glob(f".{glob.escape(run.name)}.*.partial"):
            shutil.rmtree(left, ignore_errors=True)
    bags = {run.name: result for run, result in zip(runs, results, strict=True)}
    document = {"format": FORMAT, "bags": bags, **summarise(list(bags.values()))}
    write_json(out / "scores.json", document)
    return document


def score_bag(run: BagRun) -> dict[str, Any]:
    """Score one recording in a process of its own, and give its folder its name at the end.

    Returns:
        Its frames and scores; ``failure`` where it has none.
    """
    if not run.cwd.is_dir():
        raise DataError(f"{run.cwd}: not there on a worker; mount it there under the same path")
    attempt = run.folder / f".{run.name}.{uuid.uuid4().hex[:8]}.partial"
    folder = attempt / run.name
    words = ["evaluate", "bag", run.bag, "--out", str(folder)]
    words += [] if run.truth is None else ["--truth", str(run.truth)]
    words += [] if run.baseline is None else ["--baseline", str(run.baseline)]
    attempt.mkdir(parents=True)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "windhover_bringup.scoring.bag_process", *words, *run.words],
            cwd=run.cwd,
            # Runs beside each other must not hear each other.
            env={**os.environ, "ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        metrics = folder / "metrics.json"
        # 1: a score is worse than the baseline's.
        if ended.returncode not in {0, 1} or not metrics.is_file():
            lines = ended.stderr.strip().splitlines()
            return {"failure": lines[-1] if lines else f"ended with {ended.returncode}"}
        found = json.loads(metrics.read_text(encoding="utf-8"))
        target = run.folder / run.name
        if target.exists():
            target.rename(attempt / "before")
        folder.rename(target)
    finally:
        shutil.rmtree(attempt, ignore_errors=True)
    return _scores_of(found)


def _scores_of(metrics: Mapping[str, Any]) -> dict[str, Any]:
    run = metrics["run"]
    scores = {
        "frames": int(run["frames"]),
        "frames_dropped": int(run["frames_dropped"]),
        **{part: metrics[part]["overall"] for part in _MEANS if part in metrics},
    }
    if "baseline" in metrics:
        verdicts = [row["verdict"] for row in metrics["baseline"]]
        scores["worse_than_baseline"] = sum(each in {"worse", "gone"} for each in verdicts)
    return scores


def summarise(bags: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What all recordings have together.

    Args:
        bags: as :func:`score_bag` gives them.

    Returns:
        ``all``: counts added up and the scores that follow from them; ``mean``: of the
        recordings' own scores, for those that do not add up.
    """
    scored = [bag for bag in bags if "failure" not in bag]
    added: dict[str, Any] = {
        "recordings": len(bags),
        "failed": len(bags) - len(scored),
        "frames": sum(bag["frames"] for bag in scored),
        "frames_dropped": sum(bag["frames_dropped"] for bag in scored),
    }
    total = partial(_total, scored)
    if any("detection" in bag for bag in scored):
        counts = {name: total("detection", name) for name in _COUNTS}
        point = OperatingPoint(None, **counts)
        added["detection"] = {
            **counts,
            "precision": _known(point.precision),
            "recall": _known(point.recall),
            "f1": _known(point.f1),
        }
    if any("tracking" in bag for bag in scored):
        counts = {name: total("tracking", name) for name in _TRACK_COUNTS}
        errors = counts["false_positives"] + counts["false_negatives"] + counts["id_switches"]
        share = ratio(errors, counts["true_positives"] + counts["false_negatives"])
        added["tracking"] = {**counts, "MOTA": _known(1.0 - share)}
    means = {
        part: {name: _mean([bag[part][name] for bag in scored if part in bag]) for name in names}
        for part, names in _MEANS.items()
        if part in added
    }
    return {"all": added, "mean": means}


def _total(bags: Sequence[Mapping[str, Any]], part: str, name: str) -> int:
    return sum(int(bag[part][name]) for bag in bags if part in bag)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
