"""Calibrates on rendered scenes and compares the result with their geometry."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from windhover.errors import CalibrationError
from windhover.geometry import Extrinsics
from windhover.imaging.agc import tone_map
from windhover.pairing.edges import EdgeCorrespondences, match
from windhover.pairing.files import FixedHomography, RgbtCalibration
from windhover.pairing.fitting import fit_homography, fit_pose
from windhover.pairing.registration import Pose
from windhover_evaluation.registration.residuals import (
    AltitudeResiduals,
    ground_plane_mapping,
    homography_mapping,
    residuals_by_altitude,
)
from windhover_evaluation.report.tables import markdown_table
from windhover_sim import Scene, SceneConfig
from windhover_sim.calibration import down_of, scene_calibration

#: How well a ruler measures from lens to lens, metres.
BASELINE_SIGMA_M = 0.005


def measure_residuals(
    pairs: int, altitude_m: float, progress: Callable[[int, int], None] = lambda *_: None
) -> list[AltitudeResiduals]:
    """Calibrate from edges of rendered pairs, then measure at other altitudes.

    The lenses are known, as after calibrating with a board. The pose is not: it starts
    from parallel axes and a baseline that is off by half a centimetre.

    Args:
        pairs: scenes to calibrate from, by day.
        altitude_m: altitude of those scenes, metres.
        progress: called with pairs done and in all.

    Raises:
        CalibrationError: no pair has edges in common.
    """
    true = scene_calibration(SceneConfig())
    guess = Extrinsics(translation=true.extrinsics.translation + [0.005, 0.0, 0.005])
    matches: list[EdgeCorrespondences] = []
    for index in range(pairs):
        config = SceneConfig(seed=100 + index, altitude_m=altitude_m, time_of_day="day")
        drawn = Scene(config).render(5, "both")
        assert drawn.rgb is not None
        assert drawn.thermal is not None
        pose = Pose(float(drawn.rgb_camera.position[2]), down_of(drawn.rgb_camera))
        grey = tone_map(drawn.thermal)
        one = match(drawn.rgb, grey, true.rgb, true.thermal, guess, pose)
        matches += [one] if one is not None else []
        progress(index + 1, pairs)
    if not matches:
        raise CalibrationError("no rendered pair has edges in common")
    fit = fit_pose(matches, true.rgb, true.thermal, guess, BASELINE_SIGMA_M)
    found = RgbtCalibration(true.rgb, true.thermal, fit.extrinsics)
    homography = FixedHomography(fit_homography(matches[0]), true.rgb_size, true.thermal_size)
    mappings = {
        "fields of view only": ground_plane_mapping(
            RgbtCalibration(true.rgb, true.thermal, Extrinsics())
        ),
        f"one homography of {altitude_m:g} m": homography_mapping(homography),
        "altitude-aware": ground_plane_mapping(found),
        "altitude-aware, altitude 10 % and pitch 3 degrees wrong": ground_plane_mapping(
            found, 1.1, 3.0
        ),
    }
    return residuals_by_altitude(SceneConfig(), mappings)


def residual_table(rows: Sequence[AltitudeResiduals]) -> str:
    """Medians and, in brackets, 95th percentiles at each altitude, as Markdown."""
    names = list(rows[0].median_px)
    cells = [
        [
            f"{row.altitude_m:g} m",
            *(f"{row.median_px[name]:.2f} ({row.p95_px[name]:.2f})" for name in names),
        ]
        for row in rows
    ]
    return markdown_table(["altitude", *names], cells, "r" * (1 + len(names)))
