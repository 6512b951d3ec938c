"""Scores of a finished run against truth, and its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from windhover.errors import DataError
from windhover.files import write_json
from windhover.tracking.motchallenge import write_mot
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
from windhover_evaluation.detection.frames import check_size
from windhover_evaluation.detection.scores import DetectionScores, Predictions, evaluate_detections
from windhover_evaluation.detection.truth import Truth
from windhover_evaluation.detection.truth_file import load_truth
from windhover_evaluation.report import examples
from windhover_evaluation.report.baseline import Baseline, Comparison, baseline_part
from windhover_evaluation.report.metrics import detection_metrics, tracking_metrics
from windhover_evaluation.report.page import Example, ReportData, Timeline, write_report
from windhover_evaluation.tracking.coco_truth import rows_in_order, truth_tracks
from windhover_evaluation.tracking.mot_export import MotSequence, write_mot_folder
from windhover_evaluation.tracking.scores import TrackScores, TrackTable, evaluate_tracks


@dataclass(frozen=True, slots=True)
class ScoringSpec:
    """How a run is scored.

    Attributes:
        truth: COCO JSON whose images are the source's in natural order of their
            names; annotations with ``track_id`` are scored as tracks too. ``None``
            for none.
        part: only part of the source is played: images before its first frame and
            after its last do not count.
        baseline: an earlier run.
        warnings: what to know before trusting the scores.
        mapping: label by the truth's category name, where it is not in the table of
            :mod:`windhover_evaluation.detection.categories`.
    """

    truth: Path | None = None
    part: bool = False
    baseline: Baseline | None = None
    warnings: Sequence[str] = ()
    mapping: Mapping[str, str] = field(default_factory=dict)


def write_scored(
    outputs: RunOutputs,
    video: OverlayVideoWriter,
    pipeline: Pipeline,
    title: str,
    spec: ScoringSpec,
) -> tuple[str, list[Comparison]]:
    """Score a run and write ``metrics.json``, ``report.html`` and the results as text.

    ``detections.txt`` and ``tracks.txt`` are MOTChallenge files with classes, frames
    counted from 1. Where the truth has track ids, ``mot/`` holds truth and tracks as other
    tools take them, see :mod:`windhover_evaluation.tracking.mot_export`.

    Args:
        outputs: of the run.
        video: of the run; its examples are shown.
        pipeline: that was run.
        title: of the page.
        spec: how to score it.

    Returns:
        The scores in a few words, and those of the baseline beside them.

    Raises:
        DataError: the truth does not fit the run, or the baseline has no score of it.
    """
    folder = outputs.folder
    write_mot(folder / "tracks.txt", ((r.index + 1, r.tracks) for r in video.results), True)
    write_mot(
        folder / "detections.txt", ((r.index + 1, _as_tracks(r)) for r in video.results), True
    )
    scored = _score(video, pipeline, spec, folder) if spec.truth is not None else _Scored()
    parts: dict[str, Any] = {}
    if scored.detection is not None:
        parts["detection"] = detection_metrics(scored.detection, scored.confusion)
    if scored.tracking is not None:
        parts["tracking"] = tracking_metrics(scored.tracking)
    metrics = outputs.metrics(**parts, warnings=scored.notes)
    compared = spec.baseline.against(metrics) if spec.baseline else []
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
            timeline=_timeline(video, scored.truth),
            examples=_examples(video, scored.truth),
            examples_note=_EVENLY + (f" {examples.LEGEND}" if scored.truth else ""),
            warnings=scored.notes,
        ),
        folder / "report.html",
    )
    return _summary(pipeline, scored.detection, scored.tracking), compared


@dataclass(frozen=True, slots=True)
class _Scored:
    detection: DetectionScores | None = None
    confusion: Confusion | None = None
    tracking: TrackScores | None = None
    notes: list[str] = field(default_factory=list)
    truth: Mapping[int, Truth] | None = None
    """Of each frame that was processed, by its index."""


_EVENLY = (
    "Frames at even distances over the whole run, with the tracks that were published. A label "
    "is a track's id and score, and its class where there is room."
)


def _as_tracks(result: FrameResult) -> Tracks:
    """Detections as result rows: MOTChallenge gives what has no track the id -1."""
    found = result.detections
    return Tracks(found.boxes, found.scores, found.class_ids, np.full(len(found), -1, np.int64))


def _score(
    video: OverlayVideoWriter, pipeline: Pipeline, spec: ScoringSpec, folder: Path
) -> _Scored:
    assert spec.truth is not None
    truth = load_truth(spec.truth, pipeline.labels, spec.mapping)
    truth.require_objects()
    rows = rows_in_order(truth)
    _check_fit(video, truth, rows, spec.truth)
    notes = [*spec.warnings, *(str(problem) for problem in truth.problems)]
    if truth.ignored_categories:
        notes.append(f"the truth's {', '.join(truth.ignored_categories)} are ignored regions")
    indices = [result.index for result in video.results]
    first = min(indices, default=0) if spec.part else 0
    if spec.part:
        rows = rows[first : max(indices, default=-1) + 1]
    elif len(set(indices)) < len(rows):
        notes.append(
            f"{len(rows) - len(set(indices))} of the truth's {len(rows)} images were not "
            "processed (dropped, or not in the recording) and count as images in which nothing "
            "was found"
        )
    played = truth.of_images(rows)
    found = Predictions.collect((r.index - first, r.detections) for r in video.results)
    write_json(folder / "predictions.json", found.results(played, pipeline.labels), indent=None)
    limits = pipeline.detector.least_scores(pipeline.bundle)
    tracking = None
    table = truth_tracks(played)
    if table is not None:
        result = TrackTable.collect((r.index - first, r.tracks) for r in video.results)
        tracking = evaluate_tracks(table, result, pipeline.labels, len(rows))
        width, height = video.results[0].size if video.results else (0, 0)
        sequence = MotSequence(
            folder.resolve().name or "run", len(rows), pipeline.rate_hz, width, height
        )
        write_mot_folder(folder / "mot", sequence, table, result, pipeline.labels)
    return _Scored(
        evaluate_detections(played, found, dict(zip(pipeline.labels, limits, strict=True))),
        confusion(played, found, np.array(limits, np.float32)),
        tracking,
        notes,
        {index: played.boxes_of(index - first) for index in indices},
    )


def _examples(video: OverlayVideoWriter, truth: Mapping[int, Truth] | None) -> list[Example]:
    """Frames at even distances over the run, with the truth drawn in where there is one."""
    kept = video.examples
    places = np.linspace(0, len(kept) - 1, min(EXAMPLES, len(kept))).round().astype(int).tolist()
    results = {result.index: result.tracks for result in video.results}
    shown = []
    for index, picture in (kept[place] for place in places):
        caption = f"frame {index}"
        if truth is not None:
            tracks = results[index]
            counts = examples.draw_truth(picture, truth[index], tracks.boxes, tracks.class_ids)
            caption = f"{caption}: {counts}"
        shown.append(Example(picture, caption))
    return shown


def _check_fit(video: OverlayVideoWriter, truth: Truth, rows: Sequence[int], path: Path) -> None:
    last = max((result.index for result in video.results), default=-1)
    if last >= len(rows):
        raise DataError(
            f"{path} has {len(rows)} images and the recording at least {last + 1}; "
            "give the truth of this recording"
        )
    for result in video.results:
        check_size(truth, rows[result.index], result.size, f"frame {result.index}")


def _timeline(video: OverlayVideoWriter, truth: Mapping[int, Truth] | None) -> Timeline | None:
    if not video.results:
        return None
    stamps = np.array([result.stamp_ns for result in video.results], np.int64)
    there = (
        {
            "objects in the truth": np.array(
                [np.count_nonzero(~truth[r.index].ignored) for r in video.results], np.int64
            )
        }
        if truth is not None
        else {}
    )
    return Timeline(
        (stamps - stamps[0]) / 1e9,
        {
            **there,
            "detections": np.array([len(r.detections) for r in video.results], np.int64),
            "tracks": np.array([len(r.tracks) for r in video.results], np.int64),
        },
    )


def _summary(
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
