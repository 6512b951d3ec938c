"""Cameras, outlines and occlusion: geometry without a scene."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windhover_sim.camera import Camera, Flight, Intrinsics, look_rotation
from windhover_sim.config import SceneConfig
from windhover_sim.ground import horizon_mask
from windhover_sim.layout import Rect
from windhover_sim.outlines import outline_all
from windhover_sim.paint import Canvas, Target
from windhover_sim.shapes import Shape, box_faces, hulls, normals
from windhover_sim.truth import SceneTruth
from windhover_sim.world import is_behind

angles = st.floats(-np.pi, np.pi)
# A busy machine is no reason to fail.
unhurried = settings(max_examples=40, deadline=None)


def camera(
    yaw: float = 0.3, pitch: float = 1.0, height: float = 40.0, hfov: float = 60.0
) -> Camera:
    lens = Intrinsics.from_hfov((640, 512), hfov)
    return Camera(lens, np.array([1.0, -2.0, height]), look_rotation(yaw, pitch, 0.02))


def straight_down(height: float, hfov: float = 60.0) -> Camera:
    lens = Intrinsics.from_hfov((640, 512), hfov)
    return Camera(lens, np.array([0.0, 0.0, height]), look_rotation(0.0, np.pi / 2, 0.0))


def block(x: float, y: float, z: float, size: float, tall: float) -> Shape:
    faces = np.array(
        box_faces((x - size / 2, x + size / 2), (y - size / 2, y + size / 2), (z, z + tall))
    )
    count = len(faces)
    return Shape(
        capsules=np.empty((0, 8)),
        faces=faces,
        layer=np.zeros(count, np.int64),
        celsius=np.full(count, 50.0, np.float32),
        bgr=np.full((count, 3), 200.0, np.float32),
        entity=np.zeros(count, np.uint8),
    )


def ball(x: float, y: float, z: float, radius: float, entity: int = 0) -> Shape:
    return Shape(
        capsules=np.array([[x, y, z, radius, x, y, z, radius]]),
        faces=np.empty((0, 12, 3)),
        layer=np.zeros(1, np.int64),
        celsius=np.full(1, 50.0, np.float32),
        bgr=np.full((1, 3), 200.0, np.float32),
        entity=np.full(1, entity, np.uint8),
    )


def paint(view: Camera, *shapes: Shape) -> tuple[np.ndarray, SceneTruth]:
    """Paint bodies in the order given, track ids from 1."""
    image = np.zeros((view.intrinsics.height, view.intrinsics.width), np.float32)
    canvas = Canvas(view, image)
    for number, (shape, outline) in enumerate(
        zip(shapes, outline_all(view, shapes), strict=True), 1
    ):
        if outline is not None:
            canvas.draw_body(shape, outline, shape.celsius, (Target(number, 0),))
    return image, canvas.truth()


@given(angles, st.floats(0.35, np.pi / 2), st.floats(-0.3, 0.3))
@unhurried
def test_rotation_is_proper(yaw: float, pitch: float, roll: float) -> None:
    rotation = look_rotation(yaw, pitch, roll)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    # The optical axis points down by the pitch, and image right is level without roll.
    assert rotation[2, 2] == pytest.approx(-np.sin(pitch))


@given(
    angles, st.floats(0.4, np.pi / 2), st.floats(10, 120), st.floats(0, 640), st.floats(260, 512)
)
@unhurried
def test_pixel_to_ground_and_back(
    yaw: float, pitch: float, height: float, x: float, y: float
) -> None:
    view = camera(yaw, pitch, height)
    pixel = np.array([[x, y]])
    ground = view.to_ground(pixel)
    again, depth = view.project(np.column_stack([ground, [0.0]]))
    assert depth[0] > 0
    np.testing.assert_allclose(again, pixel, atol=1e-6)
    flat = view.ground_to_image() @ [*ground[0], 1.0]
    np.testing.assert_allclose(flat[:2] / flat[2], pixel[0], atol=1e-6)


def test_rays_above_the_horizon_meet_no_ground() -> None:
    view = camera(pitch=0.2)
    assert np.isnan(view.to_ground(np.array([[320.0, 0.0]]))).all()
    mask = horizon_mask(view)
    assert mask is not None
    assert mask[0].all()
    assert not mask[-1].any()
    assert horizon_mask(camera(pitch=1.2)) is None


@given(st.floats(20, 120), st.floats(20, 80))
@unhurried
def test_size_follows_altitude_and_lens(height: float, hfov: float) -> None:
    """A ball of 2 m straight below is 2 f / h pixels wide, whatever the height."""
    view = straight_down(height, hfov)
    image, truth = paint(view, ball(0.0, 0.0, 0.0, 1.0))
    expected = 2.0 * view.intrinsics.focal / height
    # A ball is drawn as a polygon of its area: its width errs by up to 3.5 percent,
    # and its visible box besides by the sub-pixel grid that it is drawn on.
    width = truth.boxes[0, 2] - truth.boxes[0, 0]
    assert width == pytest.approx(expected, abs=0.035 * expected + 0.3)
    assert truth.amodal[0, 2] - truth.amodal[0, 0] == pytest.approx(expected, rel=0.035)
    assert (image / 50).sum() == pytest.approx(np.pi * expected**2 / 4, rel=0.03)


def test_rifle_of_a_metre_spans_fourteen_pixels_at_forty_metres() -> None:
    lens = Intrinsics.from_hfov((640, 512), 60)
    assert lens.focal * 1.0 / 40 == pytest.approx(13.9, abs=0.1)


@given(st.floats(0, 1.5), st.floats(0.05, 1), st.floats(0.05, 1), angles)
@unhurried
def test_capsule_hull_holds_both_circles(gap: float, r0: float, r1: float, turn: float) -> None:
    centres = np.array([[[0.0, 0.0], [gap * np.cos(turn), gap * np.sin(turn)]]])
    hull = hulls(centres, np.array([[r0, r1]]))[0]
    # An arc of up to a full turn has five steps, so chords cut off at most what
    # half of 72 degrees does, less what its corners stand out.
    for centre, radius in zip(centres[0], (r0, r1), strict=True):
        for angle in np.linspace(0, 2 * np.pi, 24):
            normal = np.array([np.cos(angle), np.sin(angle)])
            reach = (hull @ normal).max() - centre @ normal
            assert reach >= radius * np.cos(np.pi / 5) - 1e-9
    assert np.hypot(*(hull - centres[0, 0]).T).max() <= max(r0, gap + r1) * 1.15


def test_boxes_have_outward_faces() -> None:
    faces = np.array(box_faces((-1, 1), (-1, 1), (0, 2)))
    middle = np.array([0, 0, 1.0])
    outward = faces[:, :4].mean(axis=1) - middle
    assert ((normals(faces) * outward).sum(axis=1) > 0).all()


def test_silhouette_area_matches_its_projection() -> None:
    """A 4 m square straight below covers (4 f / h)^2 pixels; the box is as wide."""
    view = straight_down(40.0)
    image, truth = paint(view, block(0, 0, 0, 4.0, 0.01))
    side = 4.0 * view.intrinsics.focal / 39.99
    assert (image / 50).sum() == pytest.approx(side**2, rel=0.02)
    np.testing.assert_allclose(truth.boxes[0], truth.amodal[0], atol=0.3)
    assert truth.visibility[0] == pytest.approx(1.0)


def test_nearer_body_takes_visibility_and_box() -> None:
    view = straight_down(40.0)
    low, roof = block(0, 0, 0, 4, 0.5), block(2, 0, 3, 4, 0.5)
    _, alone = paint(view, low)
    _, both = paint(view, low, roof)
    assert both.track_ids.tolist() == [2, 1]
    hidden = both[both.track_ids == 1]
    assert hidden.visibility[0] == pytest.approx(0.45, abs=0.15)
    np.testing.assert_allclose(hidden.amodal, alone.amodal)
    # World x is up in this image: the roof hides the upper half.
    assert hidden.boxes[0, 1] > alone.boxes[0, 1] + 10
    assert hidden.boxes[0, 3] == pytest.approx(alone.boxes[0, 3])


def test_fully_hidden_body_is_not_in_the_truth() -> None:
    view = straight_down(40.0)
    _, truth = paint(view, ball(0, 0, 0, 0.5), block(0, 0, 3, 6, 0.5))
    assert truth.track_ids.tolist() == [2]


def test_a_sprite_hides_what_is_behind_it() -> None:
    view = straight_down(40.0)
    shape = ball(0, 0, 0, 1.0)
    canvas = Canvas(view, np.zeros((512, 640), np.float32))
    outline = outline_all(view, [shape])[0]
    assert outline is not None
    canvas.draw_body(shape, outline, shape.celsius, (Target(1, 0),))
    alpha = np.ones((200, 100), np.float32)
    canvas.draw_sprite(alpha, alpha * 3, (320, 160))
    truth = canvas.truth()
    assert truth.visibility[0] == pytest.approx(0.5, abs=0.03)
    assert truth.boxes[0, 2] == pytest.approx(320.0, abs=0.01)


def test_boxes_are_cut_at_the_edge_and_visibility_with_them() -> None:
    view = straight_down(40.0)
    edge = 320 / view.intrinsics.focal * 40
    # World y is left in this image, so the right edge is at -y.
    _, truth = paint(view, ball(0, -edge, 0, 1.0))
    assert truth.boxes[0, 2] == pytest.approx(640.0)
    assert truth.amodal[0, 2] > 645
    assert truth.visibility[0] == pytest.approx(0.5, abs=0.05)


def test_body_outside_or_behind_the_camera_is_not_outlined() -> None:
    view = straight_down(40.0)
    assert outline_all(view, [ball(500, 0, 0, 1), ball(0, 0, 60, 1)]) == [None, None]
    assert outline_all(view, []) == []


def test_far_side_of_a_wall_is_behind_it() -> None:
    rect = Rect(-5, 10, 5, 12)
    points = np.array([[0, 20], [0, 5], [20, 20], [4, 30.0]])
    assert is_behind(points, np.array([0.0, 0.0]), rect).tolist() == [True, False, False, True]


def test_both_cameras_agree_on_the_ground() -> None:
    flight = Flight(SceneConfig(motion=2.0), np.random.default_rng(4))
    thermal, rgb = (flight.camera(name, 3.3) for name in ("thermal", "rgb"))
    points = np.array([[0.0, 0, 0], [5, -3, 0], [-4, 6, 0]])
    for view in (thermal, rgb):
        pixels, depth = view.project(points)
        assert (depth > 0).all()
        np.testing.assert_allclose(view.to_ground(pixels), points[:, :2], atol=1e-9)
    assert np.linalg.norm(thermal.position - rgb.position) == pytest.approx(
        np.linalg.norm(Flight.BASELINE_M)
    )
    # The lenses are centimetres and a fraction of a degree apart.
    cosine = thermal.rotation[2] @ rgb.rotation[2]
    assert 0 < np.degrees(np.arccos(cosine)) < 0.5


def test_hover_without_motion_holds_the_pose() -> None:
    still = Flight(SceneConfig(motion=0.0, altitude_m=35), np.random.default_rng(1))
    first, later = still.camera("thermal", 0.0), still.camera("thermal", 9.0)
    np.testing.assert_array_equal(first.position, later.position)
    assert first.position[2] == 35
    moving = Flight(SceneConfig(motion=1.0, altitude_m=35), np.random.default_rng(1))
    assert np.linalg.norm(moving.camera("thermal", 9.0).position - first.position) > 0.05
    np.testing.assert_allclose(moving.camera("thermal", 0.0).position, first.position)
