"""Camera motion against image motion that is known because it was made."""

import cv2
import numpy as np
import pytest

from windhover.tracking import make_tracker
from windhover.tracking.camera_motion import CameraMotion

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
    return points @ motion[:, :2].T + motion[:, 2]


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
    assert camera.estimate(view(ground, np.eye(2, 3)), NO_BOXES) is None
    found = camera.estimate(view(ground, motion), NO_BOXES)
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
    found = camera.estimate(convert(view(ground, motion)), NO_BOXES)
    assert found is not None
    np.testing.assert_allclose(moved(found), moved(motion), atol=0.6)


def test_objects_in_boxes_do_not_count(ground):
    """A truck that fills half the image drives while the camera stands still."""
    truck = np.array([[0, 0, 380, 512]], np.float32)
    first = view(ground, np.eye(2, 3))
    second = first.copy()
    second[:, :380] = view(ground, similarity(0, 1, 14, 0))[:, :380]
    camera = CameraMotion()
    camera.estimate(first, truck)
    found = camera.estimate(second, truck)
    assert found is not None
    np.testing.assert_allclose(moved(found), CORNERS, atol=0.6)
    camera.reset()
    camera.estimate(first, NO_BOXES)
    fooled = camera.estimate(second, NO_BOXES)
    assert fooled is None or np.abs(moved(fooled) - CORNERS).max() > 5.0


def test_boxes_beyond_the_image_are_fine(ground):
    camera = CameraMotion()
    boxes = np.array([[-50, -50, 20, 20], [600, 500, 900, 900], [700, 0, 800, 50]], np.float32)
    image = view(ground, np.eye(2, 3))
    camera.estimate(image, boxes)
    assert camera.estimate(image, boxes) is not None


def test_what_can_not_be_followed_gives_none(ground):
    blank = np.full((512, 640), 90, np.uint8)
    image = view(ground, np.eye(2, 3))
    for first, second in ((blank, blank), (image, blank), (blank, image), (image, image[:256])):
        camera = CameraMotion()
        camera.estimate(first, NO_BOXES)
        assert camera.estimate(second, NO_BOXES) is None
    rng = np.random.default_rng(1)
    camera = CameraMotion()
    camera.estimate(rng.integers(0, 255, (512, 640)).astype(np.uint8), NO_BOXES)
    assert camera.estimate(rng.integers(0, 255, (512, 640)).astype(np.uint8), NO_BOXES) is None


def test_after_reset_there_is_no_last_frame(ground):
    camera = CameraMotion()
    image = view(ground, np.eye(2, 3))
    camera.estimate(image, NO_BOXES)
    camera.reset()
    assert camera.estimate(image, NO_BOXES) is None


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
