"""``windhover evaluate``: scores against truth, with no ROS."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from windhover.errors import ConfigError, SourceError
from windhover_bringup.cli.show import progress

if TYPE_CHECKING:
    from windhover.evaluation.detection import DetectionScores
    from windhover.evaluation.fidelity_run import Variant

app = typer.Typer(help="Score against truth.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Score against truth."""


@app.command("detections")
def detections(
    model: Annotated[str, typer.Option(help="Bundle folder, or its name in models/.")],
    images: Annotated[Path, typer.Option(help="Folder of the truth's images.")],
    truth: Annotated[Path, typer.Option(help="COCO JSON, or HIT-UAV's own JSON.")],
    out: Annotated[Path, typer.Option(help="Folder for metrics.json, predictions.json, report.")],
    backend: Annotated[str, typer.Option(help="auto, cpu, qnn or dlc.")] = "auto",
    labels: Annotated[
        str | None, typer.Option(help="Score these labels only, such as person,vehicle.")
    ] = None,
) -> None:
    """Score a model's detections of images against their truth."""
    from windhover.evaluation.run import evaluate_model, open_for_evaluation
    from windhover.evaluation.truth import load_truth

    if not images.is_dir():
        raise SourceError(f"no such folder of images: {images}")
    with open_for_evaluation(model, backend) as detector:
        known = load_truth(truth, detector.labels)
        chosen = _labels(labels, detector.labels)
        with progress("detecting", len(known.images)) as bar:
            result = evaluate_model(detector, images, known, out, chosen, bar.update)
    _print(result.scores)
    typer.echo(f"wrote {out}")
    if result.unreadable:
        first = result.unreadable[0]
        raise SourceError(
            f"{len(result.unreadable)} of {len(known.images)} images could not be read and count "
            f"as images in which nothing was found; the first is {first.file_name}: {first.reason}"
        )


@app.command("fidelity")
def fidelity(
    model: Annotated[str, typer.Option(help="Bundle folder, or its name in models/.")],
    images: Annotated[Path, typer.Option(help="Folder of the truth's images.")],
    truth: Annotated[Path, typer.Option(help="COCO JSON, or HIT-UAV's own JSON.")],
    out: Annotated[Path, typer.Option(help="Folder for fidelity.json and fidelity.md.")],
    backends: Annotated[
        str, typer.Option(help="What to hold against the float graph: cpu (INT8), qnn, dlc.")
    ] = "cpu,dlc",
    frames: Annotated[
        int, typer.Option(help="Images to score, evenly from all: an HTP emulator takes seconds.")
    ] = 60,
) -> None:
    """Score what quantising and compiling costs: float, INT8 and HTP on the same images."""
    from windhover.evaluation.fidelity_run import evaluate_fidelity, spread, variant_names
    from windhover.evaluation.truth import load_truth
    from windhover.model.bundle import Bundle

    names = variant_names(backends)
    if not images.is_dir():
        raise SourceError(f"no such folder of images: {images}")
    bundle = Bundle.load(model)
    known = spread(load_truth(truth, bundle.labels), frames)
    with progress("comparing", len(known.images)) as bar:
        result = evaluate_fidelity(bundle, known, images, names, out, bar.update)
    _print_fidelity(result, len(known.images))
    typer.echo(f"wrote {out}")


def _print_fidelity(variants: Sequence[Variant], images: int) -> None:
    from rich.console import Console
    from rich.table import Table

    from windhover.evaluation.fidelity_run import table

    heading, *rows = table(variants)
    shown = Table(title=f"{images} images, scores in percent", title_justify="left")
    shown.add_column(heading[0], overflow="fold")
    for column in heading[1:]:
        shown.add_column(column, justify="right")
    for row in rows:
        shown.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 150).print(shown)


def _labels(text: str | None, known: Sequence[str]) -> list[str] | None:
    if text is None:
        return None
    chosen = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [label for label in chosen if label not in known]
    if unknown or not chosen:
        raise ConfigError(
            f"--labels {text!r}: the model has {', '.join(known)}; name one or more of them"
        )
    return chosen


def _print(scores: DetectionScores) -> None:
    typer.echo(f"{'label':<14}{'AP50':>7}{'AP50-95':>9}{'prec.':>7}{'recall':>8}{'objects':>9}")
    for each in scores.classes:
        point = each.at_threshold
        typer.echo(
            f"{each.label:<14}{each.ap50:>7.3f}{each.ap50_95:>9.3f}"
            f"{point.precision:>7.3f}{point.recall:>8.3f}{each.truths:>9}"
        )
