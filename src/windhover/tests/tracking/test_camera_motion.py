"""Camera motion against image motion that is known because it was made."""

import cv2
import numpy as np
import pytest

from windhover.geometry import Lens
from windhover.tracking import camera_motion, make_tracker
from windhover.tracking.attitude import turn_motion
from windhover.tracking.camera_motion import CameraMotion, ImageMotion

NO_BOXES = np.empty((0, 4), np.float32)
S = 1_000_000_000


@pytest.fixture(scope="module")
def ground():
    """Texture of blobs of many sizes, larger than any view of it."""
    rng = np.random.default_rng(0)
    layers = [cv2.GaussianBlur(rng.normal(0, s, (800, 1000)), (0, 0), s) for s in (2, 4, 9, 20)]
    texture = sum(layers)
    return cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def similarity(angle_deg, scale, dx, dy, about=(320.0, 256.0)):
    motion = cv2.getRotationMatrix2D(about, angle_deg, scale)
    motion[:, 2] += (dx, dy)
    return motion


def view(ground, motion):
    """640x512 of the ground, displaced by ``motion`` in box coordinates."""
    in_pixels = motion.copy()
    in_pixels[:, 2] += motion[:, :2] @ [0.5, 0.5] - 0.5
    offset = np.array([[1.0, 0.0, -180.0], [0.0, 1.0, -144.0], [0.0, 0.0, 1.0]])
    return cv2.warpAffine(ground, (np.vstack((in_pixels, [0, 0, 1])) @ offset)[:2], (640, 512))


CORNERS = np.array([[40.0, 40.0], [600.0, 40.0], [40.0, 470.0], [600.0, 470.0], [320.0, 256.0]])


def moved(motion, points=CORNERS):
    square = np.vstack([motion, [0, 0, 1]])[:3]
    flat = np.column_stack([points, np.ones(len(points))]) @ square.T
    return flat[:, :2] / flat[:, 2:]


@pytest.mark.parametrize(
    "motion",
    [
        similarity(0, 1, 0, 0),
        similarity(0, 1, 7.3, -4.6),
        similarity(0, 1, -38, 25),
        similarity(2.5, 1, 5, 3),
        similarity(-1, 1.03, -6, 10),
    ],
)
def test_known_motion_is_found_to_a_fraction_of_a_pixel(ground, motion):
    camera = CameraMotion()
    assert camera.estimate(view(ground, np.eye(2, 3)), NO_BOXES).matrix is None
    found = camera.estimate(view(ground, motion), NO_BOXES).matrix
    assert found is not None
    np.testing.assert_allclose(moved(found), moved(motion), atol=0.6)


@pytest.mark.parametrize("kind", ["mono16", "bgr8", "8UC4"])
def test_pixel_formats(ground, kind):
    def convert(gray):
        if kind == "mono16":
            return gray.astype(np.uint16) * 9 + 21000
        return np.repeat(gray[..., None], 3 if kind == "bgr8" else 4, axis=2)

    camera, motion = CameraMotion(), similarity(0, 1, 9, -5)
    camera.estimate(convert(view(ground, np.eye(2, 3))), NO_BOXES)
    found = camera.estimate(convert(view(ground, motion)), NO_BOXES).matrix
    assert found is not None
    np.testing.assert_allclose(moved(found), moved(motion), atol=0.6)


def rgbt(colours, thermal, seed=0):
    """Both cameras' pictures as 8UC4, the colours with a sensor's noise."""
    noise = np.random.default_rng(seed).normal(0, 2, (*colours.shape, 3))
    bgr = np.clip(colours[..., None] + 2.0 + noise, 0, 255).astype(np.uint8)
    return np.dstack([bgr, thermal])


@pytest.mark.parametrize(("light", "thermal_is_followed"), [(1.0, False), (0.02, True)])
def test_thermal_is_followed_where_colours_are_too_dark(ground, light, thermal_is_followed):
    """Each camera shows another motion, which shows the one that was used."""
    still, by_colours, by_thermal = (similarity(0, 1, *by) for by in ((0, 0), (-6, 4), (9, -5)))
    camera = CameraMotion()
    camera.estimate(rgbt(light * view(ground, still), view(ground, still)), NO_BOXES)
    second = rgbt(light * view(ground, by_colours), view(ground, by_thermal), seed=1)
    found = camera.estimate(second, NO_BOXES).matrix
    expected = by_thermal if thermal_is_followed else by_colours
    assert found is not None
    np.testing.assert_allclose(moved(found), moved(expected), atol=0.6)


def test_dusk_costs_one_frame_and_no_cut(ground):
    """Lights go out and on again: no motion is made up from one camera's picture to the other's."""
    camera, known = CameraMotion(), []
    for k, light in enumerate((1.0, 1.0, 0.01, 0.01, 1.0, 1.0)):
        shown = view(ground, similarity(0, 1, 3 * k, -2 * k))
        motion = camera.estimate(rgbt(light * shown, shown, seed=k), NO_BOXES)
        assert not motion.cut
        known.append(motion.matrix is not None)
        if motion.matrix is not None:
            np.testing.assert_allclose(moved(motion.matrix), CORNERS + [3, -2], atol=0.6)
    assert known == [False, True, False, True, False, True]


