"""Scores of a finished run against truth, and its report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from windhover.errors import DataError
from windhover.evaluation.detection import DetectionScores, Predictions, evaluate_detections
from windhover.evaluation.files import write_json
from windhover.evaluation.metrics import detection_metrics, tracking_metrics
from windhover.evaluation.report import Example, ReportData, Timeline, write_report
from windhover.evaluation.tracking import TrackScores, TrackTable, evaluate_tracks
from windhover.evaluation.truth import Truth, load_truth
from windhover.sources.files import natural_key
from windhover_bringup.composed import Pipeline
from windhover_bringup.outputs import EXAMPLES, RunOutputs, Show, run_facts, stage_latencies


def write_scored(
    outputs: RunOutputs,
    show: Show,
    pipeline: Pipeline,
    title: str,
    truth_file: Path | None,
    warnings: Sequence[str],
) -> str:
    """Score a run and write ``metrics.json`` and ``report.html``.

    Args:
        outputs: of the run.
        show: of the run; its examples are shown.
        pipeline: that was run.
        title: of the page.
        truth_file: COCO JSON whose images are the source's in natural order of
            their names; annotations with ``track_id`` are scored as tracks too.
        warnings: what to know before trusting the scores.

    Returns:
        The scores in a few words.

    Raises:
        DataError: the truth does not fit the run.
    """
    detection: DetectionScores | None = None
    tracking: TrackScores | None = None
    notes: list[str] = []
    parts: dict[str, Any] = {}
    if truth_file is not None:
        truth = load_truth(truth_file, pipeline.labels)
        rows = _rows_in_order(truth)
        _check_fit(show, rows, truth_file)
        detection = _detection(show, pipeline, truth, rows, outputs.folder)
        tracking = _tracking(show, pipeline, truth, rows, truth_file)
        parts["detection"] = detection_metrics(detection)
        if tracking is not None:
            parts["tracking"] = tracking_metrics(tracking)
        notes = [*warnings, *(str(problem) for problem in truth.problems)]
    outputs.write_metrics(**parts, warnings=notes)
    facts = run_facts(pipeline)
    write_report(
        ReportData(
            title=title,
            subtitle="Frames through detector and tracker as ROS 2 nodes in one process",
            facts=facts,
            detection=detection,
            tracking=tracking,
            latency=stage_latencies(pipeline),
            latency_samples_ms={"total": pipeline.total.samples_ms()},
            latency_note=f"Measured with {facts['device']} on {facts['processor']}; "
            "not a flight computer's.",
            timeline=_timeline(show),
            examples=[
                Example(picture, f"frame {index}") for index, picture in show.examples[-EXAMPLES:]
            ],
            warnings=notes,
        ),
        outputs.folder / "report.html",
    )
    return _in_words(pipeline, detection, tracking)


def _rows_in_order(truth: Truth) -> list[int]:
    return sorted(
        range(len(truth.images)), key=lambda row: natural_key(truth.images[row].file_name)
    )


def _check_fit(show: Show, rows: Sequence[int], path: Path) -> None:
    last = max((result.index for result in show.results), default=-1)
    if last >= len(rows):
        raise DataError(
            f"{path} has {len(rows)} images and the recording at least {last + 1}; "
            "give the truth of this recording"
        )


def _detection(
    show: Show, pipeline: Pipeline, truth: Truth, rows: Sequence[int], folder: Path
) -> DetectionScores:
    found = Predictions.collect((rows[r.index], r.detections) for r in show.results)
    write_json(folder / "predictions.json", found.results(truth, pipeline.labels), indent=None)
    limits = pipeline.bundle.thresholds.score_vector(pipeline.labels)
    return evaluate_detections(truth, found, dict(zip(pipeline.labels, limits, strict=True)))


def _tracking(
    show: Show, pipeline: Pipeline, truth: Truth, rows: Sequence[int], path: Path
) -> TrackScores | None:
    table = truth_tracks(truth, rows, path)
    if table is None:
        return None
    result = TrackTable.collect((r.index, r.tracks) for r in show.results)
    return evaluate_tracks(table, result, pipeline.labels, len(rows))


def truth_tracks(truth: Truth, rows: Sequence[int], path: Path) -> TrackTable | None:
    """Truth as tracks, where its annotations carry ``track_id``.

    Args:
        truth: as loaded, for its labels and image order.
        rows: the truth's images in frame order.
        path: of the file.
    """
    document = json.loads(path.read_text(encoding="utf-8"))
    annotations = document.get("annotations") or document.get("annotation") or []
    names = {category["id"]: category["name"] for category in document.get("categories", [])}
    label_of = {name: i for i, label in enumerate(truth.labels) for name in truth.categories[label]}
    frame_of = {truth.images[row].image_id: frame for frame, row in enumerate(rows)}
    kept = [
        (frame_of[a["image_id"]], a["track_id"], a["bbox"], label_of[names[a["category_id"]]],
         bool(a.get("ignore") or a.get("iscrowd")))
        for a in annotations
        if isinstance(a.get("track_id"), int)
        and names.get(a.get("category_id")) in label_of
        and a.get("image_id") in frame_of
    ]  # fmt: skip
    if not kept:
        return None
    boxes = np.array([box for _, _, box, _, _ in kept], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    return TrackTable(
        np.array([frame for frame, *_ in kept], np.int64),
        np.array([track for _, track, *_ in kept], np.int64),
        boxes,
        np.array([label for _, _, _, label, _ in kept], np.int32),
        np.array([ignored for *_, ignored in kept], np.bool_),
    )


def _timeline(show: Show) -> Timeline | None:
    if not show.results:
        return None
    stamps = np.array([result.stamp_ns for result in show.results], np.int64)
    return Timeline(
        (stamps - stamps[0]) / 1e9,
        {
            "detections": np.array([len(r.detections) for r in show.results], np.int64),
            "tracks": np.array([len(r.tracks) for r in show.results], np.int64),
        },
    )


def _in_words(
    pipeline: Pipeline, detection: DetectionScores | None, tracking: TrackScores | None
) -> str:
    words = [f"{pipeline.tracker.health.frames.count} frames"]
    total = pipeline.total.summary()
    if total.p50_ms is not None and total.p99_ms is not None:
        words.append(f"{total.p50_ms:.1f} ms a frame (p99 {total.p99_ms:.1f})")
    if detection is not None:
        point = detection.at_threshold
        words.append(
            f"mAP50 {detection.map50:.3f}, precision {point.precision:.3f}, "
            f"recall {point.recall:.3f}"
        )
    if tracking is not None:
        words.append(f"HOTA {tracking.overall.hota:.3f}, IDF1 {tracking.overall.idf1:.3f}")
    return "; ".join(words)
