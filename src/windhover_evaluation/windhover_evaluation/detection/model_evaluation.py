"""Score a model on the images of a truth file and write scores, detections and a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windhover import __version__
from windhover.errors import DataError, EncodingError, SourceError
from windhover.files import write_atomic, write_json
from windhover.health.latency import LatencySummary, StageTimings
from windhover.health.metrics import FORMAT, latency_metrics
from windhover.imaging.formats import Modality
from windhover.machine import machine_facts
from windhover.model.bundle import Bundle
from windhover.model.detector import Detector
from windhover.model.manifest import DEFAULT_POINT, Thresholds
from windhover.sources.palette import Palette
from windhover.types import Detections
from windhover_evaluation.detection.confusion import confusion
from windhover_evaluation.detection.frames import (
    Cameras,
    MissingCameraCounter,
    SizeMismatchError,
    read_truth_picture,
)
from windhover_evaluation.detection.scores import (
    DetectionScores,
    Predictions,
    evaluate_detections,
    label_numbers,
)
from windhover_evaluation.detection.truth import Truth
from windhover_evaluation.detection.truth_file import load_truth
from windhover_evaluation.report import plots
from windhover_evaluation.report.baseline import Baseline, Comparison, baseline_part
from windhover_evaluation.report.examples import (
    CHOSEN,
    LEGEND,
    choose_example_images,
    draw_example,
)
from windhover_evaluation.report.metrics import detection_metrics
from windhover_evaluation.report.page import Example, ReportData, write_report

#: Score above which detections are kept for AP, far below any threshold of use:
#: what is cut off here is missing from the end of the precision-recall curve.
SCORE_FLOOR = 0.001

LATENCY_NOTE = (
    "Measured on the processor named above; it says nothing about a QCS8550. Postprocessing "
    "takes longer here than in flight, as low scores are kept for AP."
)

_EXAMPLES = 6
_NAMED = 20

Progress = Callable[[int, int], None]
"""Called with how many images are done, and of how many."""


@dataclass(frozen=True, slots=True)
class UnreadableImage:
    """An image that could not be read, and why."""

    file_name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Scores of a model, and where they were written.

    Attributes:
        scores: detection scores; an unreadable image counts as one in which
            nothing was found.
        unreadable: images that are missing or damaged.
        latency: of each stage, on this machine.
        warnings: what to know before trusting the scores.
        files: what was written, by name.
        baseline: scores of an earlier run beside these.
    """

    scores: DetectionScores
    unreadable: tuple[UnreadableImage, ...]
    latency: Mapping[str, LatencySummary]
    warnings: tuple[str, ...]
    files: Mapping[str, Path]
    baseline: tuple[Comparison, ...] = ()


def open_for_evaluation(model: str | Path, backend: str = "auto", **options: Any) -> Detector:
    """Open a detector that lets low scores through, as average precision needs.

    The bundle's own thresholds still decide precision and recall.

    Raises:
        BundleError: the bundle is missing or damaged.
        BackendError: the backend can't be opened.
        ConfigError: an option is unknown.
    """
    bundle = Bundle.load(model)
    return Detector(bundle, backend, thresholds=evaluation_thresholds(bundle), **options)


def evaluation_thresholds(bundle: Bundle) -> Thresholds:
    """The bundle's thresholds with the scores lowered and room for all detections."""
    own = bundle.thresholds
    room = max(own.max_detections, 100 * len(bundle.labels))
    return Thresholds(score=SCORE_FLOOR, iou=own.iou, max_detections=min(room, 10_000))


