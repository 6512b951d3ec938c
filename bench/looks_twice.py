"""Weapons found end to end, by the first look alone and by both, on held-out scenes.

    python -m bench.looks_twice --model rgbt-n [--scenes 60] [--frames 2] [--columns 3840]

Runs in the training environment, whose held-out scenes these are: the test split of
``data render-rgbt``, with an RGB camera of more columns. The detector gets what the drone's
gets: RGB + thermal at 1280x720 and the full RGB frame. Everybody whom the first look finds
is looked at, so nothing is lost to a time budget.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench.table import ResultTable, add_out, save
from windhover.model.detector import Detector
from windhover.second_look.second_pass import CameraPose
from windhover.types import Detections, Frame, FullFrame
from windhover_evaluation.detection.operating_points import OperatingPoint
from windhover_evaluation.detection.scores import (
    DetectionScores,
    Predictions,
    evaluate_detections,
)
from windhover_evaluation.detection.truth_file import load_truth
from windhover_sim import Scene
from windhover_sim.calibration import down_of, lens_of
from windhover_training.data.convert.truth_file import write_truth
from windhover_training.data.render.rgbt_scenes import (
    RGBT_LABELS,
    Part,
    draw_scene,
    parts,
    registered,
    truth_rows,
)
from windhover_training.data.render.thermal_scenes import time_of_day

REDUCED = (1280, 720)
ALONE, BY_BOXES, BY_POSE = "first look alone", "both, chips by boxes", "both, chips by pose"
LABELS = ("person", "weapon")


def shots(
    part: Part, scenes: int, columns: int
) -> Iterator[tuple[Frame, CameraPose, dict[str, Any]]]:
    """Frames as the detector gets them, each with its pose, COCO image and annotations."""
    factor, numbers = columns / REDUCED[0], itertools.count()
    for seed in part.seeds[:scenes]:
        drawn = draw_scene(seed, part)
        config = replace(drawn, rgb_size=(columns, columns * 9 // 16))
        for index in np.linspace(0, config.length - 1, part.frames).astype(int):
            shot = Scene(config).render(int(index), "both")
            assert shot.rgb is not None
            small = cv2.resize(registered(shot), REDUCED, interpolation=cv2.INTER_AREA)
            truth = replace(shot.rgb_truth, boxes=shot.rgb_truth.boxes / np.float32(factor))
            width, height = REDUCED
            image = {
                "file_name": f"{next(numbers)}.png",
                "width": width,
                "height": height,
                "time_of_day": time_of_day(config.hour),
            }
            camera = shot.rgb_camera
            rows = truth_rows(replace(shot, rgb_truth=truth))
            yield (
                Frame(small.astype(np.uint8), "8UC4", 0, full=FullFrame(shot.rgb, "bgr8")),
                CameraPose(lens_of(camera.intrinsics), float(camera.position[2]), down_of(camera)),
                {"image": image, "annotations": rows},
            )


def measure(model: str, scenes: int, frames: int, columns: int) -> dict[str, DetectionScores]:
    """Scores of the first look alone and of both, at the bundle's thresholds."""
    part = replace(next(p for p in parts(0) if p.name == "test"), frames=frames)
    found: dict[str, list[tuple[int, Detections]]] = {
        name: [] for name in (ALONE, BY_BOXES, BY_POSE)
    }
    truth_of: list[dict[str, Any]] = []
    alone, both = Detector.open(model, "cpu", second_look=False), Detector.open(model, "cpu")
    if both.second_pass is None:
        why = both.second_look_problem or "it has no second graph"
        raise SystemExit(f"{model} looks once only: {why}")
    for number, (frame, pose, rows) in enumerate(shots(part, scenes, columns)):
        truth_of.append(rows)
        found[ALONE].append((number, alone.detect(frame)))
        for name, known in ((BY_BOXES, None), (BY_POSE, pose)):
            both.second_pass.pose = known
            found[name].append((number, both.detect(frame)))
    # Each look has cut its detections by thresholds of its own.
    return scored(truth_of, found)


def scored(
    truth_of: Sequence[dict[str, Any]], found: Mapping[str, list[tuple[int, Detections]]]
) -> dict[str, DetectionScores]:
    """Scores of what each way found, without a threshold.

    Args:
        truth_of: COCO image and annotations of each frame, as :func:`shots` gives them.
        found: way -> frame number and detections.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "truth.json"
        write_truth(path, truth_of, RGBT_LABELS)
        truth = load_truth(path, RGBT_LABELS)
    return {
        name: evaluate_detections(truth, Predictions.collect(rows), 0.0)
        for name, rows in found.items()
    }


def _cells(point: OperatingPoint) -> list[str]:
    right, false, missed = point.true_positives, point.false_positives, point.false_negatives
    precision = f"{right / (right + false):.3f}" if right + false else "n/a"
    return [str(right + missed), f"{right / max(1, right + missed):.3f}", precision]


def table(scores: dict[str, DetectionScores], columns: int) -> ResultTable:
    """Recall and precision by look, light and label."""
    rows = []
    for name, result in scores.items():
        groups = {"all": result, **result.groups.get("time", {})}
        for group, part in groups.items():
            rows += [
                [name, group, row.label, *_cells(row.at_threshold)]
                for row in part.classes
                if row.label in LABELS
            ]
    return ResultTable(
        title=f"Looking twice end to end, held-out rendered scenes, {columns} columns",
        unit="recall and precision at IoU 0.5, INT8, at the bundle's thresholds",
        columns=["looks", "images", "class", "boxes", "recall", "precision"],
        rows=rows,
        notes=[
            "Everybody whom the first look finds is looked at, without a time budget.",
            "Chips of 2.9 m: by each person's box, or by altitude, attitude and lens (pose).",
        ],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="rgbt-n")
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--frames", type=int, default=2, help="of each scene")
    parser.add_argument("--columns", type=int, default=3840)
    add_out(parser)
    chosen = parser.parse_args(arguments)
    scores = measure(chosen.model, chosen.scenes, chosen.frames, chosen.columns)
    result = table(scores, chosen.columns)
    print(result.markdown())
    save({"looks-twice": result}, chosen.out, "bench.looks_twice")
    return 0


if __name__ == "__main__":
    sys.exit(main())
