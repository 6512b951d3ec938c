"""False alarms a minute of flight: what is found, and what is tracked, where there is nothing.

    python -m bench.empty_flights --model rgbt-n [--scenes 6] [--seconds 10] [--rate 5]

Rendered flights over scenes with nothing to find, by seeds that neither training nor thresholds
nor the card's empty frames have. Each operating point has the drone's tracker with its defaults.
Runs in the training environment, whose scenes these are.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from bench.table import ResultTable, add_out, save
from windhover.model import Bundle
from windhover.model.detector import Detector
from windhover.tracking import make_tracker
from windhover.tracking.base import Tracker
from windhover.tracking.bytetrack.params import ByteTrackParams
from windhover.types import Detections, Frame
from windhover_sim import Scene
from windhover_training.data.render.rgbt_scenes import Part, draw_scene, registered
from windhover_training.data.render.thermal_scenes import time_of_day

SEEDS = range(2_000, 2_100)
#: An alarm that lasts so long is hard to take for a flicker.
LASTING_S = 1.0


@dataclass
class Alarms:
    """What one operating point reports over all flights.

    Attributes:
        frames: with a detection.
        detections: by label.
        tracks: distinct ones that became visible, by label.
        lasting: of these, visible for :data:`LASTING_S` at least.
    """

    frames: int = 0
    detections: Counter[str] = field(default_factory=Counter)
    tracks: Counter[str] = field(default_factory=Counter)
    lasting: int = 0


class Flight:
    """One operating point over one flight."""

    def __init__(self, alarms: Alarms) -> None:
        self._alarms = alarms
        self._tracker: Tracker = make_tracker()
        self._seen: dict[int, tuple[int, int]] = {}

    def add(self, found: Detections, labels: Sequence[str], stamp_ns: int) -> None:
        """Count a frame's detections and follow them."""
        alarms = self._alarms
        alarms.frames += bool(len(found))
        alarms.detections.update(labels[k] for k in found.class_ids)
        tracks = self._tracker.update(found, stamp_ns)
        for track, kind in zip(tracks.track_ids.tolist(), tracks.class_ids, strict=True):
            if track not in self._seen:
                alarms.tracks[labels[kind]] += 1
            first, _ = self._seen.get(track, (stamp_ns, stamp_ns))
            self._seen[track] = (first, stamp_ns)

    def end(self) -> None:
        """Count what lasted."""
        self._alarms.lasting += sum(
            last - first >= LASTING_S * 1e9 for first, last in self._seen.values()
        )


def frames(seed: int, seconds: float, rate: float) -> Iterator[Frame]:
    """One flight over nothing, as the detector gets it."""
    config = draw_scene(seed, Part("empty", SEEDS, held_out=True, empty=True))
    scene = Scene(config)
    step = config.length / config.duration_s / rate
    for number in range(min(round(seconds * rate), int(config.length / step))):
        pixels = registered(scene.render(int(number * step), "both"))
        yield Frame(pixels, "8UC4", round(number / rate * 1e9))


def measure(
    bundle: Bundle, scenes: int, seconds: float, rate: float
) -> tuple[dict[str, Alarms], int, Counter[str]]:
    """Alarms by operating point, how many frames were flown, and scenes by light."""
    points = {point: bundle.thresholds_at(point) for point in bundle.point_names}
    limits = {p: np.array(t.score_vector(bundle.labels)) for p, t in points.items()}
    alarms = {point: Alarms() for point in points}
    flown, light = 0, Counter[str]()
    # The lowest of all scores; what each point cuts is cut from these.
    least = np.min(list(limits.values()), axis=0).tolist()
    low = bundle.thresholds.model_copy(
        update={"score": min(least), "per_class": dict(zip(bundle.labels, least, strict=True))}
    )
    with Detector(bundle, "cpu", thresholds=low, second_look=False) as detector:
        for seed in SEEDS[:scenes]:
            hour = draw_scene(seed, Part("empty", SEEDS, held_out=True, empty=True)).hour
            light[time_of_day(hour)] += 1
            flights = {point: Flight(alarms[point]) for point in points}
            for frame in frames(seed, seconds, rate):
                found = detector.detect(frame)
                flown += 1
                for point, flight in flights.items():
                    kept = found[found.scores > limits[point][found.class_ids]]
                    flight.add(kept, bundle.labels, frame.stamp_ns)
            for flight in flights.values():
                flight.end()
    return alarms, flown, light


def table(
    bundle: Bundle, alarms: dict[str, Alarms], flown: int, light: Counter[str], rate: float
) -> ResultTable:
    """A row an operating point."""
    minutes = flown / rate / 60
    rows = [
        [
            point,
            f"{each.frames} of {flown}",
            f"{each.detections.total() / minutes:.1f}",
            f"{each.tracks.total() / minutes:.1f}",
            f"{each.lasting / minutes:.1f}",
            ", ".join(f"{label} {n}" for label, n in each.tracks.most_common()) or "none",
        ]
        for point, each in alarms.items()
    ]
    return ResultTable(
        title=f"False alarms of {bundle.name} {bundle.version} over empty rendered flights",
        unit="a minute of flight, INT8, first look",
        columns=[
            "operating point", "frames with a find", "detections", "tracks",
            f"tracks of {LASTING_S:g} s and more", "tracks by class, all",
        ],
        rows=rows,
        notes=[
            f"{minutes:.1f} minutes at {rate:g} frames a second: "
            + ", ".join(f"{n} flights by {name}" for name, n in light.items()),
            "Tracker with its defaults: a track is reported from hit "
            f"{ByteTrackParams().confirm_hits} on.",
        ],
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="rgbt-n")
    parser.add_argument("--scenes", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each flight")
    parser.add_argument("--rate", type=float, default=5.0, help="frames a second")
    add_out(parser)
    chosen = parser.parse_args(arguments)
    bundle = Bundle.load(chosen.model)
    result = table(
        bundle, *measure(bundle, chosen.scenes, chosen.seconds, chosen.rate), chosen.rate
    )
    print(result.markdown())
    save({"empty-flights": result}, chosen.out, "bench.empty_flights")
    return 0


if __name__ == "__main__":
    sys.exit(main())