def evaluate_model(
    detector: Detector,
    images_dir: str | Path,
    truth: Truth | str | Path,
    out_dir: str | Path,
    labels: Sequence[str] | None = None,
    progress: Progress | None = None,
    baseline: Baseline | None = None,
    palette: Palette = "auto",
    operating_point: str = DEFAULT_POINT,
) -> Evaluation:
    """Detect in every image of a truth file, score it and write the results.

    Writes ``metrics.json`` (see :mod:`.metrics`), ``predictions.json`` (COCO results
    with the truth file's ids), ``precision_recall.png``, ``confusion.png`` and
    ``report.html``. Of a pair the files that the model looks at are read (see
    :mod:`.frames`); a warning names a camera that is missing.

    Args:
        detector: from :func:`open_for_evaluation`.
        images_dir: folder of the images; see :func:`~.frames.picture_files`.
        truth: read with the detector's labels, or a path to read it from.
        out_dir: folder for the results; made if need be.
        labels: score these of the model's labels only.
        progress: called after each image.
        baseline: an earlier run to compare this one with.
        palette: what thermal pictures without counts are in.
        operating_point: whose thresholds decide precision and recall.

    Raises:
        DataError: the truth can't be used or holds nothing to score, none of its images
            can be read, one has another size than the truth gives, or a result can't be
            written.
        ConfigError: a label is none of the model's, the model has no such operating point, or
            it is for other images.
        BackendError: inference failed.
    """
    if not isinstance(truth, Truth):
        truth = load_truth(truth, detector.labels)
    point = detector.bundle.thresholds_at(operating_point)
    thresholds = point.score_vector(detector.labels)
    by_label = dict(zip(detector.labels, thresholds, strict=True))
    # Before the images are gone through, so that a mistyped label shows at once.
    chosen = label_numbers(truth, labels)
    truth.require_objects(labels)
    timings = StageTimings(window=max(1, len(truth.images)))
    missing = MissingCameraCounter(detector.bundle.modality)
    pictures = _Pictures(truth, Path(images_dir), detector.bundle.modality, palette)
    found, unreadable = _detect_all(detector, pictures, timings, missing, progress)
    predictions = Predictions.collect(found)
    scores = evaluate_detections(truth, predictions, by_label, labels)
    warnings = _warnings(detector, truth, scores, unreadable)
    warnings += missing.warnings(len(truth.images))
    limits = np.full(len(thresholds), np.inf, np.float32)
    limits[chosen] = np.array(thresholds, np.float32)[chosen]
    examples = _examples(pictures, predictions, limits)
    latency = timings.summaries()
    facts = {
        **_facts(detector, truth, Path(images_dir)),
        "operating_point": operating_point,
    }
    out = Path(out_dir)
    files = {
        name: out / name
        for name in (
            "metrics.json",
            "predictions.json",
            "precision_recall.png",
            "confusion.png",
            "report.html",
        )
    }
    write_json(
        files["predictions.json"],
        predictions.results(truth, [truth.labels[number] for number in chosen]),
        indent=None,
        digits=7,
    )
    mixed = confusion(truth, predictions, limits, labels)
    for name, figure in (
        ("precision_recall.png", plots.precision_recall(scores.classes)),
        ("confusion.png", plots.confusion_matrix(mixed)),
    ):
        write_atomic(files[name], plots.to_png(figure))
    metrics = {
        "format": FORMAT,
        "run": facts,
        "images": {
            "total": len(truth.images),
            "unreadable": [
                {"file_name": each.file_name, "reason": each.reason} for each in unreadable
            ],
        },
        "detection": detection_metrics(scores, mixed),
        **latency_metrics(latency, detector.backend.name),
        "warnings": warnings,
    }
    compared = tuple(baseline.against(metrics)) if baseline else ()
    write_report(
        ReportData(
            title=f"Detections of {detector.bundle.name}",
            subtitle=f"Scored on the {len(truth.images)} images of {Path(truth.path).name}.",
            facts=facts,
            detection=scores,
            confusion=mixed,
            baseline=compared,
            latency=latency,
            latency_samples_ms=timings.samples_ms(),
            latency_note=LATENCY_NOTE,
            examples=examples,
            examples_note=f"{CHOSEN} {LEGEND}",
            warnings=warnings,
        ),
        files["report.html"],
    )
    write_json(files["metrics.json"], {**metrics, **baseline_part(compared)})
    return Evaluation(scores, tuple(unreadable), latency, tuple(warnings), files, compared)


