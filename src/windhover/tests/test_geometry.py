import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from windhover.errors import ConfigError
from windhover.geometry import (
    Extrinsics,
    Lens,
    down_of_attitude,
    down_of_pitch,
    ground_homography,
)
from windhover_sim import Scene, SceneConfig
from windhover_sim.calibration import down_of, lens_of, true_homography
from windhover_sim.camera import look_rotation


def apply(homography, pixels):
    flat = np.column_stack([pixels, np.ones(len(pixels))]) @ homography.T
    return flat[:, :2] / flat[:, 2:]


@pytest.mark.parametrize("altitude", [10, 40, 120])
@pytest.mark.parametrize("pitch", [30, 60, 90])
def test_ground_seen_by_both_cameras_of_a_scene_agrees(altitude, pitch):
    scene = Scene(SceneConfig(seed=3, altitude_m=altitude, pitch_deg=pitch))
    rgb, thermal = scene.camera(7, "rgb"), scene.camera(7, "thermal")
    spots = np.array([rgb.to_ground(np.array([[x, y]]))[0] for x in (300, 900) for y in (360, 700)])
    ground = np.column_stack([spots, np.zeros(4)])
    # The scene counts pixels from outer corners, OpenCV from centres.
    rgb_pixels = rgb.project(ground)[0] - 0.5
    thermal_pixels = thermal.project(ground)[0] - 0.5
    found = apply(true_homography(rgb, thermal), rgb_pixels)
    np.testing.assert_allclose(found, thermal_pixels, atol=1e-6)


@given(st.floats(5, 90), st.floats(-40, 40), st.floats(0, 360))
def test_down_follows_pitch_and_roll_and_not_yaw(pitch, roll, yaw):
    rotation = look_rotation(*np.radians([yaw, pitch, roll]))
    np.testing.assert_allclose(
        down_of_pitch(pitch, roll), rotation @ np.array([0, 0, -1.0]), atol=1e-12
    )


@given(st.floats(-180, 180), st.floats(-40, 40), st.floats(-40, 40), st.floats(0, 90))
def test_down_follows_the_drones_attitude(yaw, pitch, roll, tilt):
    # Body to world, REP 103: yaw, then nose up by a negative turn about left, then roll.
    body = Rotation.from_euler("ZYX", [yaw, pitch, roll], degrees=True)
    cos, sin = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
    optical_to_body = np.array([[0, -sin, cos], [-1, 0, 0], [0, -cos, -sin]])
    expected = (body.as_matrix() @ optical_to_body).T @ np.array([0, 0, -1.0])
    got = down_of_attitude(tuple(3 * body.as_quat()), tilt)
    np.testing.assert_allclose(got, expected, atol=1e-9)


def test_a_level_drone_looks_down_by_its_cameras_tilt():
    np.testing.assert_allclose(down_of_attitude((0, 0, 0, 1), 60), down_of_pitch(60), atol=1e-12)


@pytest.mark.parametrize("bad", [(0, 0, 0, 0), (float("nan"), 0, 0, 1)])
def test_an_invalid_attitude_has_no_down(bad):
    with pytest.raises(ConfigError, match="no quaternion"):
        down_of_attitude(bad, 60)


def test_without_a_baseline_the_altitude_does_not_matter():
    rgb, thermal = Lens.from_hfov((1280, 720), 66), Lens.from_hfov((640, 512), 60)
    near, far = (
        ground_homography(rgb, thermal, Extrinsics(), altitude, down_of_pitch(60))
        for altitude in (10.0, np.inf)
    )
    np.testing.assert_allclose(near, far)


@pytest.mark.parametrize("altitude", [0.0, -3.0, float("nan")])
def test_no_plane_without_an_altitude(altitude):
    lens = Lens.from_hfov((640, 512), 60)
    with pytest.raises(ConfigError, match="altitude"):
        ground_homography(lens, lens, Extrinsics(), altitude, down_of_pitch(60))


@given(
    st.floats(0, 639),
    st.floats(0, 511),
    st.floats(-0.2, 0.05),
    st.floats(-0.002, 0.002),
)
def test_rays_and_pixels_are_each_others_inverse(x, y, k1, p1):
    ideal = Lens.from_hfov((640, 512), 60)
    bent = Lens(640, 512, ideal.matrix, np.array([k1, 0.01, p1, -p1, 0.0]))
    for lens in (ideal, bent):
        pixel = np.array([[x, y]])
        np.testing.assert_allclose(lens.project(lens.rays(pixel)), pixel, atol=1e-3)


