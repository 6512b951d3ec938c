"""A camera's full frame reduced for the detector: where things lie, and what is not copied."""

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windhover.errors import EncodingError
from windhover.imaging.reduction import FrameReducer, flipped_full, nv12_planes
from windhover.types import Frame, FullFrame
from windhover_sim.sensor import as_nv12

RED, LIGHT = (60, 60, 220), (220, 220, 220)


def scene(width, height, box, colour=RED):
    """A grey picture with a rectangle, ``x1, y1, x2, y2``."""
    bgr = np.full((height, width, 3), 60, np.uint8)
    x1, y1, x2, y2 = box
    bgr[y1:y2, x1:x2] = colour
    return bgr


def center(plane):
    """Centre of what is bright in one plane, pixels from the picture's outer corner."""
    weight = np.maximum(plane.astype(float) - 70, 0)
    rows, columns = np.indices(weight.shape) + 0.5
    return (weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()


# Chroma may be off by half a pixel: the camera has it at half the size.
@pytest.mark.parametrize(
    ("encoding", "colour", "off_px"),
    [("nv12", LIGHT, 0.2), ("nv12", RED, 0.6), ("bgr8", RED, 0.2), ("rgb8", RED, 0.2)],
)
@settings(max_examples=40, deadline=None)
@given(
    size=st.sampled_from([(3840, 2160), (2560, 1440), (1920, 1080), (1282, 1026), (2028, 1520)]),
    width=st.sampled_from([640, 641, 960, 1280]),
    place=st.tuples(st.floats(0.1, 0.7), st.floats(0.1, 0.7)),
)
def test_what_is_seen_stays_in_place(encoding, colour, off_px, size, width, place):
    # Even, as chroma that is made of odd edges is off by itself.
    x, y = (int(share * side) // 2 * 2 for share, side in zip(place, size, strict=True))
    bgr = scene(*size, (x, y, x + 200, y + 120), colour)
    image = {"nv12": as_nv12, "rgb8": lambda b: b[..., ::-1].copy(), "bgr8": lambda b: b}
    image = image[encoding](bgr)
    frame = FrameReducer(width).reduce(Frame(image, encoding, 7, "rgb", 3))
    assert (frame.encoding, frame.stamp_ns, frame.frame_id, frame.index) == ("bgr8", 7, "rgb", 3)
    assert frame.width == width // 2 * 2
    assert abs(frame.height - size[1] * frame.width / size[0]) <= 1
    assert frame.full.encoding == encoding
    assert (frame.full.width, frame.full.height) == size
    assert frame.full.image is image
    scale = np.array(size) / (frame.width, frame.height)
    found = np.array(center(frame.image[..., 2])) * scale
    np.testing.assert_allclose(found, (x + 100, y + 60), atol=off_px * scale.max())


def test_it_is_near_an_area_resize_of_the_converted_picture():
    rng = np.random.default_rng(0)
    coarse = rng.integers(30, 220, (27, 48, 3), dtype=np.uint8)
    bgr = cv2.resize(coarse, (3840, 2160), interpolation=cv2.INTER_CUBIC)
    nv12 = as_nv12(bgr)
    full = cv2.cvtColor(nv12, cv2.COLOR_YUV2BGR_NV12)
    wanted = cv2.resize(full, (1280, 720), interpolation=cv2.INTER_AREA).astype(int)
    got = FrameReducer(1280).reduce(Frame(nv12, "nv12", 0)).image
    assert np.abs(got - wanted).mean() < 2.0


def test_a_result_outlives_the_next_frame():
    reducer = FrameReducer(64)
    for encoding, make in (("bgr8", lambda b: b), ("nv12", as_nv12)):
        first = reducer.reduce(Frame(make(scene(256, 128, (0, 0, 256, 128))), encoding, 0))
        before = first.image.copy()
        reducer.reduce(Frame(make(np.zeros((128, 256, 3), np.uint8)), encoding, 1))
        np.testing.assert_array_equal(first.image, before)


def test_the_full_frame_is_not_copied():
    """By the counters of Python's memory, in which NumPy's and OpenCV's arrays are."""
    reducer = FrameReducer(1280)
    frame = Frame(np.full((3240, 3840), 100, np.uint8), "nv12", 0)
    reducer.reduce(frame)
    tracemalloc.start()
    try:
        reduced = [reducer.reduce(frame) for _ in range(3)]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    results = sum(one.image.nbytes for one in reduced)
    assert results <= most < results + 100_000


def test_a_frame_that_is_no_larger_goes_on_as_it_is():
    bgr = scene(320, 240, (10, 10, 60, 60))
    frame = Frame(bgr, "bgr8", 0)
    assert FrameReducer(320).reduce(frame) is frame
    converted = FrameReducer(320).reduce(Frame(as_nv12(bgr), "nv12", 0))
    assert converted.encoding == "bgr8"
    assert converted.full is None
    assert converted.image.shape == bgr.shape


@pytest.mark.parametrize("encoding", ["mono8", "mono16", "8UC4"])
def test_other_encodings_are_left_alone(encoding):
    image = np.zeros((64, 128, 4) if encoding == "8UC4" else (64, 128), np.uint8)
    frame = Frame(image, encoding, 0)
    assert FrameReducer(32).reduce(frame) is frame


@pytest.mark.parametrize("shape", [(100, 64), (96, 63), (0, 64), (96, 64, 3)])
def test_a_damaged_nv12_picture_is_refused(shape):
    with pytest.raises(EncodingError, match="damaged"):
        FrameReducer(32).reduce(Frame(np.zeros(shape, np.uint8), "nv12", 0))


def test_rows_that_are_padded_are_read_in_place():
    padded = np.zeros((96, 80), np.uint8)
    luma, chroma = nv12_planes(padded[:, :64])
    assert (luma.shape, chroma.shape) == ((64, 64), (32, 32, 2))
    assert np.shares_memory(luma, padded)
    assert np.shares_memory(chroma, padded)


@pytest.mark.parametrize("code", [0, 1, -1])
@pytest.mark.parametrize("encoding", ["nv12", "bgr8"])
def test_a_full_frame_is_mirrored_as_its_picture_is(code, encoding):
    rng = np.random.default_rng(1)
    bgr = cv2.resize(rng.integers(0, 255, (8, 12, 3), dtype=np.uint8), (96, 64))
    full = FullFrame(as_nv12(bgr) if encoding == "nv12" else bgr, encoding)

    def colours(one):
        return cv2.cvtColor(one, cv2.COLOR_YUV2BGR_NV12) if encoding == "nv12" else one

    got = colours(flipped_full(full, code).image)
    np.testing.assert_array_equal(got, cv2.flip(colours(full.image), code))
