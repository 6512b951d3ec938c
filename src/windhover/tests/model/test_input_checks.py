"""What is odd about a stream of frames is named, and what is usual is not."""

import cv2
import numpy as np
import pytest

from windhover.imaging.colour import is_coloured
from windhover.model.input_checks import InputChecks
from windhover.types import Frame

GREY = np.random.default_rng(2).integers(0, 256, (64, 80), np.uint8)


def grey_frame(stamp_ns, image=GREY):
    return Frame(image, "mono8", stamp_ns)


def keys(checks, *frames):
    return [[problem.key for problem in checks.check(frame)] for frame in frames]


def test_stamps_that_do_not_rise_are_reported_each_time():
    checks = InputChecks("thermal-n", "thermal")
    frames = [grey_frame(stamp) for stamp in (5, 6, 6, 4, 7)]
    assert keys(checks, *frames) == [[], [], ["stamp"], ["stamp"], []]


def test_a_change_of_size_is_reported_once():
    checks = InputChecks("thermal-n", "thermal")
    small = GREY[:32]
    frames = [grey_frame(1), grey_frame(2, small), grey_frame(3, small), grey_frame(4)]
    assert keys(checks, *frames) == [[], ["size"], [], ["size"]]
    (problem,) = checks.check(grey_frame(5, small))
    assert problem.counter == "size_changes"
    assert "from 80x64 to 80x32" in problem.text


def test_missing_thermal_lasts_until_it_is_back():
    checks = InputChecks("rgbt-n", "rgbt")
    there = np.dstack((GREY, GREY, GREY, GREY))
    gone = there.copy()
    gone[..., 3] = 0
    frames = [Frame(image, "8UC4", k) for k, image in enumerate((there, gone, gone, there))]
    assert keys(checks, *frames) == [[], ["thermal"], ["thermal"], []]
    assert "thermal" in InputChecks.LASTING


@pytest.mark.parametrize(("channels", "expected"), [("thermal", ["colour"]), ("rgb", [])])
def test_colour_is_odd_for_a_thermal_model_only(channels, expected):
    colour = cv2.applyColorMap(GREY, cv2.COLORMAP_JET)
    assert keys(InputChecks("thermal-n", channels), Frame(colour, "bgr8", 1)) == [expected]


def test_grey_that_was_stored_as_colour_is_grey():
    three = np.dstack((GREY, GREY, GREY))
    lossy = cv2.imdecode(cv2.imencode(".jpg", three)[1], cv2.IMREAD_COLOR)
    assert not is_coloured(three, "bgr8")
    assert not is_coloured(lossy, "rgb8")
    assert not is_coloured(GREY, "mono8")
    # A coloured logo in a corner makes no colour picture.
    three[:8, :8] = (0, 0, 255)
    assert not is_coloured(three, "bgr8")
