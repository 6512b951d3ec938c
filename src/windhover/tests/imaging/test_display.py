"""Frames of both cameras are shown to people as one picture."""

import numpy as np

from windhover.imaging.display import draw_results, fuse_for_display
from windhover.types import Detections, Frame, Tracks


def picture(grey, thermal):
    image = np.full((64, 80, 4), grey, np.uint8)
    image[..., 3] = 0
    image[20:40, 20:40, 3] = thermal
    return image


def test_by_night_people_are_shown_by_their_warmth_and_by_day_by_rgb():
    night, day = fuse_for_display(picture(5, 220)), fuse_for_display(picture(160, 220))
    assert night[30, 30].min() > 150
    assert night[5, 5].max() < 20
    assert abs(int(day[5, 5, 0]) - 120) <= 1


def test_results_are_drawn_over_pictures_of_four_planes():
    boxes = np.array([[20, 20, 40, 40]], np.float32)
    found = Detections(boxes, np.ones(1, np.float32), np.zeros(1, np.int32))
    frame = Frame(picture(5, 220), "8UC4", 0)
    drawn = draw_results(frame, found, ["person"])
    assert drawn.shape[2] == 3
    assert (drawn != draw_results(frame, Detections(), ["person"])).any()


def test_a_frame_without_thermal_is_shown_as_it_is():
    image = picture(60, 0)
    np.testing.assert_array_equal(fuse_for_display(image), image[..., :3])


def test_the_names_that_results_hold_are_drawn():
    boxes = np.array([[20, 20, 40, 40]], np.float32)
    columns = boxes, np.ones(1, np.float32), np.zeros(1, np.int32)
    frame = Frame(picture(90, 90), "8UC4", 0)
    named = draw_results(frame, Detections(*columns, labels=("person",)))
    np.testing.assert_array_equal(named, draw_results(frame, Detections(*columns), ["person"]))
    tracks = Tracks(*columns, np.array([7]), labels=("person",))
    assert (draw_results(frame, tracks) != named).any()
