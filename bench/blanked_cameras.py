"""What each camera adds: the same frames with both, with RGB blank and with thermal blank.

    python -m bench.blanked_cameras --model rgbt-n [--scenes 60] [--pairs FOLDER]

AP is measured on rendered held-out scenes. ``--pairs`` takes a folder of real pairs,
``NAME_rgb.jpg`` and ``NAME_thermal.jpg`` on one grid: what is found in each is counted, for a
person to look at, and the people of four pairs of DroneRGBT, which ``bench/truth/real_pairs.json``
marks, are scored. Runs in the training environment, whose held-out scenes these are.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.looks_twice import REDUCED, scored, shots
from bench.table import ResultTable, add_out, save
from windhover.errors import DataError
from windhover.model.bundle import Bundle
from windhover.model.detector import Detector
from windhover.model.manifest import DEFAULT_POINT
from windhover.types import Detections, Frame
from windhover_evaluation.detection.scores import (
    DetectionScores,
    Predictions,
    evaluate_detections,
)
from windhover_evaluation.detection.truth import Truth
from windhover_evaluation.detection.truth_file import load_truth
from windhover_training.data.render.rgbt_scenes import parts
from windhover_training.evaluate.score import limits_at

#: Channels of a frame that are blank, by what is left.
BLANK = {"both": slice(0, 0), "RGB alone": slice(3, 4), "thermal alone": slice(0, 3)}
_TRUTH = Path(__file__).parent / "truth/real_pairs.json"
#: Of a detection that counts for AP.
_LEAST_SCORE = 0.01
_GROUPS = ("all", "day", "night")


def blanked(pixels: NDArray[np.uint8], left: str) -> NDArray[np.uint8]:
    """A frame with one camera blank.

    Args:
        pixels: ``(H, W, 4)`` uint8 B, G, R, T.
        left: a key of :data:`BLANK`.
    """
    pixels = pixels.copy()
    pixels[..., BLANK[left]] = 0
    return pixels


def measure(bundle: Bundle, scenes: int) -> dict[str, DetectionScores]:
    """AP on the held-out scenes by the cameras that are left."""
    part = next(p for p in parts(0) if p.name == "test")
    found: dict[str, list[tuple[int, Detections]]] = {left: [] for left in BLANK}
    truth_of: list[dict[str, Any]] = []
    low = bundle.thresholds.model_copy(update={"score": _LEAST_SCORE, "per_class": {}})
    with Detector(bundle, "cpu", thresholds=low, second_look=False) as detector:
        for number, (frame, _, rows) in enumerate(shots(part, scenes, REDUCED[0])):
            truth_of.append(rows)
            for left in BLANK:
                pixels = blanked(np.asarray(frame.image, np.uint8), left)
                shown = replace(frame, image=pixels, full=None)
                found[left].append((number, detector.detect(shown)))
    return scored(truth_of, found)


def read_pairs(folder: Path) -> dict[str, NDArray[np.uint8]]:
    """Real pairs by the name of their RGB file, ``(H, W, 4)`` uint8 B, G, R, T.

    Raises:
        DataError: there is no pair, or one of its pictures can't be read.
    """
    pairs = {}
    for colour_file in sorted(folder.glob("*_rgb.jpg")):
        thermal_file = colour_file.with_name(colour_file.name.replace("_rgb.", "_thermal."))
        colour = cv2.imread(str(colour_file), cv2.IMREAD_COLOR)
        thermal = cv2.imread(str(thermal_file), cv2.IMREAD_GRAYSCALE)
        if colour is None or thermal is None or colour.shape[:2] != thermal.shape:
            raise DataError(f"{colour_file} is no pair with {thermal_file.name} of the same size")
        pairs[colour_file.name] = np.dstack((colour, thermal)).astype(np.uint8)
    if not pairs:
        raise DataError(f"{folder}: no NAME_rgb.jpg with its NAME_thermal.jpg")
    return pairs


def count_pairs(
    bundle: Bundle, pairs: Mapping[str, NDArray[np.uint8]]
) -> dict[str, dict[str, Counter[str]]]:
    """What is found in each pair at the bundle's thresholds, by the cameras that are left."""
    with Detector(bundle, "cpu", second_look=False) as detector:
        return {
            name: {
                left: Counter(
                    detector.labels[kind]
                    for kind in detector.detect(Frame(blanked(pixels, left), "8UC4", 0)).class_ids
                )
                for left in BLANK
            }
            for name, pixels in pairs.items()
        }


