"""Registration error in thermal pixels at each altitude, from a rendered scene's geometry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from windhover.geometry import Floats, ray_map
from windhover.pairing.edges import apply_homography
from windhover.pairing.files import FixedHomography, RgbtCalibration
from windhover_sim.calibration import down_of, extrinsics_of, lens_of
from windhover_sim.camera import Flight
from windhover_sim.config import SceneConfig

PixelMapping = Callable[[Floats, float, Floats], Floats]
"""Maps ``(N, 2)`` RGB pixels, at an altitude in metres and with the direction of straight down
in the RGB frame ``(3,)``, to ``(N, 2)`` thermal pixels."""

ALTITUDES_M = (10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 70.0, 90.0, 120.0)
_POSES = 8


@dataclass(frozen=True, slots=True)
class AltitudeResiduals:
    """Registration errors at one altitude.

    Attributes:
        altitude_m: of the flight.
        median_px: median error of each mapping, thermal pixels.
        p95_px: 95th percentile of the same.
    """

    altitude_m: float
    median_px: Mapping[str, float]
    p95_px: Mapping[str, float]


def ground_plane_mapping(
    calibration: RgbtCalibration, altitude_factor: float = 1.0, pitch_error_deg: float = 0.0
) -> PixelMapping:
    """Map pixels through the ground plane.

    Args:
        calibration: of the cameras.
        altitude_factor: the altitude that the mapping is given, as a share of the true one.
        pitch_error_deg: by how much the pitch that the mapping is given is too steep.
    """

    def mapping(pixels: Floats, altitude_m: float, down: Floats) -> Floats:
        angle = np.radians(pitch_error_deg)
        tilted = np.array(
            [
                down[0],
                np.cos(angle) * down[1] - np.sin(angle) * down[2],
                np.sin(angle) * down[1] + np.cos(angle) * down[2],
            ]
        )
        between = ray_map(calibration.extrinsics, altitude_m * altitude_factor, tilted)
        return calibration.thermal.project(calibration.rgb.rays(pixels) @ between.T)

    return mapping


def homography_mapping(homography: FixedHomography) -> PixelMapping:
    """Map pixels by one homography, whatever the altitude."""
    return lambda pixels, _altitude_m, _down: apply_homography(homography.matrix, pixels)


def residuals_by_altitude(
    config: SceneConfig,
    mappings: Mapping[str, PixelMapping],
    altitudes_m: Sequence[float] = ALTITUDES_M,
) -> list[AltitudeResiduals]:
    """Compare mappings with the true geometry of a scene's flight.

    Args:
        config: of the scene; its altitude is replaced.
        mappings: by name.
        altitudes_m: to measure at, metres.
    """
    rows = []
    for altitude in altitudes_m:
        flown = replace(config, altitude_m=altitude)
        errors: dict[str, list[Floats]] = {name: [] for name in mappings}
        for seed in range(_POSES):
            flight = Flight(flown, np.random.default_rng(seed))
            rgb, thermal = (flight.camera(name, 1.7 * seed) for name in ("rgb", "thermal"))
            lens, target = lens_of(rgb.intrinsics), lens_of(thermal.intrinsics)
            height, down = float(rgb.position[2]), down_of(rgb)
            pixels = _grid(lens.size)
            between = ray_map(extrinsics_of(rgb, thermal), height, down)
            true = target.project(lens.rays(pixels) @ between.T)
            inside = ((true >= 0) & (true <= np.array(target.size) - 1)).all(axis=1)
            for name, mapping in mappings.items():
                found = mapping(pixels[inside], height, down)
                errors[name].append(np.hypot(*(found - true[inside]).T))
        merged = {name: np.concatenate(values) for name, values in errors.items()}
        rows.append(
            AltitudeResiduals(
                altitude,
                {name: float(np.median(values)) for name, values in merged.items()},
                {name: float(np.percentile(values, 95)) for name, values in merged.items()},
            )
        )
    return rows


def _grid(size: tuple[int, int]) -> Floats:
    x, y = np.meshgrid(np.linspace(0, size[0] - 1, 33), np.linspace(0, size[1] - 1, 19))
    return np.column_stack([x.ravel(), y.ravel()])
