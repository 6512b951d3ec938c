"""``windhover evaluate``: scores against truth, with no ROS."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from windhover.errors import ConfigError, SourceError
from windhover.progress import progress
from windhover_bringup.cli import options

if TYPE_CHECKING:
    from windhover_evaluation.detection.scores import DetectionScores
    from windhover_evaluation.fidelity.variants import Variant
    from windhover_evaluation.report.baseline import Baseline, Comparison
    from windhover_evaluation.tracking.scores import TrackScores

_BaselineOption = Annotated[
    Path | None,
    typer.Option(
        "--baseline",
        help="metrics.json (or its folder) of an earlier run; exit status 1 if a score is worse.",
    ),
]
_ToleranceOption = Annotated[
    float,
    typer.Option("--tolerance", help="A score that changed by less counts as the same.", min=0.0),
]
_RatioOption = Annotated[
    float,
    typer.Option(
        "--ratio", help="The same for counts and times, as a share of the baseline's.", min=0.0
    ),
]
_LatencyOption = Annotated[
    bool,
    typer.Option(
        "--latency",
        help="Compare latency and dropped frames with the baseline too; only on one machine.",
    ),
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
    label_map: options.LabelMap = None,
    operating_point: options.OperatingPoint = "balanced",
    palette: options.Palette = "auto",
    baseline: _BaselineOption = None,
    tolerance: _ToleranceOption = 0.01,
    ratio: _RatioOption = 0.25,
    latency: _LatencyOption = False,
) -> None:
    """Score a model's detections of images against their truth."""
    from windhover.sources.palette import known_palette
    from windhover_evaluation.detection.categories import parse_mapping
    from windhover_evaluation.detection.model_evaluation import evaluate_model, open_for_evaluation
    from windhover_evaluation.detection.truth_file import load_truth

    before = _baseline(baseline, tolerance, ratio, latency)
    mapping = parse_mapping(label_map or [])
    with open_for_evaluation(model, backend) as detector:
        known = load_truth(truth, detector.labels, mapping)
        chosen = _labels(labels, detector.labels)
        with progress("detecting", len(known.images)) as bar:
            result = evaluate_model(
                detector,
                images,
                known,
                out,
                chosen,
                bar.update,
                before,
                known_palette(palette),
                operating_point,
            )
    _print_detections(result.scores)
    for warning in result.warnings:
        typer.echo(f"note: {warning}")
    typer.echo(f"wrote {out}")
    if result.unreadable:
        first = result.unreadable[0]
        raise SourceError(
            f"{len(result.unreadable)} of {len(known.images)} images could not be read and count "
            f"as images in which nothing was found; the first is {first.file_name}: {first.reason}"
        )
    _report_baseline(result.baseline)


@app.command("tracks")
def tracks(
    truth: Annotated[
        Path,
        typer.Option(help="MOTChallenge truth (gt.txt), or COCO JSON of a video with track_id."),
    ],
    result: Annotated[Path, typer.Option(help="MOTChallenge result, as 'windhover track' writes.")],
    out: Annotated[Path, typer.Option(help="Folder for metrics.json and report.")],
    labels: Annotated[
        str | None,
        typer.Option(help="Names of the result's classes 0, 1, ...: each is scored apart."),
    ] = None,
    truth_labels: Annotated[
        str | None,
        typer.Option(
            help="Names of the truth's classes 1, 2, ..., or visdrone or mot17; default --labels, "
            "or VisDrone's where the file is written as VisDrone writes it."
        ),
    ] = None,
    label_map: options.LabelMap = None,
    baseline: _BaselineOption = None,
    tolerance: _ToleranceOption = 0.01,
    ratio: _RatioOption = 0.25,
) -> None:
    """Score tracks of a sequence against truth: HOTA, MOTA, IDF1 and id switches."""
    from windhover_evaluation.detection.categories import parse_mapping
    from windhover_evaluation.tracking.mot_files import evaluate_mot, read_pair

    before = _baseline(baseline, tolerance, ratio)
    mapping = parse_mapping(label_map or [])
    pair = read_pair(
        truth, result, options.split_list(labels), options.split_list(truth_labels), mapping
    )
    facts = {"truth": str(truth), "result": str(result)}
    scores, compared = evaluate_mot(pair, out, facts, before)
    _print_tracks(scores)
    for warning in pair.warnings:
        typer.echo(f"warning: {warning}", err=True)
    typer.echo(f"wrote {out}")
    _report_baseline(compared)


