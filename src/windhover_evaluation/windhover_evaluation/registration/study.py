"""Calibrates on rendered scenes and holds the result against their geometry."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from windhover.errors import CalibrationError
from windhover.geometry import Extrinsics
from windhover.imaging.agc import tone_map
from windhover.pairing.edges import EdgeCorrespondences, match
from windhover.pairing.files import Calibration, FixedHomography
from windhover.pairing.fitting import fit_homography, fit_pose
from windhover.pairing.registration import Pose
from windhover_evaluation.registration.residuals import Row, aware, fixed, residuals
from windhover_sim import Scene, SceneConfig
from windhover_sim.calibration import down_of, scene_calibration

#: How well a ruler measures from lens to lens, metres.
BASELINE_SIGMA_M = 0.005


def measure_residuals(
    pairs: int, altitude_m: float, progress: Callable[[int, int], None] = lambda *_: None
) -> list[Row]:
    """Calibrate from edges of rendered pairs, then measure at other heights.

    The lenses are known, as after calibrating with a board; the pose is not: it
    begins with parallel axes and a baseline off by half a centimetre.

    Args:
        pairs: scenes to calibrate from, by day.
        altitude_m: at which they are flown.
        progress: called with pairs done and in all.

    Raises:
        CalibrationError: no pair has edges in common.
    """
    true = scene_calibration(SceneConfig())
    guess = Extrinsics(translation=true.extrinsics.translation + [0.005, 0.0, 0.005])
    seen: list[EdgeCorrespondences] = []
    for index in range(pairs):
        config = SceneConfig(seed=100 + index, altitude_m=altitude_m, time_of_day="day")
        drawn = Scene(config).render(5, "both")
        assert drawn.rgb is not None
        assert drawn.thermal is not None
        pose = Pose(float(drawn.rgb_camera.position[2]), down_of(drawn.rgb_camera))
        grey = tone_map(drawn.thermal)
        one = match(drawn.rgb, grey, true.rgb, true.thermal, guess, pose)
        seen += [one] if one is not None else []
        progress(index + 1, pairs)
    if not seen:
        raise CalibrationError("no rendered pair has edges in common")
    fit = fit_pose(seen, true.rgb, true.thermal, guess, BASELINE_SIGMA_M)
    found = Calibration(true.rgb, true.thermal, fit.extrinsics)
    homography = FixedHomography(fit_homography(seen[0]), true.rgb_size, true.thermal_size)
    ways = {
        "fields of view only": aware(Calibration(true.rgb, true.thermal, Extrinsics())),
        f"one homography of {altitude_m:g} m": fixed(homography),
        "altitude-aware": aware(found),
        "altitude-aware, told 10 % and 3 degrees wrong": aware(found, 1.1, 3.0),
    }
    return residuals(SceneConfig(), ways)


def residual_table(rows: Sequence[Row]) -> str:
    """Medians, and 95th percentiles in brackets, as Markdown."""
    names = list(rows[0].median_px)
    lines = [f"| height | {' | '.join(names)} |", f"|---:|{'---:|' * len(names)}"]
    for row in rows:
        cells = (f"{row.median_px[name]:.2f} ({row.p95_px[name]:.2f})" for name in names)
        lines.append(f"| {row.altitude_m:g} m | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
