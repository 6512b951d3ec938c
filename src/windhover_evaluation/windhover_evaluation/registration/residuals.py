"""How far thermal pixels are off at each height, against a rendered scene's geometry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from windhover.geometry import Floats, ray_map
from windhover.pairing.edges import apply_homography
from windhover.pairing.files import Calibration, FixedHomography
from windhover_sim.calibration import down_of, extrinsics_of, lens_of
from windhover_sim.camera import Flight
from windhover_sim.config import SceneConfig

Way = Callable[[Floats, float, Floats], Floats]
"""RGB pixels, altitude and down to thermal pixels."""

ALTITUDES_M = (10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 70.0, 90.0, 120.0)
_POSES = 8


@dataclass(frozen=True, slots=True)
class Row:
    """Residuals at one height.

    Attributes:
        altitude_m: of the flight.
        median_px: of each way, thermal pixels.
        p95_px: the same, 95th percentile.
    """

    altitude_m: float
    median_px: Mapping[str, float]
    p95_px: Mapping[str, float]


def aware(calibration: Calibration, altitude_factor: float = 1.0, pitch_deg: float = 0.0) -> Way:
    """By way of the ground plane.

    Args:
        calibration: of the cameras.
        altitude_factor: what the altitude is told too high by.
        pitch_deg: what the attitude is told too steep by.
    """

    def way(pixels: Floats, altitude_m: float, down: Floats) -> Floats:
        angle = np.radians(pitch_deg)
        tilted = np.array(
            [
                down[0],
                np.cos(angle) * down[1] - np.sin(angle) * down[2],
                np.sin(angle) * down[1] + np.cos(angle) * down[2],
            ]
        )
        between = ray_map(calibration.extrinsics, altitude_m * altitude_factor, tilted)
        return calibration.thermal.project(calibration.rgb.rays(pixels) @ between.T)

    return way


def fixed(homography: FixedHomography) -> Way:
    """By one homography, whatever the height."""
    return lambda pixels, _altitude_m, _down: apply_homography(homography.matrix, pixels)


def residuals(
    config: SceneConfig, ways: Mapping[str, Way], altitudes_m: Sequence[float] = ALTITUDES_M
) -> list[Row]:
    """Measure ways to register against the true geometry of a scene's flight.

    Args:
        config: of the scene; its altitude is replaced.
        ways: by name.
        altitudes_m: to measure at.
    """
    rows = []
    for altitude in altitudes_m:
        flown = replace(config, altitude_m=altitude)
        off: dict[str, list[Floats]] = {name: [] for name in ways}
        for seed in range(_POSES):
            flight = Flight(flown, np.random.default_rng(seed))
            rgb, thermal = (flight.camera(name, 1.7 * seed) for name in ("rgb", "thermal"))
            lens, target = lens_of(rgb.intrinsics), lens_of(thermal.intrinsics)
            height, down = float(rgb.position[2]), down_of(rgb)
            pixels = _grid(lens.size)
            between = ray_map(extrinsics_of(rgb, thermal), height, down)
            true = target.project(lens.rays(pixels) @ between.T)
            inside = ((true >= 0) & (true <= np.array(target.size) - 1)).all(axis=1)
            for name, way in ways.items():
                found = way(pixels[inside], height, down)
                off[name].append(np.hypot(*(found - true[inside]).T))
        merged = {name: np.concatenate(values) for name, values in off.items()}
        rows.append(
            Row(
                altitude,
                {name: float(np.median(values)) for name, values in merged.items()},
                {name: float(np.percentile(values, 95)) for name, values in merged.items()},
            )
        )
    return rows


def _grid(size: tuple[int, int]) -> Floats:
    x, y = np.meshgrid(np.linspace(0, size[0] - 1, 33), np.linspace(0, size[1] - 1, 19))
    return np.column_stack([x.ravel(), y.ravel()])