@app.command("bag")
def bag(
    bags: Annotated[
        list[str],
        typer.Argument(metavar="BAG...", help="rosbag2 folder or file; several share one table."),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for metrics.json, report, overlay and results; for several recordings "
            "scores.json and a folder each."
        ),
    ],
    truth: Annotated[
        Path | None,
        typer.Option(
            help="COCO JSON whose images are the bag's, in their order; {bag} in it is the "
            "recording's name."
        ),
    ] = None,
    model: options.GivenModel = None,
    backend: options.GivenBackend = None,
    config: options.ConfigFile = None,
    rate: options.Rate = 1.0,
    start: options.Start = 0.0,
    duration: options.Duration = None,
    remap: options.Remap = None,
    label_map: options.LabelMap = None,
    operating_point: options.GivenOperatingPoint = None,
    baseline: _BaselineOption = None,
    tolerance: _ToleranceOption = 0.01,
    ratio: _RatioOption = 0.25,
    latency: _LatencyOption = False,
    workers: Annotated[
        int,
        typer.Option(min=1, max=1024, help="Recordings at once on this machine; needs --rate 0."),
    ] = 1,
    cluster: Annotated[
        str | None,
        typer.Option(
            help="Your own Dask cluster does it, such as tcp://10.0.0.5:8786; needs --rate 0."
        ),
    ] = None,
) -> None:
    """Play recordings to the live nodes: detections, tracks, latency and drops in one report.

    At the recording's own pace frames are stamped as they are played, so the latency from
    stamp to tracks is a live one and frames that come too fast are dropped. At rate 0 every
    frame is scored, and latencies are those of the stages alone.
    """
    from windhover_bringup.cli.several_bags import score_several
    from windhover_bringup.runtime.bag_playback import BagPart, settings_of_bag
    from windhover_bringup.runtime.recorded_run import LOWER_BOUND, run_and_report
    from windhover_bringup.scoring.many_bags import truth_of
    from windhover_bringup.scoring.scores import ScoringSpec
    from windhover_evaluation.detection.categories import parse_mapping

    mapping = parse_mapping(label_map or [])
    part = BagPart(start, duration, remap or [])
    stamps = "now" if rate > 0.0 else "source"
    settings = settings_of_bag(bags[0], part, stamps, config, model, backend, rate, operating_point)
    if len(bags) > 1 or cluster is not None:
        if rate > 0.0 and (workers > 1 or cluster is not None):
            raise ConfigError(
                f"--rate {rate:g} measures a live run's latency, which others beside it would "
                "change: give --rate 0, or leave --workers and --cluster out"
            )
        given = {
            "--model": model, "--backend": backend, "--config": config, "--rate": rate,
            "--start": start, "--duration": duration, "--tolerance": tolerance, "--ratio": ratio,
            "--operating-point": operating_point,
        }  # fmt: skip
        words = [str(word) for pair in given.items() if pair[1] is not None for word in pair]
        words += [word for rule in remap or [] for word in ("--remap", rule)]
        words += [word for rule in label_map or [] for word in ("--map", rule)]
        words += ["--latency"] if latency else []
        score_several(bags, out, truth, baseline, words, workers, cluster)
        return
    bag = bags[0]
    before = _baseline(baseline, tolerance, ratio, latency)
    truth = truth_of(truth, bag)
    spec = ScoringSpec(truth, part.is_part, before, [LOWER_BOUND], mapping)
    _report_baseline(run_and_report(settings, out, f"Evaluation of {bag}", lambda _: spec))