def test_without_contrast_in_either_camera_there_is_no_motion(ground):
    camera, nothing = CameraMotion(), np.zeros((512, 640), np.uint8)
    for seed in range(3):
        assert camera.estimate(rgbt(nothing, nothing, seed), NO_BOXES) == ImageMotion()


def test_corners_are_tracked_from_frame_to_frame_and_detected_again(ground):
    """A pan by half the view, longer than any corner stays in it; a car drives along below."""
    camera = CameraMotion()
    for k in range(31):
        shown = view(ground, similarity(0.5 * k, 1, 9 * k - 150, 100 - 6 * k)).copy()
        shown[200:300, 18 * k : 18 * k + 100] = view(ground, np.eye(2, 3))[200:300, :100]
        found = camera.estimate(shown, np.array([[18 * k, 200, 18 * k + 100, 300]], np.float32))
        if k:
            last = similarity(0.5 * k - 0.5, 1, 9 * k - 159, 106 - 6 * k)
            now = moved(similarity(0.5 * k, 1, 9 * k - 150, 100 - 6 * k))
            assert found.matrix is not None
            flat = np.column_stack([moved(last), np.ones(len(now))]) @ found.matrix.T
            np.testing.assert_allclose(flat[:, :2] / flat[:, 2:], now, atol=1.0)


def test_corners_that_leave_the_view_are_dropped_as_by_flow_itself(ground, monkeypatch):
    """OpenCV looks whether they did only where it is asked for what changed around them."""

    def run():
        camera, found = CameraMotion(), []
        for k in range(12):
            shown = view(ground, similarity(0.5 * k, 1, 9 * k - 50, 14 * k - 80))
            found.append(camera.estimate(shown, NO_BOXES).matrix)
        return np.array(found[1:], np.float64)

    cheap = run()
    monkeypatch.setattr(camera_motion, "_FLOW_FLAGS", 0)
    np.testing.assert_array_equal(cheap, run())


@pytest.mark.parametrize("shape", [(1080, 1920), (720, 1280), (513, 641), (120, 150)])
def test_images_of_any_size(ground, shape):
    """Each is the same view, drawn larger or smaller: motion is in its own pixels."""
    camera, size = CameraMotion(), shape[::-1]
    larger = np.array([shape[1] / 640, shape[0] / 512])
    for motion in (np.eye(2, 3), similarity(0, 1, 24, -16)):
        shown = cv2.resize(view(ground, motion), size, interpolation=cv2.INTER_LINEAR)
        found = camera.estimate(shown, NO_BOXES).matrix
    np.testing.assert_allclose(
        moved(found, CORNERS * larger) / larger, CORNERS + [24, -16], atol=1.0
    )


def test_objects_in_boxes_do_not_count(ground):
    """A truck that fills half the image drives while the camera stands still."""
    truck = np.array([[0, 0, 380, 512]], np.float32)
    first = view(ground, np.eye(2, 3))
    second = first.copy()
    second[:, :380] = view(ground, similarity(0, 1, 14, 0))[:, :380]
    camera = CameraMotion()
    camera.estimate(first, truck)
    found = camera.estimate(second, truck).matrix
    assert found is not None
    # Of the half behind the truck nothing is seen: its corners are extrapolated.
    np.testing.assert_allclose(moved(found), CORNERS, atol=1.0)
    camera.reset()
    camera.estimate(first, NO_BOXES)
    fooled = camera.estimate(second, NO_BOXES).matrix
    assert fooled is None or np.abs(moved(fooled) - CORNERS).max() > 5.0


def test_boxes_beyond_the_image_are_fine(ground):
    camera = CameraMotion()
    boxes = np.array([[-50, -50, 20, 20], [600, 500, 900, 900], [700, 0, 800, 50]], np.float32)
    image = view(ground, np.eye(2, 3))
    camera.estimate(image, boxes)
    assert camera.estimate(image, boxes).matrix is not None


def test_an_untrackable_background_gives_no_motion(ground):
    blank = np.full((512, 640), 90, np.uint8)
    image = view(ground, np.eye(2, 3))
    for first, second in ((blank, blank), (image, blank), (blank, image), (image, image[:256])):
        camera = CameraMotion()
        camera.estimate(first, NO_BOXES)
        assert camera.estimate(second, NO_BOXES).matrix is None
    rng = np.random.default_rng(1)
    camera = CameraMotion()
    camera.estimate(rng.integers(0, 255, (512, 640)).astype(np.uint8), NO_BOXES)
    other = rng.integers(0, 255, (512, 640)).astype(np.uint8)
    assert camera.estimate(other, NO_BOXES).matrix is None


def test_after_reset_there_is_no_last_frame(ground):
    camera = CameraMotion()
    image = view(ground, np.eye(2, 3))
    camera.estimate(image, NO_BOXES)
    camera.reset()
    assert camera.estimate(image, NO_BOXES) == ImageMotion()


