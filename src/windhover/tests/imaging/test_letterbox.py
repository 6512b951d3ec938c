"""The letterbox keeps Ultralytics' pixels and maps boxes exactly both ways."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windhover.errors import EncodingError
from windhover.imaging.letterbox import Letterbox

sides = st.integers(1, 4000)
sizes = st.tuples(sides, sides)
corners = st.lists(
    st.tuples(*[st.floats(-5000, 5000, allow_nan=False)] * 4), min_size=0, max_size=8
)


def reference(image: np.ndarray, new_hw: tuple[int, int]) -> np.ndarray:
    """Ultralytics' arithmetic (8.4, LetterBox.__call__), written out as published."""
    shape = image.shape[:2]
    ratio = min(new_hw[0] / shape[0], new_hw[1] / shape[1])
    unpadded = (round(shape[1] * ratio), round(shape[0] * ratio))
    half_w, half_h = (new_hw[1] - unpadded[0]) / 2, (new_hw[0] - unpadded[1]) / 2
    if shape[::-1] != unpadded:
        image = cv2.resize(image, unpadded, interpolation=cv2.INTER_LINEAR)
    top, bottom = round(half_h - 0.1), round(half_h + 0.1)
    left, right = round(half_w - 0.1), round(half_w + 0.1)
    return cv2.copyMakeBorder(
        image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(114,) * 4
    )


@given(sizes, sizes, corners)
def test_to_source_inverts_to_input(source_hw, input_hw, rows):
    letterbox = Letterbox(source_hw, input_hw)
    boxes = np.array(rows, np.float64).reshape(-1, 4)
    back = letterbox.to_source(letterbox.to_input(boxes))
    scale = min(letterbox.resized_hw[0] / source_hw[0], letterbox.resized_hw[1] / source_hw[1])
    # The pad is added and taken away, so its own rounding, seen from the source, remains.
    reach = (np.abs(boxes).max(initial=1.0) + max(input_hw) / scale) * 8 * np.finfo(float).eps
    np.testing.assert_allclose(back, boxes, rtol=0, atol=reach)


@given(sizes, sizes)
def test_the_source_fills_the_picture_inside_the_border(source_hw, input_hw):
    letterbox = Letterbox(source_hw, input_hw)
    height, width = source_hw
    x1, y1, x2, y2 = letterbox.to_input(np.array([[0, 0, width, height]], np.float64))[0]
    assert (x1, y1) == (letterbox.pad_x, letterbox.pad_y)
    assert x2 == pytest.approx(letterbox.pad_x + letterbox.resized_hw[1])
    assert y2 == pytest.approx(letterbox.pad_y + letterbox.resized_hw[0])
    assert 0 <= x1 < x2 <= input_hw[1] + 1e-9
    assert 0 <= y1 < y2 <= input_hw[0] + 1e-9


@pytest.mark.parametrize(
    ("source_hw", "input_hw", "scale", "pad_x", "pad_y"),
    [
        ((720, 1280), (640, 640), 0.5, 0, 140),
        ((512, 640), (640, 640), 1.0, 0, 64),
        ((512, 640), (512, 640), 1.0, 0, 0),
        ((480, 640), (640, 640), 1.0, 0, 80),
        ((240, 320), (640, 640), 2.0, 0, 80),
        ((1080, 1920), (640, 640), 1 / 3, 0, 140),
        ((101, 100), (64, 64), 64 / 101, 0, 0),
        ((97, 33), (64, 64), 64 / 97, 21, 0),
    ],
)
def test_geometry_is_that_of_training(source_hw, input_hw, scale, pad_x, pad_y):
    letterbox = Letterbox(source_hw, input_hw)
    assert letterbox.scale == pytest.approx(scale)
    assert (letterbox.pad_x, letterbox.pad_y) == (pad_x, pad_y)


@given(
    st.tuples(st.integers(8, 90), st.integers(8, 90)),
    st.tuples(st.integers(16, 96), st.integers(16, 96)),
    st.sampled_from([None, 1, 3, 4]),
    st.integers(0, 2**32 - 1),
)
def test_pixels_equal_the_published_arithmetic(source_hw, input_hw, channels, seed):
    shape = source_hw if channels is None else (*source_hw, channels)
    image = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    expected = reference(image, input_hw).reshape(input_hw + image.shape[2:])
    given_image = image.copy()
    result = Letterbox(source_hw, input_hw).apply(image)
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(image, given_image)


