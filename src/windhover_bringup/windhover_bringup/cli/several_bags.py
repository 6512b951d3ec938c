"""What ``windhover evaluate bag`` prints of several recordings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from windhover.errors import DataError
from windhover.progress import progress
from windhover_bringup.scoring.many_bags import plan_runs, score_bags
from windhover_ros.arguments import ros_arguments


def score_several(
    bags: Sequence[str],
    out: Path,
    truth: Path | None,
    baseline: Path | None,
    words: Sequence[str],
    workers: int,
    cluster: str | None,
) -> None:
    """Score recordings, print a table of them and compare each with its baseline.

    Args:
        bags: as given on the command line.
        out: folder for all results.
        truth: of each, with ``{bag}`` where its name stands.
        baseline: folder of an earlier run over the same recordings.
        words: of the command line, for each of them.
        workers: how many at once on this machine.
        cluster: address of a Dask scheduler, whose workers do it instead.

    Raises:
        WindhoverError: an input is wrong, or a recording could not be scored.
        typer.Exit: status 1, where a score is worse than the baseline's.
    """
    ros = ros_arguments()
    words = [*words, "--ros-args", *ros] if ros else words
    runs = plan_runs(bags, out, truth, baseline, words)
    with progress("recordings", len(runs)) as bar:
        found = score_bags(runs, workers, cluster, bar.update)
    _print_bags(found)
    typer.echo(f"wrote {out / 'scores.json'} and a folder for each recording")
    failures = {name: b["failure"] for name, b in found["bags"].items() if "failure" in b}
    if failures:
        name, reason = next(iter(failures.items()))
        raise DataError(
            f"{len(failures)} of {len(runs)} recordings could not be scored; the first is {name}: "
            f"{reason.removeprefix('error: ')}"
        )
    worse = {n: b["worse_than_baseline"] for n, b in found["bags"].items()
             if b.get("worse_than_baseline")}  # fmt: skip
    if worse:
        typer.echo(f"worse than the baseline: {', '.join(f'{n} ({w})' for n, w in worse.items())}")
        raise typer.Exit(1)


def _print_bags(found: Mapping[str, Any]) -> None:
    everything, means = found["all"], found["mean"]
    together = {
        "frames": everything["frames"],
        "detection": {**everything.get("detection", {}), **means.get("detection", {})},
        "tracking": {**everything.get("tracking", {}), **means.get("tracking", {})},
    }
    width = max(len("all (AP, HOTA, IDF1: mean)"), *map(len, found["bags"])) + 2
    columns = {
        "mAP50": "detection", "precision": "detection", "recall": "detection",
        "HOTA": "tracking", "IDF1": "tracking", "MOTA": "tracking",
    }  # fmt: skip
    typer.echo(f"{'recording':<{width}}{'frames':>8}" + "".join(f"{n:>10}" for n in columns))
    for name, each in [*found["bags"].items(), ("all (AP, HOTA, IDF1: mean)", together)]:
        if "failure" in each:
            typer.echo(f"{name:<{width}}{'failed':>8}")
            continue
        values = (each.get(part, {}).get(column) for column, part in columns.items())
        shown = "".join(f"{'-' if v is None else format(v, '.3f'):>10}" for v in values)
        typer.echo(f"{name:<{width}}{each['frames']:>8}{shown}")
