from dataclasses import replace

import cv2
import numpy as np
import pytest

from windhover.errors import CalibrationError
from windhover.geometry import Extrinsics, Lens, down_of_pitch, ray_map
from windhover.pairing.files import FixedHomography, RgbtCalibration
from windhover.pairing.registration import Pose, Registration, ThermalWarp, merge_rgbt
from windhover.types import Frame, FullFrame, RgbtFrame
from windhover_sim import Scene, SceneConfig
from windhover_sim.calibration import down_of, scene_calibration, true_homography

DOWN = down_of_pitch(60)
RGB, THERMAL = Lens.from_hfov((1280, 720), 66), Lens.from_hfov((640, 512), 60)
BASELINE = Extrinsics(cv2.Rodrigues(np.array([0.003, -0.004, 0.002]))[0], np.array([-0.06, 0, 0]))


def smooth(shape, seed=0):
    noise = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 4), None, 0, 255, cv2.NORM_MINMAX)


def pair(rgb=None, thermal=None, encoding="mono8"):
    rgb = np.full((720, 1280, 3), 90, np.uint8) if rgb is None else rgb
    cold = None if thermal is None else Frame(thermal, encoding, 99, "thermal_camera", 5)
    return RgbtFrame(Frame(rgb, "bgr8", 100, "rgb_camera", 7), cold)