# What ultralytics 8.4.190 (LetterBox((8, 8), auto=False, scaleup=True, center=True))
# makes of a 4 x 6 image of 0, 10, 20, ... 230.
GOLDEN = [
    [114, 114, 114, 114, 114, 114, 114, 114],
    [0, 6, 14, 21, 29, 36, 44, 50],
    [42, 48, 56, 63, 71, 78, 86, 92],
    [90, 96, 104, 111, 119, 126, 134, 140],
    [138, 144, 152, 159, 167, 174, 182, 188],
    [180, 186, 194, 201, 209, 216, 224, 230],
    [114, 114, 114, 114, 114, 114, 114, 114],
    [114, 114, 114, 114, 114, 114, 114, 114],
]


def test_pixels_equal_those_that_ultralytics_made():
    image = (np.arange(24, dtype=np.uint8) * 10).reshape(4, 6)
    np.testing.assert_array_equal(Letterbox((4, 6), (8, 8)).apply(image), GOLDEN)


def test_pixels_equal_ultralytics_where_it_is_installed():
    augment = pytest.importorskip("ultralytics.data.augment", reason="only in the training venv")
    rng = np.random.default_rng(0)
    for source_hw in [(720, 1280), (512, 640), (333, 517), (200, 97), (641, 640)]:
        image = rng.integers(0, 256, (*source_hw, 3), np.uint8)
        theirs = augment.LetterBox((640, 640), auto=False, scaleup=True, center=True)(image=image)
        np.testing.assert_array_equal(Letterbox(source_hw, (640, 640)).apply(image), theirs)


def test_a_feature_is_inside_its_mapped_box():
    image = np.zeros((720, 1280), np.uint8)
    image[300:340, 900:960] = 255
    letterbox = Letterbox((720, 1280), (640, 640))
    rows, columns = np.nonzero(letterbox.apply(image) > 200)
    found = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    np.testing.assert_allclose(letterbox.to_source(found), [[900, 300, 960, 340]])


def test_same_size_is_not_copied():
    image = np.zeros((512, 640, 3), np.uint8)
    assert np.shares_memory(Letterbox((512, 640), (512, 640)).apply(image), image)


def test_every_pixel_of_a_reused_buffer_is_written():
    out = np.full((1, 640, 640, 3), 7, np.uint8)
    image = np.random.default_rng(1).integers(0, 256, (720, 1280, 3), np.uint8)
    letterbox = Letterbox((720, 1280), (640, 640))
    result = letterbox.apply(image, out=out[0])
    assert np.shares_memory(result, out)
    np.testing.assert_array_equal(out[0], letterbox.apply(image))
    assert (out[0, :140] == 114).all()
    assert (out[0, 500:] == 114).all()


def test_rows_with_padding_and_read_only_images_work():
    padded = np.random.default_rng(2).integers(0, 256, (100, 140, 3), np.uint8)
    view = padded[:, :120]
    view.flags.writeable = False
    letterbox = Letterbox((100, 120), (64, 64))
    np.testing.assert_array_equal(letterbox.apply(view), letterbox.apply(view.copy()))


def test_float32_boxes_stay_float32():
    letterbox = Letterbox((720, 1280), (640, 640))
    boxes = np.array([[1.5, 2.5, 3.25, 4.75]], np.float32)
    assert letterbox.to_input(boxes).dtype == np.float32
    assert letterbox.to_source(boxes).dtype == np.float32
    assert letterbox.to_source(np.empty((0, 4), np.float32)).shape == (0, 4)


def test_wrong_input_is_named():
    letterbox = Letterbox((72, 128), (64, 64))
    with pytest.raises(EncodingError, match="uint16, not uint8"):
        letterbox.apply(np.zeros((72, 128), np.uint16))
    with pytest.raises(EncodingError, match="expected 72 rows x 128 columns"):
        letterbox.apply(np.zeros((72, 120), np.uint8))
    with pytest.raises(EncodingError, match="buffer is"):
        letterbox.apply(np.zeros((72, 128, 3), np.uint8), out=np.zeros((64, 64), np.uint8))
    with pytest.raises(EncodingError, match="at least 1 pixel"):
        Letterbox((0, 128), (64, 64))
