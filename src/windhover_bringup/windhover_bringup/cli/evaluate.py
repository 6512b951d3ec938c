"""``windhover evaluate``: scores against truth, with no ROS."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from windhover.errors import ConfigError, SourceError
from windhover_bringup.cli import options
from windhover_bringup.cli.show import progress

if TYPE_CHECKING:
    from windhover_evaluation.detection.scores import DetectionScores
    from windhover_evaluation.fidelity.run import Variant
    from windhover_evaluation.report.baseline import Baseline, Comparison
    from windhover_evaluation.tracking.scores import TrackScores

_BaselineOption = Annotated[
    Path | None,
    typer.Option("--baseline", help="metrics.json (or its folder) of an earlier run to beat."),
]
_ToleranceOption = Annotated[
    float, typer.Option("--tolerance", help="Change of a score that is still the same.", min=0.0)
]
_RatioOption = Annotated[
    float,
    typer.Option("--ratio", help="The same of counts and times, as a share of theirs.", min=0.0),
]

app = typer.Typer(help="Score against truth.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Score against truth."""


@app.command("detections")
def detections(
    model: options.Model,
    images: options.Images,
    truth: options.Truth,
    out: Annotated[Path, typer.Option(help="Folder for metrics.json, predictions.json, report.")],
    backend: options.Backend = "auto",
    labels: Annotated[
        str | None, typer.Option(help="Score these labels only, such as person,vehicle.")
    ] = None,
    baseline: _BaselineOption = None,
    tolerance: _ToleranceOption = 0.01,
    ratio: _RatioOption = 0.25,
) -> None:
    """Score a model's detections of images against their truth."""
    from windhover_evaluation.detection.run import evaluate_model, open_for_evaluation
    from windhover_evaluation.detection.truth import load_truth

    before = _baseline(baseline, tolerance, ratio)
    with open_for_evaluation(model, backend) as detector:
        known = load_truth(truth, detector.labels)
        chosen = _labels(labels, detector.labels)
        with progress("detecting", len(known.images)) as bar:
            result = evaluate_model(detector, images, known, out, chosen, bar.update, before)
    _print(result.scores)
    for warning in result.warnings:
        typer.echo(f"note: {warning}")
    typer.echo(f"wrote {out}")
    if result.unreadable:
        first = result.unreadable[0]
        raise SourceError(
            f"{len(result.unreadable)} of {len(known.images)} images could not be read and count "
            f"as images in which nothing was found; the first is {first.file_name}: {first.reason}"
        )
    _judge(result.baseline)


@app.command("tracks")
def tracks(
    truth: Annotated[Path, typer.Option(help="MOTChallenge truth (gt.txt).")],
    result: Annotated[Path, typer.Option(help="MOTChallenge result, as 'windhover track' writes.")],
    out: Annotated[Path, typer.Option(help="Folder for metrics.json and report.")],
    labels: Annotated[
        str | None,
        typer.Option(help="Names of the result's classes 0, 1, ...: each is scored apart."),
    ] = None,
    truth_labels: Annotated[
        str | None, typer.Option(help="Names of the truth's classes 1, 2, ...; default --labels.")
    ] = None,
    baseline: _BaselineOption = None,
    tolerance: _ToleranceOption = 0.01,
    ratio: _RatioOption = 0.25,
) -> None:
    """Score tracks of a sequence against truth: HOTA, MOTA, IDF1 and id switches."""
    from windhover_evaluation.tracking.mot_files import evaluate_mot, read_pair

    before = _baseline(baseline, tolerance, ratio)
    pair = read_pair(truth, result, _split(labels), _split(truth_labels))
    facts = {"truth": str(truth), "result": str(result)}
    scores, compared = evaluate_mot(pair, out, facts, before)
    _print_tracks(scores)
    for warning in pair.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"wrote {out}")
    _judge(compared)


@app.command("bag")
def bag(
    bag: Annotated[str, typer.Argument(help="rosbag2 folder or file.")],
    out: Annotated[
        Path, typer.Option(help="Folder for metrics.json, report, overlay and results.")
    ],
    truth: options.BagTruth = None,
    model: options.GivenModel = None,
    backend: options.GivenBackend = None,
    config: options.ConfigFile = None,
    rate: options.Rate = 1.0,
    start: options.Start = 0.0,
    duration: options.Duration = None,
    remap: options.Remap = None,
    baseline: _BaselineOption = None,
    tolerance: _ToleranceOption = 0.01,
    ratio: _RatioOption = 0.25,
) -> None:
    """Play a recording to the live nodes: detections, tracks, latency and drops in one report.

    At its own pace frames are stamped as they are played, so that the latency from
    stamp to tracks is a live one and what is too slow drops frames; at rate 0 every
    frame is scored and only the stages' times are told.
    """
    from windhover_bringup.cli.replay import NOT_WHOLE, Cut, run_and_report, settings_of_bag
    from windhover_bringup.scoring.scores import ScoringSpec

    before = _baseline(baseline, tolerance, ratio)
    cut = Cut(start, duration, remap or [])
    stamps = "now" if rate > 0.0 else "source"
    settings = settings_of_bag(bag, cut, stamps, config, model, backend, rate)
    judge = ScoringSpec(truth, cut.is_part, before, [NOT_WHOLE])
    _judge(run_and_report(settings, out, f"Evaluation of {bag}", lambda _: judge))


