"""Frames of both cameras are shown to people as one picture."""

import numpy as np
import pytest

from windhover.errors import EncodingError
from windhover.imaging.agc import tone_map
from windhover.imaging.display import draw_results, fuse_for_display
from windhover.types import Detections, Frame, Tracks


def picture(grey, thermal):
    image = np.full((256, 320, 4), grey, np.uint8)
    image[..., 3] = 60 if thermal else 0
    image[100:120, 100:110, 3] = thermal
    return image


def test_by_night_the_ground_stays_dark_and_people_glow():
    night = fuse_for_display(picture(5, 220))
    assert night[110, 105, 2] > 200
    assert night[5, 5].max() < 20
    assert night[200, 200].max() < 20


def test_by_day_the_picture_is_that_of_the_rgb_camera():
    day = fuse_for_display(picture(120, 220))
    assert day[5, 5].tolist() == [120, 120, 120]
    assert 120 < day[110, 105, 2] < 200


def test_the_edge_of_the_thermal_view_is_not_seen():
    image = picture(20, 220)
    image[:, 160:, 3] = 0
    np.testing.assert_array_equal(fuse_for_display(image)[:, 150:170], image[:, 150:170, :3])


def test_results_are_drawn_over_pictures_of_four_planes():
    boxes = np.array([[100, 100, 110, 120]], np.float32)
    found = Detections(boxes, np.ones(1, np.float32), np.zeros(1, np.int32))
    frame = Frame(picture(5, 220), "8UC4", 0)
    drawn = draw_results(frame, found, ["person"])
    assert drawn.shape[2] == 3
    assert (drawn != draw_results(frame, Detections(), ["person"])).any()


def test_a_frame_without_thermal_is_shown_as_it_is():
    image = picture(60, 0)
    np.testing.assert_array_equal(fuse_for_display(image), image[..., :3])


def test_the_names_that_results_hold_are_drawn():
    boxes = np.array([[100, 100, 110, 120]], np.float32)
    columns = boxes, np.ones(1, np.float32), np.zeros(1, np.int32)
    frame = Frame(picture(90, 90), "8UC4", 0)
    named = draw_results(frame, Detections(*columns, labels=("person",)))
    np.testing.assert_array_equal(named, draw_results(frame, Detections(*columns), ["person"]))
    tracks = Tracks(*columns, np.array([7]), labels=("person",))
    assert (draw_results(frame, tracks) != named).any()


def test_people_on_warm_ground_are_seen_in_raw_counts():
    rng = np.random.default_rng(0)
    counts = rng.normal(29_000, 15, (512, 640)).astype(np.uint16)
    counts[:, 320:] += 900
    for x in range(340, 640, 60):
        counts[200:220, x : x + 8] += 700
    shown = draw_results(Frame(counts, "mono16", 0), Detections(), [])
    model = tone_map(counts).astype(float)

    def stands_out(picture):
        return picture[205:215, 402:406].mean() - picture[300:400, 420:440].mean()

    assert stands_out(shown) > 2 * stands_out(model)
    assert stands_out(shown) > 40
    with pytest.raises(EncodingError, match="a mono16 frame"):
        draw_results(Frame(counts.astype(np.uint8), "mono16", 0), Detections(), [])
