"""``windhover evaluate``: scores against truth, with no ROS."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from windhover.errors import ConfigError, DataError, SourceError
from windhover_bringup.cli.show import progress

if TYPE_CHECKING:
    from windhover.evaluation.detection import DetectionScores, Predictions
    from windhover.evaluation.latency import StageTimings
    from windhover.evaluation.report import Example
    from windhover.evaluation.truth import Truth
    from windhover.model.detector import Detector
    from windhover.types import Frame

app = typer.Typer(help="Score against truth.", no_args_is_help=True, rich_markup_mode=None)

# AP integrates over all thresholds, so nearly everything is kept for it.
LEAST_SCORE = 0.001
EXAMPLES = 6


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
    from windhover.evaluation.detection import evaluate_detections
    from windhover.evaluation.truth import load_truth
    from windhover.model.bundle import Bundle
    from windhover.model.detector import Detector

    bundle = Bundle.load(model)
    known = load_truth(truth, bundle.labels)
    chosen = _labels(labels, bundle.labels)
    if not images.is_dir():
        raise SourceError(f"no such folder of images: {images}")
    limits = bundle.thresholds.model_copy(update={"score": LEAST_SCORE, "per_class": {}})
    with Detector(bundle, backend, thresholds=limits) as detector:
        run = _detect(detector, known, images)
        if len(run.unreadable) == len(known.images):
            raise SourceError(
                f"none of the {len(known.images)} images of {truth} can be read in {images}: "
                f"{next(iter(run.unreadable.values()))}"
            )
        thresholds = dict(
            zip(bundle.labels, bundle.thresholds.score_vector(bundle.labels), strict=True)
        )
        scores = evaluate_detections(known, run.predictions, thresholds, chosen)
        _write(out, detector, known, images, run, scores, chosen or bundle.labels)
    _print(scores)
    typer.echo(f"wrote {out}")
    if run.unreadable:
        name, reason = next(iter(run.unreadable.items()))
        raise SourceError(
            f"{len(run.unreadable)} of {len(known.images)} images could not be read and count as "
            f"images in which nothing was found; the first is {name}: {reason}"
        )


@dataclass(slots=True)
class _Run:
    predictions: Predictions
    timings: StageTimings
    unreadable: dict[str, str] = field(default_factory=dict)


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


def _frame(path: Path, index: int) -> Frame:
    from windhover.sources.files import read_image
    from windhover.types import Frame

    image, encoding = read_image(path)
    return Frame(image, encoding, 0, "image", index)


def _detect(detector: Detector, truth: Truth, folder: Path) -> _Run:
    from windhover.evaluation.detection import Predictions
    from windhover.evaluation.latency import StageTimings
    from windhover.types import Detections

    timings = StageTimings(window=max(1, len(truth.images)))
    found: list[tuple[int, Detections]] = []
    unreadable: dict[str, str] = {}
    with progress("detecting", len(truth.images)) as bar:
        for row, image in enumerate(truth.images):
            before = time.perf_counter_ns()
            try:
                frame = _frame(folder / image.file_name, row)
            except SourceError as error:
                unreadable[image.file_name] = str(error)
                continue
            read = time.perf_counter_ns()
            found.append((row, detector.detect(frame)))
            timings.record("source", read - before)
            timings.record("preprocess", detector.timings.pre_ns)
            timings.record("inference", detector.timings.inference_ns)
            timings.record("postprocess", detector.timings.post_ns)
            timings.record("total", detector.timings.total_ns)
            bar.update(row + 1)
    return _Run(Predictions.collect(found), timings, unreadable)


def _write(
    out: Path,
    detector: Detector,
    truth: Truth,
    folder: Path,
    run: _Run,
    scores: DetectionScores,
    labels: Sequence[str],
) -> None:
    from windhover.evaluation.files import write_json
    from windhover.evaluation.machine import machine_facts
    from windhover.evaluation.metrics import FORMAT, detection_metrics, latency_metrics
    from windhover.evaluation.report import ReportData, write_report

    bundle = detector.bundle
    facts = {
        "model": f"{bundle.name} {bundle.version}",
        "model_hash": bundle.digest,
        "backend": detector.backend.name,
        "device": detector.backend.device,
        "truth": truth.path,
        "images": str(len(truth.images)),
        **machine_facts(),
    }
    warnings = [str(problem) for problem in truth.problems]
    if run.unreadable:
        warnings.append(
            f"{len(run.unreadable)} images could not be read; they count as images in which "
            "nothing was found"
        )
    latency = run.timings.summaries()
    write_json(out / "predictions.json", run.predictions.results(truth, labels), indent=None)
    write_json(
        out / "metrics.json",
        {
            "format": FORMAT,
            "run": facts,
            "images": {
                "total": len(truth.images),
                "unreadable": [
                    {"file_name": name, "reason": reason} for name, reason in run.unreadable.items()
                ],
            },
            "detection": detection_metrics(scores),
            "latency_ms": latency_metrics(latency),
            "warnings": warnings,
        },
    )
    write_report(
        ReportData(
            title=f"Detections of {bundle.name} {bundle.version}",
            subtitle=f"{len(truth.images)} images of {truth.path}",
            facts=facts,
            detection=scores,
            latency=latency,
            latency_samples_ms=run.timings.samples_ms(),
            latency_note=f"Measured with {detector.backend.device}; not a flight computer's.",
            examples=_examples(detector, truth, folder, run),
            warnings=warnings,
        ),
        out / "report.html",
    )


def _examples(detector: Detector, truth: Truth, folder: Path, run: _Run) -> list[Example]:
    import numpy as np

    from windhover.evaluation.report import Example
    from windhover.types import Detections
    from windhover_bringup.picture import draw

    bundle = detector.bundle
    least = np.array(bundle.thresholds.score_vector(bundle.labels))
    objects = np.bincount(truth.image_rows, minlength=len(truth.images))
    rows = [int(row) for row in np.argsort(-objects, kind="stable")]
    readable = [row for row in rows if truth.images[row].file_name not in run.unreadable]
    # From the busiest image down to the emptiest, evenly.
    step = max(1, len(readable) // EXAMPLES)
    examples: list[Example] = []
    found = run.predictions
    for row in readable[::step][:EXAMPLES]:
        frame = _frame(folder / truth.images[row].file_name, row)
        here = (found.image_rows == row) & (found.scores > least[found.label_ids])
        shown = Detections(
            found.boxes[here].astype(np.float32), found.scores[here], found.label_ids[here]
        )
        picture = draw(frame, shown, bundle.labels)
        caption = (
            f"{truth.images[row].file_name}: {len(shown)} found, {int(objects[row])} in the truth"
        )
        examples.append(Example(picture, caption))
    return examples


def _print(scores: DetectionScores) -> None:
    typer.echo(f"{'label':<14}{'AP50':>7}{'AP50-95':>9}{'prec.':>7}{'recall':>8}{'objects':>9}")
    for each in scores.classes:
        point = each.at_threshold
        typer.echo(
            f"{each.label:<14}{each.ap50:>7.3f}{each.ap50_95:>9.3f}"
            f"{point.precision:>7.3f}{point.recall:>8.3f}{each.truths:>9}"
        )
    if not scores.images:
        raise DataError("the truth holds no images")