@app.command("fidelity")
def fidelity(
    model: options.Model,
    images: options.Images,
    truth: options.Truth,
    out: Annotated[Path, typer.Option(help="Folder for fidelity.json and fidelity.md.")],
    backends: Annotated[
        str, typer.Option(help="What to hold against the float graph: cpu (INT8), qnn, dlc.")
    ] = "cpu,dlc",
    frames: Annotated[
        int, typer.Option(help="Images to score, evenly from all: an HTP emulator takes seconds.")
    ] = 60,
) -> None:
    """Score what quantising and compiling costs: float, INT8 and HTP on the same images."""
    from windhover.model.bundle import Bundle
    from windhover_evaluation.detection.truth import load_truth
    from windhover_evaluation.fidelity.run import evaluate_fidelity, spread, variant_names

    names = variant_names(backends)
    bundle = Bundle.load(model)
    known = spread(load_truth(truth, bundle.labels), frames)
    with progress("comparing", len(known.images)) as bar:
        result = evaluate_fidelity(bundle, known, images, names, out, bar.update)
    _print_fidelity(result, len(known.images))
    typer.echo(f"wrote {out}")


def _baseline(path: Path | None, tolerance: float, ratio: float) -> Baseline | None:
    from windhover_evaluation.report.baseline import Baseline

    return Baseline.read(path, tolerance, ratio) if path else None


def _judge(comparisons: Sequence[Comparison]) -> None:
    """Print what changed against the baseline; exit status 1 on a regression."""
    from windhover_evaluation.report.baseline import rows_of

    if not comparisons:
        return
    changed = [each for each in comparisons if each.verdict != "same"]
    for name, before, now, change, verdict in rows_of(changed):
        typer.echo(f"{verdict:<7}{name:<58}{before:>9} -> {now:>9} {change}")
    worse = sum(each.regression for each in comparisons)
    typer.echo(
        f"against the baseline: {len(comparisons) - len(changed)} of {len(comparisons)} scores "
        f"the same, {worse} worse"
    )
    if worse:
        raise typer.Exit(1)


def _split(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _print_tracks(scores: TrackScores) -> None:
    typer.echo(
        f"{'label':<14}{'HOTA':>7}{'DetA':>7}{'AssA':>7}{'MOTA':>8}{'IDF1':>7}{'switches':>10}"
        f"{'fragments':>11}{'objects':>9}{'tracks':>8}"
    )
    rows = scores.classes if len(scores.classes) == 1 else (*scores.classes, scores.overall)
    for each in rows:
        typer.echo(
            f"{each.label:<14}{each.hota:>7.3f}{each.det_a:>7.3f}{each.ass_a:>7.3f}"
            f"{each.mota:>8.3f}{each.idf1:>7.3f}{each.clear.switches:>10}"
            f"{each.clear.fragments:>11}{each.objects:>9}{each.tracks:>8}"
        )


def _print_fidelity(variants: Sequence[Variant], images: int) -> None:
    from rich.console import Console
    from rich.table import Table

    from windhover_evaluation.fidelity.run import table

    heading, *rows = table(variants)
    shown = Table(title=f"{images} images, scores in percent", title_justify="left")
    shown.add_column(heading[0], overflow="fold")
    for column in heading[1:]:
        shown.add_column(column, justify="right")
    for row in rows:
        shown.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 150).print(shown)


def _labels(text: str | None, known: Sequence[str]) -> list[str] | None:
    chosen = _split(text)
    if chosen is None:
        return None
    unknown = [label for label in chosen if label not in known]
    if unknown or not chosen:
        raise ConfigError(
            f"--labels {text!r}: the model has {', '.join(known)}; name one or more of them"
        )
    return chosen


def _print(scores: DetectionScores) -> None:
    typer.echo(
        f"{'label':<14}{'AP50':>7}{'AP50-95':>9}{'AR':>7}{'prec.':>7}{'recall':>8}{'objects':>9}"
    )
    for each in scores.classes:
        point = each.at_threshold
        typer.echo(
            f"{each.label:<14}{each.ap50:>7.3f}{each.ap50_95:>9.3f}{each.recall:>7.3f}"
            f"{point.precision:>7.3f}{point.recall:>8.3f}{each.truths:>9}"
        )
