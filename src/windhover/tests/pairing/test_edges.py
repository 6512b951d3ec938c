import cv2
import numpy as np
import pytest

from windhover.errors import CalibrationError
from windhover.geometry import Extrinsics, down_of_pitch, ray_map
from windhover.imaging.agc import tone_map
from windhover.pairing.edges import align, apply_homography, match
from windhover.pairing.files import FixedHomography, RgbtCalibration
from windhover.pairing.fitting import fit_homography, fit_pose
from windhover.pairing.refine import RefineLimits, Refiner
from windhover.pairing.registration import Pose
from windhover_evaluation.registration.residuals import (
    ground_plane_mapping,
    homography_mapping,
    residuals_by_altitude,
)
from windhover_sim import Scene, SceneConfig
from windhover_sim.calibration import down_of, scene_calibration

TRUE = scene_calibration(SceneConfig())
WHOLE = np.ones((256, 320), np.uint8)


@pytest.fixture(scope="module")
def pair():
    drawn = Scene(SceneConfig(seed=100, altitude_m=40, time_of_day="day")).render(5, "both")
    pose = Pose(float(drawn.rgb_camera.position[2]), down_of(drawn.rgb_camera))
    return drawn.rgb, tone_map(drawn.thermal), pose


def turned(degrees):
    """The true pose, turned."""
    turn = cv2.Rodrigues(np.radians(degrees))[0]
    return Extrinsics(turn @ TRUE.extrinsics.rotation, TRUE.extrinsics.translation)


def off_px(extrinsics, altitude_m=40.0):
    """Median thermal pixels by which a pose is off."""
    x, y = np.meshgrid(np.linspace(200, 1080, 9), np.linspace(50, 670, 7))
    rays = TRUE.rgb.rays(np.column_stack([x.ravel(), y.ravel()]))
    down = down_of_pitch(60)
    a, b = (
        TRUE.thermal.project(rays @ ray_map(e, altitude_m, down).T)
        for e in (extrinsics, TRUE.extrinsics)
    )
    return float(np.median(np.hypot(*(a - b).T)))


def test_edges_of_opposite_contrast_are_aligned():
    rng = np.random.default_rng(3)
    blocks = cv2.resize(rng.integers(0, 255, (9, 11), np.uint8), (320, 256), interpolation=0)
    move = np.array([[1, 0, 3.25], [0, 1, -2.5]])
    other = 255 - cv2.warpAffine(blocks, move, (320, 256), borderMode=cv2.BORDER_REFLECT)
    found = align(blocks, other, WHOLE, rigid=True)
    assert found.correlation > 0.9
    np.testing.assert_allclose(
        apply_homography(found.matrix, np.array([[160.0, 128.0]])), [[163.25, 125.5]], atol=0.15
    )


def test_unrelated_pictures_give_no_trusted_alignment():
    rng = np.random.default_rng(0)
    first, second = (cv2.GaussianBlur(rng.integers(0, 255, (256, 320), np.uint8), (0, 0), 2)
                     for _ in range(2))  # fmt: skip
    found = align(first, second, WHOLE)
    assert found is None or found.correlation < 0.4
    assert align(first, second, np.zeros_like(WHOLE)) is None


def test_a_rendered_pair_gives_the_pose_to_half_a_pixel(pair):
    bgr, grey, pose = pair
    first = turned([0.8, -1.0, 0.6])
    assert off_px(first) > 8
    seen = match(bgr, grey, TRUE.rgb, TRUE.thermal, first, pose)
    assert seen.correlation > 0.4
    fit = fit_pose([seen], TRUE.rgb, TRUE.thermal, first, 0.005)
    assert off_px(fit.extrinsics) < 0.5
    assert fit.median_px < 0.5


def test_one_homography_is_right_at_its_height_and_the_pose_at_every_height(pair):
    bgr, grey, pose = pair
    first = Extrinsics(translation=TRUE.extrinsics.translation)
    seen = match(bgr, grey, TRUE.rgb, TRUE.thermal, first, pose)
    fit = fit_pose([seen], TRUE.rgb, TRUE.thermal, first, 0.005)
    homography = FixedHomography(fit_homography(seen), TRUE.rgb_size, TRUE.thermal_size)
    mappings = {
        "homography": homography_mapping(homography),
        "ground": ground_plane_mapping(RgbtCalibration(TRUE.rgb, TRUE.thermal, fit.extrinsics)),
        "true": ground_plane_mapping(TRUE),
    }
    measured = residuals_by_altitude(SceneConfig(), mappings, (10, 30, 40, 50, 120))
    rows = {row.altitude_m: row for row in measured}
    for altitude in (30, 40, 50):
        assert rows[altitude].median_px["ground"] < 1.5
    assert rows[10].median_px["homography"] > 1.5 > rows[10].median_px["ground"]
    # The renderer's cameras turn against each other by hundredths of a degree in flight.
    assert all(row.median_px["true"] < 0.05 for row in rows.values())
    assert all(row.p95_px["homography"] >= row.median_px["homography"] for row in rows.values())


def test_no_correspondences_are_an_error_with_advice():
    with pytest.raises(CalibrationError, match="no pair of pictures has edges in common"):
        fit_pose([], TRUE.rgb, TRUE.thermal, Extrinsics(), 0.005)


def moved(degrees):
    return RgbtCalibration(TRUE.rgb, TRUE.thermal, turned(degrees))


def test_refinement_approaches_the_truth_in_bounded_steps(pair):
    refiner = Refiner(moved([0.05, -0.06, 0.03]), RefineLimits(step_deg=0.02))
    before = off_px(refiner.calibration.extrinsics)
    last = refiner.calibration.extrinsics.rotation
    for _ in range(8):
        assert refiner.step(*pair)
        now = refiner.calibration.extrinsics.rotation
        angle = np.degrees(np.linalg.norm(cv2.Rodrigues(now @ last.T)[0]))
        assert angle <= 0.02 + 1e-6
        last = now
    assert off_px(refiner.calibration.extrinsics) < 0.5 * before
    np.testing.assert_array_equal(
        refiner.calibration.extrinsics.translation, TRUE.extrinsics.translation
    )


def test_refinement_never_goes_far_from_the_file(pair):
    refiner = Refiner(moved([0.5, 0, 0]), RefineLimits(step_deg=0.1, total_deg=0.15))
    taken = [refiner.step(*pair) for _ in range(4)]
    assert taken == [True, False, False, False]
    assert refiner.turned_deg <= 0.15
    assert (refiner.steps, refiner.refused) == (1, 3)


def test_refinement_does_nothing_without_edges(pair):
    bgr, grey, pose = pair
    refiner = Refiner(moved([0.05, 0, 0]))
    assert not refiner.step(np.zeros_like(bgr), grey, pose)
    noise = np.random.default_rng(0).integers(0, 255, bgr.shape, np.uint8)
    assert not refiner.step(noise, grey, pose)
    assert not refiner.step(bgr, grey, Pose(None, pose.down))
    assert refiner.turned_deg == 0
