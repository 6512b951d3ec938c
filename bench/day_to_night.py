"""Recall of an RGBT model from day through dusk to night, with both cameras and with one.

    python -m bench.day_to_night --model rgbt-n [--flights 4] [--frames 2] [--out out/bench]

The same places are rendered hour by hour; thermal is registered as in flight. A model
that relied on one camera would lose people around dusk, when RGB gets dark and
surfaces are about as warm as people's clothes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bench.table import ResultTable, add_out, save
from windhover.model.detector import Detector
from windhover.pairing.registration import Pose, Registration, merge_rgbt
from windhover.types import Detections, Frame, RgbtFrame
from windhover_sim import Scene, SceneConfig
from windhover_sim.calibration import down_of, scene_calibration
from windhover_sim.scene import SceneFrame

HOURS = (13.0, 16.0, 18.0, 19.0, 19.5, 20.0, 20.5, 21.0, 22.0, 1.0)
PHASES = {"day": (13.0, 16.0), "dusk": (18.0, 19.0, 19.5, 20.0, 20.5), "night": (21.0, 22.0, 1.0)}
SAME = {"two-wheeler": "motorcycle"}
MODALITIES = ("both", "RGB alone", "thermal alone")
IOU = 0.5
#: Objects seen less than this are ignored.
MIN_VISIBILITY, MIN_SIDE_PX = 0.5, 8.0


@dataclass
class Tally:
    """True objects, those that were detected, and false detections."""

    objects: int = 0
    found: int = 0
    false: int = 0

    def add(self, other: Tally) -> None:
        """Add another's counts."""
        self.objects += other.objects
        self.found += other.found
        self.false += other.false

    @property
    def recall(self) -> float:
        """Share found."""
        return self.found / self.objects if self.objects else float("nan")

    @property
    def precision(self) -> float:
        """Share of detections that are right."""
        detections = self.found + self.false
        return self.found / detections if detections else float("nan")


@dataclass
class Scores:
    """Tallies by hour, modality and class."""

    tallies: dict[tuple[float, str, str], Tally] = field(default_factory=dict)

    def at(self, hours: Sequence[float], modality: str, label: str) -> Tally:
        """The sum over hours."""
        total = Tally()
        for hour in hours:
            total.add(self.tallies.get((hour, modality, label), Tally()))
        return total


def frames(
    hour: float, flights: int, count: int
) -> Iterator[tuple[SceneFrame, Frame, NDArray[np.bool_]]]:
    """Rendered frames of an hour, the picture of both cameras, and where thermal looks."""
    for seed in range(flights):
        config = SceneConfig(seed=9_000 + seed, altitude_m=40.0, time_of_day=hour)
        scene = Scene(config)
        registration = Registration(scene_calibration(config))
        for index in range(count):
            drawn = scene.render(index * 40, "both")
            assert drawn.rgb is not None
            assert drawn.thermal is not None
            pair = RgbtFrame(
                Frame(drawn.rgb, "bgr8", drawn.stamp_ns),
                Frame(drawn.thermal, "mono16", drawn.stamp_ns),
            )
            pose = Pose(float(drawn.rgb_camera.position[2]), down_of(drawn.rgb_camera))
            full = np.full(drawn.thermal.shape, 255, np.uint8)
            cover = registration.warp(full, (pair.rgb.width, pair.rgb.height), pose) > 0
            yield drawn, registration.frame(pair, pose), cover


def by_modality(frame: Frame) -> Iterator[tuple[str, Frame]]:
    """The image of both cameras, and of each alone."""
    image = frame.image.view(np.uint8)
    bgr, thermal = np.ascontiguousarray(image[..., :3]), np.ascontiguousarray(image[..., 3])
    for name, four in zip(
        MODALITIES,
        (image, merge_rgbt(bgr, None), merge_rgbt(np.zeros_like(bgr), thermal)),
        strict=True,
    ):
        yield name, Frame(four, "8UC4", frame.stamp_ns)


def tally(
    found: Detections,
    labels: Sequence[str],
    drawn: SceneFrame,
    label: str,
    cover: NDArray[np.bool_],
) -> Tally:
    """Count one class in one frame, best scores first; objects hardly in view are ignored."""
    truth = drawn.rgb_truth
    rows = [i for i, name in enumerate(truth.labels) if SAME.get(name, name) == label]
    boxes = truth.boxes[rows].astype(np.float64).reshape(-1, 4)
    counted = truth.visibility[rows] >= MIN_VISIBILITY
    counted &= (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0.0) >= MIN_SIDE_PX
    counted &= np.array([_covered(box, cover) for box in boxes], bool)
    taken = np.zeros(len(boxes), bool)
    result = Tally(objects=int(counted.sum()))
    for box in found[found.class_ids == labels.index(label)].boxes.astype(np.float64):
        overlaps = _iou(box, boxes)
        overlaps[taken] = 0.0
        best = int(overlaps.argmax()) if len(boxes) else -1
        if best >= 0 and overlaps[best] >= IOU:
            taken[best] = True
            result.found += bool(counted[best])
        elif _covered(box, cover):
            result.false += 1
    return result


def _covered(box: NDArray[np.float64], cover: NDArray[np.bool_]) -> bool:
    height, width = cover.shape
    x, y = int((box[0] + box[2]) / 2), int((box[1] + box[3]) / 2)
    return 0 <= x < width and 0 <= y < height and bool(cover[y, x])


def _iou(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    return np.asarray(common / np.maximum(areas - common, 1e-9))


def measure(detector: Detector, flights: int, count: int) -> Scores:
    """Score every hour, modality and class."""
    scores = Scores()
    labels = list(detector.labels)
    for hour in HOURS:
        for drawn, picture, cover in frames(hour, flights, count):
            for modality, frame in by_modality(picture):
                found = detector.detect(frame)
                for label in labels:
                    one = scores.tallies.setdefault((hour, modality, label), Tally())
                    one.add(tally(found, labels, drawn, label, cover))
    return scores


def tables(scores: Scores, labels: Sequence[str]) -> dict[str, ResultTable]:
    """Recall and precision by phase, and recall of people by hour."""
    rows = []
    for label in labels:
        cells = [scores.at(hours, name, label) for name in MODALITIES for hours in PHASES.values()]
        objects = scores.at(HOURS, "both", label).objects
        rows.append(
            [
                f"{label} ({objects})",
                *(f"{cell.recall:.2f} ({cell.precision:.2f})" for cell in cells),
            ]
        )
    unit = "recall (precision) at the bundle's thresholds, IoU 0.5"
    columns = ["", *(f"{name}, {phase}" for name in MODALITIES for phase in PHASES)]
    hourly = [
        [name, *(f"{scores.at([hour], name, 'person').recall:.2f}" for hour in HOURS)]
        for name in MODALITIES
    ]
    return {
        "day-to-night": ResultTable("From day to night", unit, columns, rows),
        "day-to-night-people": ResultTable(
            "People by the hour", "recall", ["", *(f"{hour:g} h" for hour in HOURS)], hourly
        ),
    }


def main() -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="rgbt-n", help="bundle folder, or its name in models/")
    parser.add_argument("--flights", type=int, default=4, help="places")
    parser.add_argument("--frames", type=int, default=2, help="of each place and hour")
    add_out(parser)
    arguments = parser.parse_args()
    with Detector.open(arguments.model, "cpu") as detector:
        scores = measure(detector, arguments.flights, arguments.frames)
        found = tables(scores, detector.labels)
    for each in found.values():
        print(f"{each.markdown()}\n")
    save(found, arguments.out, "bench.day_to_night")
    return 0


if __name__ == "__main__":
    sys.exit(main())