@dataclass(frozen=True, slots=True)
class _Pictures:
    """The pictures of a truth, and how they are read."""

    truth: Truth
    folder: Path
    channels: Modality
    palette: Palette

    def read(self, row: int) -> Cameras:
        return read_truth_picture(self.truth, row, self.folder, self.channels, palette=self.palette)


def _detect_all(
    detector: Detector,
    pictures: _Pictures,
    timings: StageTimings,
    missing: MissingCameraCounter,
    progress: Progress | None,
) -> tuple[list[tuple[int, Detections]], list[UnreadableImage]]:
    found: list[tuple[int, Detections]] = []
    unreadable: list[UnreadableImage] = []
    truth, channels = pictures.truth, pictures.channels
    total = len(truth.images)
    for row, info in enumerate(truth.images):
        begun = time.perf_counter_ns()
        try:
            cameras = pictures.read(row)
            frame = cameras.frame(channels, row)
            read = time.perf_counter_ns()
            detections = detector.detect(frame)
        except SizeMismatchError:
            raise  # truth and pictures do not belong together: no score would mean anything
        except (DataError, SourceError, EncodingError) as error:
            unreadable.append(UnreadableImage(info.file_name, str(error)))
        else:
            found.append((row, detections))
            missing.note(cameras)
            spent = detector.timings
            timings.record("source", read - begun)
            timings.record("preprocess", spent.pre_ns)
            timings.record("inference", spent.inference_ns)
            timings.record("postprocess", spent.post_ns)
            timings.record("total", time.perf_counter_ns() - begun)
        if progress is not None:
            progress(row + 1, total)
    if not found:
        raise DataError(
            f"{pictures.folder}: none of the {total} images of {truth.path} can be read there "
            f"({unreadable[0].reason}); give the folder that holds them"
        )
    return found, unreadable


def _examples(
    pictures: _Pictures, predictions: Predictions, limits: NDArray[np.float32]
) -> list[Example]:
    examples, truth = [], pictures.truth
    for row in choose_example_images(truth, predictions, limits, _EXAMPLES):
        try:
            cameras = pictures.read(row)
        except (DataError, SourceError):
            continue  # already counted as unreadable
        image, encoding = cameras.shown()
        examples.append(draw_example(image, encoding, row, truth, predictions, limits))
    return examples


def _warnings(
    detector: Detector,
    truth: Truth,
    scores: DetectionScores,
    unreadable: Sequence[UnreadableImage],
) -> list[str]:
    warnings = []
    if unreadable:
        names = ", ".join(each.file_name for each in unreadable[:_NAMED])
        more = ", ..." if len(unreadable) > _NAMED else ""
        warnings.append(
            f"{len(unreadable)} of {len(truth.images)} images can't be read and count as images "
            f"in which nothing was found: {names}{more}"
        )
    lowest = max(detector.thresholds.score_vector(detector.labels))
    if lowest > 2 * SCORE_FLOOR:
        warnings.append(
            f"detections scored below {lowest:g} were not kept, so AP is too low; "
            "open the detector with open_for_evaluation"
        )
    unseen = [each.label for each in scores.classes if not each.truths]
    if unseen:
        warnings.append(f"the truth has no object of {', '.join(unseen)}: not scored")
    warnings.extend(f"truth file: {problem}" for problem in truth.problems)
    return warnings


def _facts(detector: Detector, truth: Truth, images_dir: Path) -> dict[str, str]:
    bundle, backend = detector.bundle, detector.backend
    merged = [
        f"{' + '.join(names)} as {label}"
        for label, names in truth.categories.items()
        if names and names != (label,)
    ]
    return {
        "model": f"{bundle.name} {bundle.version}",
        "digest": bundle.digest,
        "input": f"{bundle.input.width} x {bundle.input.height}, {bundle.modality}",
        "backend": backend.name,
        "device": backend.device,
        "images": str(images_dir),
        "truth": truth.path,
        **({"scored": "; ".join(merged)} if merged else {}),
        **({"ignored": ", ".join(truth.ignored_categories)} if truth.ignored_categories else {}),
        "date": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "windhover": __version__,
        **machine_facts(),
    }
