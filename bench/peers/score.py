"""One tracker over one sequence: its scores and its time a frame."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bench.peers.adapters import TrackerUnderTest
from bench.peers.sequences import Sequence
from windhover.types import Tracks
from windhover_evaluation.tracking.scores import (
    TrackCounts,
    TrackScores,
    TrackTable,
    add_scores,
    evaluate_tracks,
)


@dataclass(frozen=True, slots=True)
class SequenceResult:
    """Scores and cost of one tracker on one sequence.

    Attributes:
        scores: of the sequence.
        frame_ms: median time of one update, wall clock.
        cpu_ms: mean CPU time of one update, of this thread.
    """

    scores: TrackScores
    frame_ms: float
    cpu_ms: float


def run_tracker(subject: TrackerUnderTest, sequence: Sequence) -> SequenceResult:
    """Track a sequence and score it."""
    results: list[tuple[int, Tracks]] = []
    wall: list[int] = []
    cpu: list[int] = []
    for index, (stamp_ns, rows, image) in enumerate(sequence):
        start, start_cpu = time.perf_counter_ns(), time.thread_time_ns()
        tracks = subject.update(rows, stamp_ns, image)
        wall.append(time.perf_counter_ns() - start)
        cpu.append(time.thread_time_ns() - start_cpu)
        results.append((index, tracks))
    scores = evaluate_tracks(
        sequence.truth, TrackTable.collect(results), sequence.labels, len(results)
    )
    return SequenceResult(scores, float(np.median(wall)) / 1e6, float(np.mean(cpu)) / 1e6)


def combined(results: Iterable[SequenceResult]) -> TrackCounts:
    """Scores of several sequences, their boxes counted together."""
    return add_scores([result.scores for result in results])
