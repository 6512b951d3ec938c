"""The trackers' input: flights with exact truth, rendered once and kept.

A flight is rendered at 30 frames a second and thinned for lower rates, so that
rates differ in nothing else. ``drone`` flights have strong camera motion (up to
8 m/s with yaw and shake) and trees that hide objects; in ``static`` ones the camera
hovers. Detections are the released model's on the rendered thermal images, or
truth with noise. Both, and the truth, are written as MOTChallenge files and read
back from them.

    python -m bench.peers.flights [--only NAME]     renders missing flights, one a core
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from bench.peers.sequences import RATE_HZ, Sequence, by_score
from windhover.imaging.agc import percentile_agc
from windhover.model.bundle import Bundle
from windhover.model.detector import Detector
from windhover.tracking.motchallenge import read_detections
from windhover.types import Detections, Frame
from windhover_evaluation.tracking.scene_truth import scene_track_truth
from windhover_evaluation.tracking.scores import TrackTable
from windhover_sim.config import SCENE_LABELS, SceneConfig
from windhover_sim.source import SceneSource
from windhover_sim.truth import SceneTruth

ROOT = Path(__file__).resolve().parents[2]
STORE = ROOT / "out" / "peers" / "flights"
MODEL = "thermal-n"
NOISY_TRUTH = "noisy truth"
FRAMES = 300
# Below every tracker's own threshold.
SCORE_FLOOR = 0.1
DETECTIONS = (MODEL, NOISY_TRUTH)
JPEG_QUALITY = 92


@dataclass(frozen=True, slots=True)
class Flight:
    """A flight to be rendered.

    Attributes:
        name: of its folder.
        kind: ``drone`` or ``static``.
        scene: that is rendered.
    """

    name: str
    kind: str
    scene: SceneConfig


def _drone(seed: int, **options: float | str) -> Flight:
    scene = SceneConfig(
        seed=seed,
        n_people=24,
        n_cars=8,
        n_motorcycles=5,
        duration_s=FRAMES / RATE_HZ,
        rate_hz=RATE_HZ,
        clutter=2.0,
        **options,  # type: ignore[arg-type]
    )
    return Flight(f"drone-{seed}", "drone", scene)


def _static(seed: int, **options: float | str) -> Flight:
    flight = _drone(seed, motion=0.0, speed_mps=0.0, **options)
    return Flight(f"static-{seed}", "static", flight.scene)


#: Settings are chosen on these only.
TUNING = (
    _drone(101, altitude_m=32, speed_mps=5, motion=2.5, time_of_day="night"),
    _drone(102, altitude_m=45, speed_mps=8, motion=3.0, time_of_day="day", pitch_deg=45),
    _drone(103, altitude_m=38, speed_mps=3, motion=3.5, time_of_day="night", pitch_deg=75),
    _static(151, altitude_m=38, time_of_day="night"),
)

#: Flights of the table.
REPORTED = (
    _drone(201, altitude_m=35, speed_mps=6, motion=2.5, time_of_day="night"),
    _drone(202, altitude_m=48, speed_mps=8, motion=2.5, time_of_day="day", pitch_deg=50),
    _drone(203, altitude_m=40, speed_mps=4, motion=3.5, time_of_day="night", pitch_deg=70),
    _drone(204, altitude_m=32, speed_mps=7, motion=3.0, time_of_day="day"),
    _static(251, altitude_m=40, time_of_day="night"),
    _static(252, altitude_m=35, time_of_day="day"),
    _static(253, altitude_m=45, time_of_day="night", pitch_deg=50),
)


def load(flight: Flight, rate_hz: int, source: str) -> Sequence:
    """Read a flight, rendering it first if need be."""
    folder = render_flight(flight)
    step = RATE_HZ // rate_hz
    rows = read_detections(folder / f"det-{source.replace(' ', '-')}.txt")
    truth = _read_truth(folder / f"gt-{source.replace(' ', '-')}.npz")
    kept = truth[truth.frames % step == 0]
    return Sequence(
        flight.kind,
        source,
        rate_hz,
        labels_of(source),
        TrackTable(kept.frames // step, kept.ids, kept.boxes, kept.class_ids, kept.ignored),
        tuple(by_score(rows, index + 1) for index in range(0, FRAMES, step)),
        tuple(folder / "img1" / f"{index + 1:06d}.jpg" for index in range(0, FRAMES, step)),
    )


def labels_of(source: str) -> tuple[str, ...]:
    """Names that the class ids of these detections index."""
    return tuple(Bundle.load(ROOT / "models" / MODEL).labels) if source == MODEL else SCENE_LABELS


def render_all(flights: Iterable[Flight]) -> Iterator[Path]:
    """Render missing flights, one a core; yields each flight's folder when it is complete."""
    missing = [flight for flight in flights if not _is_rendered(flight)]
    if not missing:
        return
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), spawned) as pool:
        yield from pool.map(render_flight, missing)