@pytest.mark.parametrize("on", [True, False])
def test_a_jerk_of_the_camera_costs_no_id(ground, frame_of, on):
    """Two parked cars; the gimbal jerks by more than a car's length now and then."""
    tracker = make_tracker(params={"camera_motion": on})
    cars = np.array([[250.0, 200.0, 30, 18], [400.0, 300.0, 18, 30]])
    seen = []
    for k in range(12):
        shift = [(0, 0), (0, 0), (45, -40), (45, -40)][k % 4]
        image = view(ground, similarity(0, 1, *shift))
        tracks = tracker.update(frame_of(cars + [*shift, 0, 0]), k * S // 15, image)
        seen.append(tracks.track_ids.tolist())
    assert all(ids == [1, 2] for ids in seen) is on


def other_scene(seed=5):
    rng = np.random.default_rng(seed)
    layers = [cv2.GaussianBlur(rng.normal(0, s, (512, 640)), (0, 0), s) for s in (3, 12, 40)]
    return cv2.normalize(sum(layers), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


def test_a_slanted_view_moves_as_a_homography(ground):
    """A camera that turns about its axis and tilts: corners move by different amounts."""
    motion = np.array([[1.01, 0.02, -6.0], [-0.015, 1.0, 4.0], [4e-5, 6e-5, 1.0]])
    first = view(ground, np.eye(2, 3))
    shift = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    second = cv2.warpPerspective(first, np.linalg.inv(shift) @ motion @ shift, (640, 512))
    camera = CameraMotion()
    camera.estimate(first, NO_BOXES)
    found = camera.estimate(second, NO_BOXES).matrix
    flat = np.column_stack([CORNERS, np.ones(5)]) @ motion.T
    np.testing.assert_allclose(moved(found), flat[:, :2] / flat[:, 2:], atol=0.8)


@pytest.mark.parametrize("helped", [True, False])
def test_a_turn_too_fast_for_flow_is_followed_with_a_guess(ground, helped):
    motion = np.vstack([similarity(0, 1, 118, -70), [0, 0, 1]])
    guess = np.vstack([similarity(0, 1, 112, -66), [0, 0, 1]]) if helped else None
    camera = CameraMotion()
    camera.estimate(view(ground, np.eye(2, 3)), NO_BOXES)
    found = camera.estimate(view(ground, motion[:2]), NO_BOXES, guess).matrix
    if helped:
        np.testing.assert_allclose(moved(found), moved(motion), atol=0.6)
    else:
        assert found is None or np.abs(moved(found) - moved(motion)).max() > 5.0


def test_another_scene_is_a_cut_and_a_jerk_or_a_blank_is_not(ground):
    image = view(ground, np.eye(2, 3))
    jerked = view(ground, similarity(0, 1, 90, 60))
    blank = np.full_like(image, 90)
    for second, cut in ((other_scene(), True), (jerked, False), (blank, False), (image, False)):
        camera = CameraMotion()
        camera.estimate(image, NO_BOXES)
        assert camera.estimate(second, NO_BOXES).cut is cut
    camera = CameraMotion()
    camera.estimate(image, NO_BOXES)
    for resized in (image[:256], cv2.resize(image[:256], (1280, 512))):
        assert camera.estimate(resized, NO_BOXES) == ImageMotion(cut=True)


@pytest.mark.parametrize("on", [True, False])
def test_a_cut_ends_all_tracks_and_reports_the_new_ones_at_once(ground, frame_of, on):
    tracker = make_tracker(params={"camera_motion": on})
    cars = frame_of([(250, 200, 30, 18), (400, 300, 18, 30)])
    pictures = [view(ground, np.eye(2, 3))] * 3 + [other_scene()] * 3
    seen = [
        tracker.update(cars, k * S // 15, image).track_ids.tolist()
        for k, image in enumerate(pictures)
    ]
    assert seen == [[1, 2]] * 3 + [[3, 4] if on else [1, 2]] * 3


def test_attitude_serves_where_there_is_no_image(frame_of):
    """A yaw of a degree a frame at 60 degrees of view: 10 px a frame, changing its sense."""
    lens = Lens.from_hfov((640, 512), 60.0)

    def facing(yaw_deg):
        half = np.radians(yaw_deg) / 2
        return (0.0, 0.0, float(np.sin(half)), float(np.cos(half)))

    yaws = [0, 3, 0, -3, 0, 3, 0, -3]
    cars = np.array([[300.0, 200.0], [360.0, 320.0]])
    ids = {}
    for on in (True, False):
        tracker = make_tracker(params={"camera_motion": on})
        for k, yaw in enumerate(yaws):
            since_start = turn_motion(facing(0), facing(yaw), lens, 60.0)
            last = turn_motion(facing(yaws[k - 1]), facing(yaw), lens, 60.0) if k else None
            flat = np.column_stack([cars, np.ones(2)]) @ since_start.T
            here = np.column_stack([flat[:, :2] / flat[:, 2:], np.full((2, 2), 12.0)])
            tracks = tracker.update(frame_of(here), k * S // 10, None, last)
        ids[on] = tracks.track_ids.tolist()
    assert ids[True] == [1, 2]
    assert ids[False] != [1, 2]