@pytest.mark.parametrize("count", [8, 12, 14])
def test_rational_lenses_are_opencvs(count):
    coefficients = np.array(
        [0.2, -0.1, 1e-3, -1e-3, 0.02, 0.4, 0.05, 0.01, 1e-3, -2e-3, 2e-3, 1e-3, 0.01, -0.02]
    )[:count]
    matrix = Lens.from_hfov((640, 512), 70).matrix
    lens = Lens(640, 512, matrix, coefficients)
    points = np.array([[0.3, -0.2, 1.0], [0.0, 0.0, 2.0], [-0.5, 0.4, 1.0]])
    theirs = cv2.projectPoints(points[:, None], *[np.zeros(3)] * 2, matrix, coefficients)[0][:, 0]
    np.testing.assert_allclose(lens.project(points), theirs)
    np.testing.assert_allclose(lens.rays(theirs), points / points[:, 2:], atol=1e-6)


FISHEYE = np.array([0.18, -0.03, 0.0004, -0.0007])


def fisheye(*coefficients):
    return Lens(640, 512, Lens.from_hfov((640, 512), 90).matrix, np.array(coefficients), True)


def test_a_fisheye_lens_is_opencvs():
    lens = fisheye(*FISHEYE)
    points = np.array([[0.3, -0.2, 1.0], [0.0, 0.0, 2.0], [-3.0, 4.0, 1.0], [5.0, 0.0, 1e-3]])
    zero = np.zeros(3)
    theirs = cv2.fisheye.projectPoints(points[:, None], zero, zero, lens.matrix, FISHEYE)[0]
    np.testing.assert_allclose(lens.project(points), theirs[:, 0])
    assert not lens.is_ideal
    assert not fisheye(0, 0, 0, 0).is_ideal


@given(
    st.floats(-0.2, 0.2),
    st.floats(-0.05, 0.05),
    st.floats(0.0, 2 * np.pi),
    st.floats(0.0, 1.55),
)
def test_a_fisheyes_rays_and_pixels_are_each_others_inverse(k1, k2, about, angle):
    lens = fisheye(k1, k2, 0.001, -0.0005)
    ray = np.array([[np.cos(about) * np.tan(angle), np.sin(about) * np.tan(angle), 1.0]])
    pixel = lens.project(ray)
    if np.isnan(pixel).any():
        # Past the angle at which the polynomial turns back, two rays have one pixel.
        slope = 1 + 3 * k1 * angle**2 + 5 * k2 * angle**4 + 0.007 * angle**6 - 0.0045 * angle**8
        turned = any(
            1 + 3 * k1 * a**2 + 5 * k2 * a**4 + 0.007 * a**6 - 0.0045 * a**8 <= 1e-6
            for a in np.linspace(0, angle, 1000)
        )
        assert turned or slope <= 1e-6
        return
    # As angles: next to a right angle slopes grow without bound.
    found = lens.rays(pixel)[0]
    assert np.arctan(np.hypot(*found[:2])) == pytest.approx(angle, abs=1e-4)
    np.testing.assert_allclose(lens.project(found[None]), pixel, atol=1e-3)


def test_beyond_a_fisheyes_picture_there_is_no_ray():
    lens = fisheye(0, 0, 0, 0)
    # Equidistant: a right angle is pi/2 focal lengths from the centre.
    edge = lens.matrix[0, 0] * np.pi / 2
    for offset, shown in ((0.99, True), (1.01, False)):
        ray = lens.rays(np.array([[lens.matrix[0, 2] + offset * edge, lens.matrix[1, 2]]]))
        assert np.isfinite(ray).all() == shown


def test_points_behind_the_lens_have_no_pixel():
    for distortion in (np.zeros(5), np.array([-0.1, 0, 0, 0, 0])):
        lens = Lens(640, 512, Lens.from_hfov((640, 512), 60).matrix, distortion)
        assert np.isnan(lens.project(np.array([[0.0, 0.0, -1.0]]))).all()


def test_a_resized_picture_has_the_same_view():
    lens = Lens.from_hfov((1280, 720), 66)
    half = lens.scaled(640, 360)
    # Outer corners stay where they are: centre of the first of two-pixel blocks.
    np.testing.assert_allclose(half.rays(np.array([[0.0, 0.0]])), lens.rays(np.array([[0.5, 0.5]])))
    np.testing.assert_allclose(half.matrix[0, 0] * 2, lens.matrix[0, 0])


def test_a_scenes_lens_is_the_same_lens():
    camera = Scene(SceneConfig(seed=1)).camera(0, "rgb")
    lens = lens_of(camera.intrinsics)
    np.testing.assert_allclose(lens.matrix, Lens.from_hfov((1280, 720), 66.0).matrix)
    assert down_of(camera)[2] == pytest.approx(np.sin(np.radians(60)), abs=0.02)