def _is_rendered(flight: Flight) -> bool:
    done = STORE / flight.name / "done"
    return done.is_file() and done.read_text() == repr(flight.scene)


def render_flight(flight: Flight) -> Path:
    """Render a flight and detect in it, unless that was done.

    Returns:
        Its folder; a file ``done`` in it marks it as complete.
    """
    folder = STORE / flight.name
    if _is_rendered(flight):
        return folder
    (folder / "img1").mkdir(parents=True, exist_ok=True)
    source = SceneSource(flight.scene, "thermal")
    rng = np.random.default_rng(flight.scene.seed)
    truths: list[tuple[int, SceneTruth]] = []
    found: dict[str, list[Detections]] = {name: [] for name in DETECTIONS}
    thresholds = Bundle.load(ROOT / "models" / MODEL).thresholds.model_copy(
        update={"score": SCORE_FLOOR, "per_class": {}}
    )
    with Detector(Bundle.load(ROOT / "models" / MODEL), "cpu", thresholds=thresholds) as detector:
        for index in range(FRAMES):
            drawn = source.render(index)
            image = source.image(drawn)
            found[MODEL].append(detector.detect(Frame(image, "mono16", drawn.stamp_ns)))
            found[NOISY_TRUTH].append(noisy(drawn.truth, rng))
            truths.append((index, drawn.truth))
            grey = percentile_agc(np.asarray(image, np.uint16))
            _, data = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            (folder / "img1" / f"{index + 1:06d}.jpg").write_bytes(data.tobytes())
    source.close()
    for name, rows in found.items():
        stem = name.replace(" ", "-")
        (folder / f"det-{stem}.txt").write_text(_det_rows(rows))
        _write_truth(folder / f"gt-{stem}.npz", scene_track_truth(truths, labels_of(name)))
    (folder / "done").write_text(repr(flight.scene))
    return folder


def noisy(truth: SceneTruth, rng: np.random.Generator) -> Detections:
    """Detections of a mediocre detector, made from truth.

    Boxes jitter, one in ten visible objects is missed, partly hidden objects score
    low, and there are two false alarms a frame.
    """
    seen = truth[(truth.visibility > 0.25) & (rng.random(len(truth)) < 0.9)]
    boxes = seen.boxes.astype(np.float64)
    size = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    boxes = boxes + rng.normal(0.0, 1.0, boxes.shape) * (0.6 + 0.04 * size)[:, None]
    scores = 0.15 + 0.6 * seen.visibility + rng.normal(0.0, 0.12, len(seen))
    alarms = rng.poisson(2.0)
    corner = rng.uniform((0, 0), (620, 490), (alarms, 2))
    boxes = np.concatenate([boxes, np.hstack([corner, corner + rng.uniform(6, 24, (alarms, 2))])])
    scores = np.concatenate([scores, rng.uniform(0.1, 0.5, alarms)])
    labels = np.concatenate([seen.class_ids, rng.integers(0, len(SCENE_LABELS), alarms)])
    good = ((boxes[:, 2:] - boxes[:, :2]) > 1.0).all(axis=1) & (scores > SCORE_FLOOR)
    return Detections(
        boxes[good].astype(np.float32),
        np.clip(scores[good], 0.0, 0.99).astype(np.float32),
        labels[good].astype(np.int32),
    )


def _det_rows(frames: list[Detections]) -> str:
    lines = []
    for number, rows in enumerate(frames, 1):
        for (x1, y1, x2, y2), score, label in zip(
            rows.boxes.tolist(), rows.scores.tolist(), rows.class_ids.tolist(), strict=True
        ):
            lines.append(
                f"{number},-1,{x1:.2f},{y1:.2f},{x2 - x1:.2f},{y2 - y1:.2f},{score:.4f},{label}\n"
            )
    return "".join(lines)


def _write_truth(path: Path, table: TrackTable) -> None:
    np.savez(
        path,
        frames=table.frames,
        ids=table.ids,
        boxes=table.boxes,
        class_ids=table.class_ids,
        ignored=table.ignored,
    )


def _read_truth(path: Path) -> TrackTable:
    with np.load(path) as data:
        return TrackTable(**{name: data[name] for name in data.files})


def main() -> int:
    """Render missing flights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="flights whose name begins with this")
    only = parser.parse_args().only
    for folder in render_all(each for each in (*TUNING, *REPORTED) if each.name.startswith(only)):
        print(folder, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
