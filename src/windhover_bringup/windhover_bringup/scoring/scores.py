"""Scores of a finished run against truth, and its report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from windhover.errors import DataError
from windhover.files import write_json
from windhover.sources.files import natural_key
from windhover.tracking.motchallenge import write_results
from windhover.types import Tracks
from windhover_bringup.recording.outputs import (
    EXAMPLES,
    FrameResult,
    OverlayVideoWriter,
    RunOutputs,
    run_facts,
    stage_latencies,
)
from windhover_bringup.runtime.composed import Pipeline
from windhover_evaluation.detection.confusion import Confusion, confusion
from windhover_evaluation.detection.scores import DetectionScores, Predictions, evaluate_detections
from windhover_evaluation.detection.truth import Truth, load_truth
from windhover_evaluation.report.baseline import Baseline, Comparison, baseline_part
from windhover_evaluation.report.metrics import detection_metrics, tracking_metrics
from windhover_evaluation.report.page import Example, ReportData, Timeline, write_report
from windhover_evaluation.tracking.scores import TrackScores, TrackTable, evaluate_tracks


@dataclass(frozen=True, slots=True)
class ScoringSpec:
    """What a run is held against.

    Attributes:
        truth: COCO JSON whose images are the source's in natural order of their
            names; annotations with ``track_id`` are scored as tracks too. ``None``
            for none.
        part: only part of the source is played: images before its first frame and
            after its last do not count.
        baseline: an earlier run.
        warnings: what to know before trusting the scores.
    """

    truth: Path | None = None
    part: bool = False
    baseline: Baseline | None = None
    warnings: Sequence[str] = ()


def write_scored(
    outputs: RunOutputs,
    show: OverlayVideoWriter,
    pipeline: Pipeline,
    title: str,
    judge: ScoringSpec,
) -> tuple[str, list[Comparison]]:
    """Score a run and write ``metrics.json``, ``report.html`` and the results as text.

    ``detections.txt`` and ``tracks.txt`` are MOTChallenge files with classes, frames
    counted from 1.

    Args:
        outputs: of the run.
        show: of the run; its examples are shown.
        pipeline: that was run.
        title: of the page.
        judge: what to score it by.

    Returns:
        The scores in a few words, and those of the baseline beside them.

    Raises:
        DataError: the truth does not fit the run, or the baseline has no score of it.
    """
    folder = outputs.folder
    write_results(folder / "tracks.txt", ((r.index + 1, r.tracks) for r in show.results), True)
    write_results(
        folder / "detections.txt", ((r.index + 1, _nameless(r)) for r in show.results), True
    )
    scored = _score(show, pipeline, judge, folder) if judge.truth is not None else _Scored()
    parts: dict[str, Any] = {}
    if scored.detection is not None:
        parts["detection"] = detection_metrics(scored.detection, scored.confusion)
    if scored.tracking is not None:
        parts["tracking"] = tracking_metrics(scored.tracking)
    metrics = outputs.metrics(**parts, warnings=scored.notes)
    compared = judge.baseline.against(metrics) if judge.baseline else []
    write_json(folder / "metrics.json", {**metrics, **baseline_part(compared)})
    facts = run_facts(pipeline)
    latency = stage_latencies(pipeline)
    last = "capture_to_tracks" if "capture_to_tracks" in latency else "total"
    samples = pipeline.capture if last == "capture_to_tracks" else pipeline.total
    write_report(
        ReportData(
            title=title,
            subtitle="Frames through detector and tracker as ROS 2 nodes in one process",
            facts=facts,
            detection=scored.detection,
            confusion=scored.confusion,
            tracking=scored.tracking,
            baseline=compared,
            latency=latency,
            latency_samples_ms={last: samples.samples_ms()},
            latency_note=f"Measured with {facts['device']} on {facts['processor']}; "
            "not a flight computer's.",
            timeline=_timeline(show),
            examples=[
                Example(picture, f"frame {index}") for index, picture in show.examples[-EXAMPLES:]
            ],
            warnings=scored.notes,
        ),
        folder / "report.html",
    )
    return _in_words(pipeline, scored.detection, scored.tracking), compared


@dataclass(frozen=True, slots=True)
class _Scored:
    detection: DetectionScores | None = None
    confusion: Confusion | None = None
    tracking: TrackScores | None = None
    notes: list[str] = field(default_factory=list)


def _nameless(result: FrameResult) -> Tracks:
    """Detections as result rows: MOTChallenge gives what has no track the id -1."""
    found = result.detections
    return Tracks(found.boxes, found.scores, found.class_ids, np.full(len(found), -1, np.int64))


def _score(
    show: OverlayVideoWriter, pipeline: Pipeline, judge: ScoringSpec, folder: Path
) -> _Scored:
    assert judge.truth is not None
    truth = load_truth(judge.truth, pipeline.labels)
    rows = _rows_in_order(truth)
    _check_fit(show, rows, judge.truth)
    notes = [*judge.warnings, *(str(problem) for problem in truth.problems)]
    indices = [result.index for result in show.results]
    first = min(indices, default=0) if judge.part else 0
    if judge.part:
        rows = rows[first : max(indices, default=-1) + 1]
    elif len(set(indices)) < len(rows):
        notes.append(
            f"{len(rows) - len(set(indices))} of the truth's {len(rows)} images were not "
            "processed (dropped, or not in the recording) and count as images in which nothing "
            "was found"
        )
    played = truth.of_images(rows)
    found = Predictions.collect((r.index - first, r.detections) for r in show.results)
    write_json(folder / "predictions.json", found.results(played, pipeline.labels), indent=None)
    limits = pipeline.bundle.thresholds.score_vector(pipeline.labels)
    tracking = None
    table = truth_tracks(truth, rows, judge.truth)
    if table is not None:
        result = TrackTable.collect((r.index - first, r.tracks) for r in show.results)
        tracking = evaluate_tracks(table, result, pipeline.labels, len(rows))
    return _Scored(
        evaluate_detections(played, found, dict(zip(pipeline.labels, limits, strict=True))),
        confusion(played, found, np.array(limits, np.float32)),
        tracking,
        notes,
    )


def _rows_in_order(truth: Truth) -> list[int]:
    return sorted(
        range(len(truth.images)), key=lambda row: natural_key(truth.images[row].file_name)
    )


def _check_fit(show: OverlayVideoWriter, rows: Sequence[int], path: Path) -> None:
    last = max((result.index for result in show.results), default=-1)
    if last >= len(rows):
        raise DataError(
            f"{path} has {len(rows)} images and the recording at least {last + 1}; "
            "give the truth of this recording"
        )


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


def _timeline(show: OverlayVideoWriter) -> Timeline | None:
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
