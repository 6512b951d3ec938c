"""Camera motion and tracking as it gets dark: with RGB alone, and with RGB + thermal.

Two rendered flights with strong camera motion, registered as in flight; RGB is dimmed and
sensor noise added. The tracker gets the truth with noise.

    python -m bench.dark_flight [--frames N] [--out out/bench]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.peers.flights import REPORTED, noisy
from bench.table import ResultTable, add_out, save
from windhover.pairing.registration import Pose, Registration
from windhover.tracking import make_tracker
from windhover.tracking.camera_motion import CameraMotion
from windhover.types import Detections, Frame, RgbtFrame, Tracks
from windhover_evaluation.tracking.scene_truth import scene_track_truth
from windhover_evaluation.tracking.scores import TrackTable, add_scores, evaluate_tracks
from windhover_sim.calibration import down_of, scene_calibration
from windhover_sim.config import SCENE_LABELS
from windhover_sim.scene import Scene, SceneFrame

FLIGHTS = [flight.scene for flight in REPORTED if flight.name in ("drone-201", "drone-203")]
#: Share of the rendered night's light.
LIGHT = (1.0, 0.3, 0.1, 0.05, 0.02, 0.0)
NOISE = 2.0
_STEPS = np.linspace(0.1, 0.9, 5)


@dataclass(frozen=True, slots=True)
class TrueFrame:
    """A frame with its truth."""

    image: NDArray[np.uint8]
    to_image: NDArray[np.float64]
    stamp_ns: int
    seen: Detections
    scene: SceneFrame


def rendered(frames: int) -> Iterator[list[TrueFrame]]:
    """The flights' frames, 8UC4."""
    for config in FLIGHTS:
        scene, rng = Scene(config), np.random.default_rng(config.seed)
        registration = Registration(scene_calibration(config))
        flight = []
        for index in range(frames):
            drawn = scene.render(index, "both")
            pose = Pose(float(drawn.rgb_camera.position[2]), down_of(drawn.rgb_camera))
            assert drawn.rgb is not None
            assert drawn.thermal is not None
            rgb = Frame(drawn.rgb, "bgr8", drawn.stamp_ns)
            pair = RgbtFrame(rgb, Frame(drawn.thermal, "mono16", drawn.stamp_ns))
            image = np.asarray(registration.frame(pair, pose).image, np.uint8)
            to_image = drawn.rgb_camera.ground_to_image()
            seen = noisy(drawn.rgb_truth, rng)
            flight.append(TrueFrame(image, to_image, drawn.stamp_ns, seen, drawn))
        yield flight


def dimmed(image: NDArray[np.uint8], light: float, seed: int) -> NDArray[np.uint8]:
    """The image with less light on its colours, and with the noise of a sensor in the dark."""
    if light == 1.0:
        return image
    noise = np.random.default_rng(seed).normal(2.0, NOISE, (*image.shape[:2], 3))
    bgr = np.clip(light * image[..., :3] + noise, 0, 255).astype(np.uint8)
    return np.dstack([bgr, image[..., 3]])


def errors(flight: Sequence[TrueFrame], images: Sequence[NDArray[np.uint8]]) -> list[float]:
    """Mean error of the motion over the image, px; infinite where none was measured."""
    camera, found = CameraMotion(), []
    height, width = images[0].shape[:2]
    points = np.array([[[x * width, y * height]] for x in _STEPS for y in _STEPS])
    for index, (shot, image) in enumerate(zip(flight, images, strict=True)):
        matrix = camera.estimate(image, shot.seen.boxes).matrix
        if not index:
            continue
        true = shot.to_image @ np.linalg.inv(flight[index - 1].to_image)
        if matrix is None:
            found.append(np.inf)
            continue
        moved, expected = (cv2.perspectiveTransform(points, each) for each in (matrix, true))
        found.append(float(np.linalg.norm(moved - expected, axis=2).mean()))
    return found


def tracks(flight: Sequence[TrueFrame], images: Sequence[NDArray[np.uint8]]) -> TrackTable:
    """Tracks of a flight, with camera motion compensated."""
    tracker = make_tracker(params={"camera_motion": True})
    results: list[tuple[int, Tracks]] = [
        (index, tracker.update(shot.seen, shot.stamp_ns, image))
        for index, (shot, image) in enumerate(zip(flight, images, strict=True))
    ]
    return TrackTable.collect(results)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=120, help="of each flight, at 30 Hz")
    add_out(parser)
    arguments = parser.parse_args()
    frames = arguments.frames
    cv2.setNumThreads(1)
    flown = list(rendered(frames))
    rows = []
    for light in LIGHT:
        dark = [[dimmed(s.image, light, i) for i, s in enumerate(flight)] for flight in flown]
        for name, images in (
            ("RGB", [[image[..., :3].copy() for image in each] for each in dark]),
            ("RGB + thermal", dark),
        ):
            off = np.concatenate([errors(*pair) for pair in zip(flown, images, strict=True)])
            scores = []
            for flight, each in zip(flown, images, strict=True):
                truths = [(index, shot.scene.rgb_truth) for index, shot in enumerate(flight)]
                truth = scene_track_truth(truths, SCENE_LABELS)
                scores.append(evaluate_tracks(truth, tracks(flight, each), SCENE_LABELS, frames))
            total = add_scores(scores)
            known = np.isfinite(off)
            median = f"{np.median(off[known]):.2f}" if known.any() else "-"
            lost = f"{(~known).mean():.0%}"
            rows.append(
                [f"{light:.0%}", name, median, lost, f"{total.hota:.3f}", f"{total.idf1:.3f}"]
            )
    table = ResultTable(
        "Camera motion by RGB and by RGB + thermal",
        "median error in px; HOTA; IDF1",
        ("light of the rendered night", "images", "error", "frames without", "HOTA", "IDF1"),
        rows,
    )
    print(table.markdown())
    save({"camera-motion-light": table}, arguments.out, "bench.dark_flight")
    return 0


if __name__ == "__main__":
    sys.exit(main())
