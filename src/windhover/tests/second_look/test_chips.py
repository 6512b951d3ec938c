"""Chips are cut where they should be, at the scale they should have, from every encoding."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windhover.errors import EncodingError
from windhover.geometry import Lens, down_of_pitch
from windhover.second_look.chips import (
    ASSUMED_PERSON_M,
    check_full_frame,
    chip_spans,
    chip_spans_from_boxes,
    chip_to_frame,
    cut_chips,
    whole_pixels,
)
from windhover.types import FullFrame
from windhover_sim.sensor import as_nv12

SIZE = 160


def smooth_picture(height=720, width=1280):
    """A picture whose blue is x / 8 and whose green is y / 4, so that a pixel tells its place."""
    y, x = np.mgrid[:height, :width].astype(np.float64) + 0.5
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0] = np.clip(x / 8, 0, 255)
    picture[..., 1] = np.clip(y / 4, 0, 255)
    return picture


def cut(frame, center, span):
    out = np.empty((1, SIZE, SIZE, 3), np.uint8)
    cut_chips(frame, np.array([center], np.float64), np.array([span]), out)
    return out[0]


@given(
    st.floats(200, 1000), st.floats(150, 550), st.floats(40, 300), st.integers(0, SIZE - 1),
    st.integers(0, SIZE - 1),
)  # fmt: skip
def test_each_pixel_of_a_chip_is_of_its_place(x, y, span, column, row):
    chip = cut(FullFrame(smooth_picture(), "bgr8"), (x, y), span)
    place = chip_to_frame(
        np.array([[column + 0.5, row + 0.5] * 2], np.float32),
        np.array([[x, y]]),
        np.array([span]),
        SIZE,
    )[0]
    assert chip[row, column, 0] == pytest.approx(place[0] / 8, abs=1.0)
    assert chip[row, column, 1] == pytest.approx(place[1] / 4, abs=1.0)


def test_a_hard_edged_mark_is_found_again_with_sub_pixel_accuracy():
    picture = np.zeros((400, 400, 3), np.uint8)
    picture[196:208, 206:218] = 255
    for span in (80.0, 160.0, 285.0, 400.0):
        chip = cut(FullFrame(picture, "bgr8"), (205.3, 199.6), span)[..., 0].astype(float)
        rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
        centre = [(chip * axis).sum() / chip.sum() for axis in (columns, rows)]
        box = np.array([[*centre, *centre]], np.float32)
        found = chip_to_frame(box, np.array([[205.3, 199.6]]), np.array([span]), SIZE)[0, :2]
        assert found == pytest.approx([212.0, 202.0], abs=max(0.1, 0.15 * span / SIZE))


@given(
    st.lists(st.tuples(st.floats(-50, 4000), st.floats(-50, 2300), st.floats(0.1, 900)), min_size=1)
)
def test_whole_pixels_move_a_chip_by_a_pixel_at_most(chips):
    table = np.array(chips)
    centers, spans = whole_pixels(table[:, :2], table[:, 2])
    low = centers - spans[:, None] / 2
    assert (low % 2 == 0).all()
    assert (spans % 2 == 0).all()
    assert (spans >= 2).all()
    assert np.abs(spans - np.maximum(table[:, 2], 2)).max() <= 1.0 + 1e-9
    assert np.abs(centers - table[:, :2]).max() <= 1.0 + 1e-9


@pytest.mark.parametrize("encoding", ["bgr8", "8UC4", "nv12"])
@given(st.integers(100, 300), st.integers(80, 200), st.integers(20, 300))
def test_whole_pixels_are_cut_as_any_others_are(encoding, x, y, half):
    """A chip between pixels, and one a thousandth of a pixel beside it, which is warped."""
    picture = cv2.resize(
        np.random.default_rng(5).integers(0, 256, (36, 64, 3), np.uint8), (1280, 720),
        interpolation=cv2.INTER_CUBIC,
    )  # fmt: skip
    image = {
        "bgr8": picture, "nv12": as_nv12(picture), "8UC4": np.dstack((picture, picture[..., 0])),
    }[encoding]  # fmt: skip
    frame, center, span = FullFrame(image, encoding), np.array([2.0 * x, 2.0 * y]), 2.0 * half
    center += half % 2
    fast = cut(frame, center, span).astype(int)
    exact = cut(frame, center + 1e-3, span).astype(int)
    assert np.abs(fast - exact).mean() < 1.0
    # A warp rounds places to a thirty-second of a pixel, and colours double the difference.
    assert np.abs(fast - exact).max() <= 24


@pytest.mark.parametrize("encoding", ["bgr8", "rgb8", "8UC4", "nv12"])
def test_every_encoding_gives_the_same_chip(encoding):
    rng = np.random.default_rng(3)
    small = rng.integers(0, 256, (36, 64, 3), np.uint8)
    picture = cv2.resize(small, (1280, 720), interpolation=cv2.INTER_CUBIC)
    image = {
        "bgr8": picture,
        "rgb8": picture[..., ::-1].copy(),
        "8UC4": np.dstack((picture, picture[..., 0])),
        "nv12": as_nv12(picture),
    }[encoding]
    wanted = cut(FullFrame(picture, "bgr8"), (633.3, 355.7), 200.0).astype(int)
    found = cut(FullFrame(image, encoding), (633.3, 355.7), 200.0).astype(int)
    # NV12 halves the colours' resolution.
    limit = 4.0 if encoding == "nv12" else 0.0
    assert np.abs(found - wanted).mean() <= limit


@pytest.mark.parametrize("encoding", ["bgr8", "nv12"])
@given(st.floats(-300, 1600), st.floats(-300, 1000), st.floats(1, 2500))
def test_a_chip_partly_or_wholly_outside_repeats_the_border(encoding, x, y, span):
    picture = np.full((720, 1280, 3), (40, 120, 200), np.uint8)
    image = as_nv12(picture) if encoding == "nv12" else picture
    chip = cut(FullFrame(image, encoding), (x, y), span)
    assert np.abs(chip.astype(int) - (40, 120, 200)).max() <= 3


@pytest.mark.parametrize(
    ("image", "encoding"),
    [
        (np.zeros((10, 10), np.uint16), "mono16"),
        (np.zeros((10, 10), np.uint8), "bgr8"),
        (np.zeros((10, 10, 3), np.uint16), "bgr8"),
        (np.zeros((10, 11), np.uint8), "nv12"),
    ],
)
def test_a_frame_that_is_not_what_it_says_is_refused(image, encoding):
    with pytest.raises(EncodingError, match=r"damaged|not mono16"):
        check_full_frame(FullFrame(image, encoding))


@given(
    st.floats(10, 60), st.floats(40, 90), st.floats(100, 3700), st.floats(700, 2100),
    st.floats(-1, 1), st.floats(-1, 1),
)  # fmt: skip
def test_a_span_is_as_long_as_its_metres_seen_face_on(altitude, pitch, x, y, east, north):
    lens = Lens.from_hfov((3840, 2160), 66.0)
    down = down_of_pitch(pitch)
    box = np.array([[x - 5, y - 5, x + 5, y + 5]], np.float32)
    span = chip_spans(box, lens, altitude, down, 2.9)[0]
    ray = lens.rays(np.array([[x - 0.5, y - 0.5]]))[0]
    if ray @ down <= 1e-3:
        assert np.isnan(span)
        return
    distance = (altitude - 0.9) / (ray @ down) * np.linalg.norm(ray)
    assert span == pytest.approx(2.9 * lens.matrix[0, 0] / distance, rel=1e-6)


def test_without_altitude_the_persons_box_gives_the_scale():
    boxes = np.array([[0, 0, 20, ASSUMED_PERSON_M * 50], [0, 0, 0, 0]], np.float32)
    assert chip_spans_from_boxes(boxes, 2.9) == pytest.approx([145.0, 2.9 / ASSUMED_PERSON_M])
    assert len(chip_spans_from_boxes(np.empty((0, 4), np.float32), 2.9)) == 0


def test_several_people_without_altitude_share_one_scale():
    sides = np.array([30.0, 60.0, 62.0, 58.0], np.float32)
    boxes = np.column_stack([np.zeros((4, 2)), sides / 2, sides]).astype(np.float32)
    expected = 59.0 * 2.9 / ASSUMED_PERSON_M
    assert chip_spans_from_boxes(boxes, 2.9) == pytest.approx([expected] * 4)