@app.command("fidelity")
def fidelity(
    model: options.Model,
    images: options.Images,
    truth: options.Truth,
    out: Annotated[Path, typer.Option(help="Folder for fidelity.json and fidelity.md.")],
    backends: Annotated[
        str, typer.Option(help="What to compare with the float graph: cpu (INT8), qnn, dlc.")
    ] = "cpu,dlc",
    frames: Annotated[
        int, typer.Option(help="Images to score, evenly from all: an HTP emulator takes seconds.")
    ] = 60,
    label_map: options.LabelMap = None,
    palette: options.Palette = "auto",
) -> None:
    """Score what quantising and compiling costs: float, INT8 and HTP on the same images."""
    from windhover.model.bundle import Bundle
    from windhover.sources.palette import known_palette
    from windhover_evaluation.detection.categories import parse_mapping
    from windhover_evaluation.detection.truth_file import load_truth
    from windhover_evaluation.fidelity.variants import (
        evaluate_fidelity,
        sample_images,
        variant_names,
    )

    names, colours = variant_names(backends), known_palette(palette)
    bundle = Bundle.load(model)
    known = sample_images(load_truth(truth, bundle.labels, parse_mapping(label_map or [])), frames)
    with progress("comparing", len(known.images)) as bar:
        result = evaluate_fidelity(bundle, known, images, names, out, bar.update, colours)
    _print_fidelity(result, len(known.images))
    typer.echo(f"wrote {out}")


def _baseline(
    path: Path | None, tolerance: float, ratio: float, latency: bool = False
) -> Baseline | None:
    from windhover_evaluation.report.baseline import Baseline

    if latency and path is None:
        raise ConfigError("--latency compares with an earlier run; give it with --baseline")
    return Baseline.read(path, tolerance, ratio, latency) if path else None


def _report_baseline(comparisons: Sequence[Comparison]) -> None:
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


def _print_tracks(scores: TrackScores) -> None:
    typer.echo(
        f"{'label':<14}{'HOTA':>7}{'DetA':>7}{'AssA':>7}{'MOTA':>8}{'IDF1':>7}{'switches':>10}"
        f"{'fragments':>11}{'objects':>9}{'tracks':>8}"
    )
    rows = scores.classes if len(scores.classes) == 1 else (*scores.classes, scores.overall)
    for each in rows:
        typer.echo(
            f"{each.label:<14}{_score(each.hota):>7}{_score(each.det_a):>7}"
            f"{_score(each.ass_a):>7}{_score(each.mota):>8}{_score(each.idf1):>7}"
            f"{each.clear.switches:>10}"
            f"{each.clear.fragments:>11}{each.objects:>9}{each.tracks:>8}"
        )


def _print_fidelity(variants: Sequence[Variant], images: int) -> None:
    from rich.console import Console
    from rich.table import Table

    from windhover_evaluation.fidelity.variants import fidelity_table

    heading, *rows = fidelity_table(variants)
    shown = Table(title=f"{images} images, scores in percent", title_justify="left")
    shown.add_column(heading[0], overflow="fold")
    for column in heading[1:]:
        shown.add_column(column, justify="right")
    for row in rows:
        shown.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 150).print(shown)


def _labels(text: str | None, known: Sequence[str]) -> list[str] | None:
    chosen = options.split_list(text)
    if chosen is None:
        return None
    unknown = [label for label in chosen if label not in known]
    if unknown or not chosen:
        raise ConfigError(
            f"--labels {text!r}: the model has {', '.join(known)}; name one or more of them"
        )
    return chosen


def _print_detections(scores: DetectionScores) -> None:
    typer.echo(
        f"{'label':<14}{'AP50':>7}{'AP50-95':>9}{'AR':>7}{'prec.':>7}{'recall':>8}{'objects':>9}"
    )
    for each in scores.classes:
        point = each.at_threshold
        typer.echo(
            f"{each.label:<14}{_score(each.ap50):>7}{_score(each.ap50_95):>9}"
            f"{_score(each.recall):>7}{_score(point.precision):>7}{_score(point.recall):>8}"
            f"{each.truths:>9}"
        )
    if scores.empty_images:
        typer.echo(
            f"{scores.empty_images} of {scores.images} images hold no object: "
            f"{scores.empty_images_false_positives} false alarms, in "
            f"{scores.empty_images_with_detections} of them"
        )


def _score(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