def score_pairs(
    bundle: Bundle, pairs: Mapping[str, NDArray[np.uint8]], truth: Truth
) -> dict[str, DetectionScores]:
    """Scores of people in the pairs that a truth marks, by the cameras that are left."""
    low = bundle.thresholds.model_copy(update={"score": _LEAST_SCORE, "per_class": {}})
    least = limits_at(bundle, DEFAULT_POINT)
    with Detector(bundle, "cpu", thresholds=low, second_look=False) as detector:
        found = {
            left: [
                (row, detector.detect(Frame(blanked(pairs[image.file_name], left), "8UC4", 0)))
                for row, image in enumerate(truth.images)
            ]
            for left in BLANK
        }
    return {
        left: evaluate_detections(truth, Predictions.collect(rows), least, ["person"])
        for left, rows in found.items()
    }


def table(bundle: Bundle, scores: dict[str, DetectionScores]) -> ResultTable:
    """AP50 by class, light and the cameras that are left."""
    ap50 = [
        {
            (found.label, group): f"{found.ap50:.3f}"
            for group, part in {"all": result, **result.groups.get("time", {})}.items()
            for found in part.classes
        }
        for result in scores.values()
    ]
    rows = [
        [row.label, group, *(cells.get((row.label, group), "n/a") for cells in ap50)]
        for row in scores["both"].classes
        for group in _GROUPS
    ]
    return ResultTable(
        title=f"{bundle.name} {bundle.version} with each camera blank, held-out rendered scenes",
        unit="AP50, INT8, first look",
        columns=["class", "images", *BLANK],
        rows=rows,
    )


def table_of_pairs(bundle: Bundle, counts: dict[str, dict[str, Counter[str]]]) -> ResultTable:
    """People and motorcycles that are found in each pair."""
    labels = ("person", "motorcycle", "vehicle")
    rows = [
        [name, *(" / ".join(str(found[label]) for label in labels) for found in by.values())]
        for name, by in counts.items()
    ]
    sums = {left: sum((by[left] for by in counts.values()), Counter[str]()) for left in BLANK}
    rows.append(["all", *(" / ".join(str(sums[b][label]) for label in labels) for b in BLANK)])
    return ResultTable(
        title=f"{bundle.name} {bundle.version} with each camera blank, real pairs",
        unit="finds at the balanced point: " + " / ".join(labels),
        columns=["pair", *BLANK],
        rows=rows,
        notes=["Right and wrong finds count alike."],
    )


def table_of_people(bundle: Bundle, scores: dict[str, DetectionScores]) -> ResultTable:
    """People of the marked pairs: AP50, and recall and precision at the bundle's threshold."""
    rows = []
    for left, result in scores.items():
        for group, part in {"all": result, **result.groups.get("time", {})}.items():
            (person,) = part.classes
            point = person.at_threshold
            figures = (person.ap50, point.recall, point.precision)
            rows.append([left, group, str(person.truths), *(f"{value:.3f}" for value in figures)])
    return ResultTable(
        title=f"{bundle.name} {bundle.version} with each camera blank, people in four real pairs",
        unit="AP50; recall and precision at the balanced point; INT8, first look",
        columns=["cameras", "images", "people", "AP50", "recall", "precision"],
        rows=rows,
        notes=[
            "Marked by hand for this bench (bench/truth/real_pairs.json): three at night, one at "
            "low sun; groups, riders and what can't be told are neither right nor wrong.",
        ],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="rgbt-n")
    parser.add_argument("--scenes", type=int, default=60, help="0 leaves rendered scenes out")
    parser.add_argument("--pairs", type=Path, help="folder of real pairs")
    add_out(parser)
    chosen = parser.parse_args(arguments)
    bundle = Bundle.load(chosen.model)
    results = {}
    if chosen.pairs is not None:
        pairs, truth = read_pairs(chosen.pairs), load_truth(_TRUTH, bundle.labels)
        results["blanked-pairs"] = table_of_pairs(bundle, count_pairs(bundle, pairs))
        results["pairs-people"] = table_of_people(bundle, score_pairs(bundle, pairs, truth))
    if chosen.scenes:
        results["blanked-cameras"] = table(bundle, measure(bundle, chosen.scenes))
    for result in results.values():
        print(result.markdown())
    save(results, chosen.out, "bench.blanked_cameras")
    return 0


if __name__ == "__main__":
    sys.exit(main())