def test_the_warp_is_the_homography_of_ideal_lenses():
    thermal = smooth((512, 640))
    between = ray_map(BASELINE, 40, DOWN)
    matrix = THERMAL.matrix @ between @ np.linalg.inv(RGB.matrix)
    exact = cv2.warpPerspective(
        thermal, matrix, RGB.size, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    got = ThermalWarp(RGB, THERMAL).apply(thermal, between)
    inside = cv2.erode((exact > 0).astype(np.uint8), np.ones((5, 5))) > 0
    assert inside.mean() > 0.7
    assert np.abs(got.astype(int) - exact)[inside].max() <= 2


BENT_RGB = {
    "plumb_bob": ([-0.25, 0.08, 0.001, -0.001, 0.0], False),
    "rational_polynomial": ([0.3, -0.1, 1e-3, 0.0, 0.01, 0.5, 0.02, 0.0], False),
    "tilted": ([0.3, -0.1, 1e-3, 0, 0.01, 0.5, 0.02, 0, 1e-3, 0, -1e-3, 0, 0.01, -0.02], False),
    "equidistant": ([-0.05, 0.01, 0.0, 0.0], True),
}
BENT_THERMAL = {
    "plumb_bob": ([-0.35, 0.12, 0.0, 0.001, 0.0], False),
    "equidistant": ([0.18, -0.03, 0.0004, -0.0007], True),
}


@pytest.mark.parametrize("thermal_model", BENT_THERMAL)
@pytest.mark.parametrize("rgb_model", BENT_RGB)
def test_distorted_lenses_are_followed_on_both_sides(rgb_model, thermal_model):
    """A dot that stands on the ground is drawn where both lenses show it."""
    coefficients, fisheye = BENT_RGB[rgb_model]
    bent_rgb = Lens(1280, 720, RGB.matrix, np.array(coefficients), fisheye)
    coefficients, fisheye = BENT_THERMAL[thermal_model]
    bent_thermal = Lens(640, 512, THERMAL.matrix, np.array(coefficients), fisheye)
    between = ray_map(BASELINE, 40, DOWN)
    warp = ThermalWarp(bent_rgb, bent_thermal)
    for spot in ([200.0, 150.0], [640.0, 360.0], [1050.0, 620.0], [300.0, 600.0]):
        at = bent_thermal.project(bent_rgb.rays(np.array([spot])) @ between.T)[0]
        y, x = np.mgrid[:512, :640]
        dot = 255 * np.exp(-((x - at[0]) ** 2 + (y - at[1]) ** 2) / 18)
        drawn = warp.apply(dot.astype(np.uint8), between).astype(float)
        rows, cols = np.mgrid[:720, :1280]
        centre = (drawn * cols).sum() / drawn.sum(), (drawn * rows).sum() / drawn.sum()
        np.testing.assert_allclose(centre, spot, atol=0.15)


def test_a_strong_lens_maps_no_second_picture_around_the_first():
    bent = Lens(640, 512, THERMAL.matrix, np.array([-0.2, 0.0, 0.0, 0.0, 0.0]))
    wide = Lens.from_hfov((1280, 720), 120)
    got = ThermalWarp(wide, bent).apply(np.full((512, 640), 200, np.uint8), np.eye(3))
    count, _ = cv2.connectedComponents((got > 0).astype(np.uint8))
    assert count == 2
    assert got[:, :300].max() == 0
    assert got[360, 640] == 200


def test_a_fisheye_that_sees_behind_itself_is_blank_there():
    """220 degrees across: the corners of the grid look where the thermal camera can't."""
    focal = 640 / np.radians(220.0)
    wide = Lens(640, 512, np.array([[focal, 0, 319.5], [0, focal, 255.5], [0, 0, 1]]),
                np.zeros(4), True)  # fmt: skip
    got = ThermalWarp(wide, THERMAL).apply(np.full((512, 640), 200, np.uint8), np.eye(3))
    assert got[255, 319] == 200
    assert got[:, :120].max() == got[:, 520:].max() == 0
    # Its view is in the middle, as wide as its angles are in equidistant pixels.
    assert (got[255] > 0).sum() == pytest.approx(focal * np.radians(60), rel=0.03)


def test_the_map_is_kept_while_the_drone_holds_still():
    warp = ThermalWarp(RGB, THERMAL)
    thermal = smooth((512, 640))
    for altitude in (40.0, 40.3, 39.8, 40.1):
        warp.apply(thermal, ray_map(BASELINE, altitude, DOWN))
    assert warp.rebuilt == 1
    warp.apply(thermal, ray_map(BASELINE, 25, DOWN))
    assert warp.rebuilt == 2


def test_maps_of_different_heights_differ():
    """What the altitude is for: the same ground, seen from 10 m by the map of 40 m."""
    warp = ThermalWarp(RGB, THERMAL)
    thermal = smooth((512, 640))
    near = warp.apply(thermal, ray_map(BASELINE, 10, DOWN))
    far = warp.apply(thermal, ray_map(BASELINE, 40, DOWN))
    assert np.abs(near.astype(int) - far).max() > 20


def test_four_planes_are_b_g_r_t():
    bgr = smooth((20, 30, 3))
    thermal = smooth((20, 30), 1)
    four = merge_rgbt(bgr, thermal)
    np.testing.assert_array_equal(four[..., :3], bgr)
    np.testing.assert_array_equal(four[..., 3], thermal)
    assert merge_rgbt(bgr, None)[..., 3].max() == 0


def test_a_rendered_person_is_warm_where_rgb_shows_them():
    scene = Scene(SceneConfig(seed=4, altitude_m=40, time_of_day="night"))
    drawn = scene.render(9, "both")
    registration = Registration(scene_calibration(scene.config))
    pose = Pose(float(drawn.rgb_camera.position[2]), down_of(drawn.rgb_camera))
    rgbt = registration.frame(pair(drawn.rgb, drawn.thermal, "mono16"), pose)
    thermal = rgbt.image[..., 3]
    seen = 0
    for box, label in zip(drawn.rgb_truth.boxes, drawn.rgb_truth.labels, strict=True):
        x1, y1, x2, y2 = box.round().astype(int)
        around = thermal[max(0, y1 - 12) : y2 + 12, max(0, x1 - 12) : x2 + 12]
        if label != "person" or around.min() == 0:
            continue
        seen += 1
        assert thermal[y1:y2, x1:x2].max() > np.median(around) + 25
    assert seen >= 5
    assert registration.in_use.startswith("ground plane at")
    assert registration.substituted == ""


def test_the_frame_is_the_rgb_frames():
    registration = Registration(None)
    frame = registration.frame(pair(thermal=smooth((512, 640))), Pose(40, DOWN))
    assert (frame.encoding, frame.stamp_ns, frame.frame_id, frame.index) == (
        "8UC4", 100, "rgb_camera", 7,
    )  # fmt: skip
    assert frame.image.shape == (720, 1280, 4)


def test_without_a_thermal_frame_t_is_blank():
    frame = Registration(scene_calibration(SceneConfig())).frame(pair(), Pose(None, DOWN))
    assert frame.image[..., 3].max() == 0
    assert (frame.image[..., :3] == 90).all()


def test_an_unknown_altitude_is_replaced_by_the_nominal_one_and_reported():
    calibration = scene_calibration(SceneConfig())
    thermal = smooth((512, 640))
    unknown, known = Registration(calibration, 40.0), Registration(calibration, 99.0)
    a = unknown.frame(pair(thermal=thermal), Pose(None, DOWN))
    b = known.frame(pair(thermal=thermal), Pose(40.0, DOWN))
    np.testing.assert_array_equal(a.image, b.image)
    assert "altitude unknown" in unknown.substituted
    assert known.substituted == ""


def test_without_a_calibration_the_pictures_are_stretched_and_that_is_reported():
    registration = Registration(None)
    thermal = smooth((512, 640))
    frame = registration.frame(pair(thermal=thermal), Pose(40, DOWN))
    stretched = cv2.resize(thermal, (1280, 720), interpolation=cv2.INTER_LINEAR)
    error = np.abs(frame.image[4:-4, 4:-4, 3].astype(int) - stretched[4:-4, 4:-4])
    assert error.max() <= 3
    assert "windhover calibrate" in registration.substituted


def test_a_fixed_homography_is_used_as_it_is():
    drawn = Scene(SceneConfig(seed=2, motion=0)).camera
    matrix = true_homography(drawn(0, "rgb"), drawn(0, "thermal"))
    fixed = FixedHomography(matrix, (1280, 720), (640, 512), "h.yaml")
    thermal = smooth((512, 640))
    registration = Registration(fixed)
    a = registration.frame(pair(thermal=thermal), Pose(10.0, DOWN)).image[..., 3]
    exact = cv2.warpPerspective(
        thermal, matrix, (1280, 720), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    inside = cv2.erode((exact > 0).astype(np.uint8), np.ones((5, 5))) > 0
    assert np.abs(a.astype(int) - exact)[inside].max() <= 2
    assert registration.in_use == "fixed homography of h.yaml"


def test_the_output_may_be_on_the_detectors_grid():
    calibration = scene_calibration(SceneConfig())
    thermal = smooth((512, 640))
    full = Registration(calibration).frame(pair(thermal=thermal), Pose(40, DOWN))
    small = Registration(calibration, width=640).frame(pair(thermal=thermal), Pose(40, DOWN))
    assert small.image.shape == (360, 640, 4)
    halved = cv2.resize(full.image, (640, 360), interpolation=cv2.INTER_AREA)
    inside = cv2.erode((halved[..., 3] > 0).astype(np.uint8), np.ones((7, 7))) > 0
    assert np.abs(small.image[..., 3].astype(int) - halved[..., 3])[inside].mean() < 2


def test_the_outputs_lens_is_computed_once_for_a_calibration():
    registration = Registration(None, width=640)
    assert registration.camera((1280, 720)) is None
    registration.use(RgbtCalibration(RGB, THERMAL, Extrinsics()))
    camera = registration.camera((1280, 720))
    assert (camera.width, camera.height, camera.name) == (640, 360, "rgbt")
    np.testing.assert_allclose(camera.k, RGB.scaled(640, 360).matrix)
    assert registration.camera((1280, 720)) is camera
    assert registration.camera((640, 360)) is None
    registration.use(RgbtCalibration(Lens.from_hfov((1280, 720), 50), THERMAL, Extrinsics()))
    assert registration.camera((1280, 720)).k[0, 0] > camera.k[0, 0]
    registration.use(FixedHomography(np.eye(3), (1280, 720), (640, 512)))
    assert registration.camera((1280, 720)) is None


@pytest.mark.parametrize(
    ("rgb", "thermal", "words"),
    [
        ((480, 640, 3), (512, 640), "RGB pictures are 640x480"),
        ((720, 1280, 3), (240, 320), "thermal pictures are 320x240"),
    ],
)
def test_another_size_than_the_calibration_is_named(rgb, thermal, words):
    registration = Registration(RgbtCalibration(RGB, THERMAL, BASELINE, None, "my/rgbt.yaml"))
    both = pair(np.zeros(rgb, np.uint8), np.zeros(thermal, np.uint8))
    with pytest.raises(CalibrationError, match=words) as error:
        registration.frame(both, Pose(40, DOWN))
    assert "my/rgbt.yaml" in str(error.value)
    with pytest.raises(CalibrationError, match="does not go with"):
        ThermalWarp(RGB, THERMAL).apply(np.zeros((10, 10), np.uint8), np.eye(3))


@pytest.mark.parametrize("fixed", [True, False])
def test_a_calibration_of_full_frames_serves_for_those_that_are_reduced(fixed):
    config = SceneConfig(seed=2, motion=0)
    small = scene_calibration(config)
    large = scene_calibration(replace(config, rgb_size=(3840, 2160)))
    if fixed:
        drawn = Scene(config).camera
        matrix = true_homography(drawn(0, "rgb"), drawn(0, "thermal"))
        # Pixel centres: u_small + 0.5 = (u_large + 0.5) / 3.
        third = np.array([[1 / 3, 0, 0.5 / 3 - 0.5], [0, 1 / 3, 0.5 / 3 - 0.5], [0, 0, 1]])
        small = FixedHomography(matrix, (1280, 720), (640, 512))
        large = FixedHomography(matrix @ third, (3840, 2160), (640, 512))
    thermal = smooth((512, 640))
    full = FullFrame(np.full((3240, 3840), 90, np.uint8), "nv12")
    reduced = replace(pair(thermal=thermal), rgb=replace(pair().rgb, full=full))
    frame = Registration(large).frame(reduced, Pose(40.0, DOWN))
    wanted = Registration(small).frame(pair(thermal=thermal), Pose(40.0, DOWN))
    assert np.abs(frame.image[..., 3].astype(int) - wanted.image[..., 3]).mean() < 0.1
    assert frame.full is full
    if not fixed:
        camera = Registration(large).camera((1280, 720), (3840, 2160))
        np.testing.assert_allclose(camera.k, Registration(small).camera((1280, 720)).k)


def test_where_the_output_is_smaller_the_rgb_frame_is_the_full_one():
    registration = Registration(scene_calibration(SceneConfig()), width=640)
    rgb = pair().rgb
    frame = registration.frame(RgbtFrame(rgb, None), Pose(40, DOWN))
    assert frame.full.image is rgb.image
    assert frame.full.encoding == "bgr8"
    assert registration.frame(pair(), Pose(40, DOWN)).image.shape == (360, 640, 4)
