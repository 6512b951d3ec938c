"""Every pixel format decodes to the colour that went in, wherever its rows lie."""

from array import array

import cv2
import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from windhover.errors import EncodingError, WindhoverError
from windhover.imaging.formats import ENCODINGS, decode_image, to_bgr, to_channels, to_gray8

H, W = 6, 8
BLUE, GREEN, RED = (200, 40, 30), (30, 180, 60), (20, 50, 210)  # B, G, R

# BT.601 limited range: Y = 16 + 65.481 R + 128.553 G + 24.966 B (each 0..1), and
# Cb, Cr alike (ITU-R BT.601-7, 2.5.3), so these do not come from OpenCV.


def ycbcr(bgr):
    b, g, r = (value / 255 for value in bgr)
    return (
        round(16 + 65.481 * r + 128.553 * g + 24.966 * b),
        round(128 - 37.797 * r - 74.203 * g + 112 * b),
        round(128 + 112 * r - 93.786 * g - 18.214 * b),
    )


def padded(rows: np.ndarray, step: int) -> bytes:
    """Rows of bytes with a recognisable filler up to the step."""
    out = np.full((len(rows), step), 0xEE, np.uint8)
    out[:, : rows.shape[1]] = rows
    return out.tobytes()


def bayer_rows(pattern: str, bgr) -> np.ndarray:
    """A mosaic of one colour; ``pattern`` is the first two rows' filters, as ROS names it."""
    value = dict(zip("bgr", bgr, strict=True))
    rows = np.empty((H, W), np.uint8)
    for index, filter_ in enumerate(pattern):
        rows[index // 2 :: 2, index % 2 :: 2] = value[filter_]
    return rows


def encoded(encoding: str, bgr) -> np.ndarray:
    """A picture of one colour as the rows of bytes of ``encoding``."""
    b, g, r = bgr
    y, cb, cr = ycbcr(bgr)
    pixels = {
        "bgr8": [b, g, r],
        "8UC3": [b, g, r],
        "rgb8": [r, g, b],
        "bgra8": [b, g, r, 9],
        "rgba8": [r, g, b, 9],
    }
    if encoding in pixels:
        return np.tile(np.array(pixels[encoding], np.uint8), (H, W))
    if encoding in {"yuv422", "uyvy"}:
        return np.tile(np.array([cb, y, cr, y], np.uint8), (H, W // 2))
    if encoding in {"yuv422_yuy2", "yuyv"}:
        return np.tile(np.array([y, cb, y, cr], np.uint8), (H, W // 2))
    if encoding in {"nv12", "nv21"}:
        chroma = [cb, cr] if encoding == "nv12" else [cr, cb]
        return np.vstack(
            [np.full((H, W), y, np.uint8), np.tile(np.array(chroma, np.uint8), (H // 2, W // 2))]
        )
    return bayer_rows(encoding.removeprefix("bayer_").removesuffix("8"), bgr)


COLOUR = [name for name in ENCODINGS if name not in {"8UC4", "mono8", "8UC1", "mono16", "16UC1"}]


@pytest.mark.parametrize("extra", [0, 5])
@pytest.mark.parametrize("colour", [BLUE, GREEN, RED])
@pytest.mark.parametrize("encoding", COLOUR)
def test_colours_survive(encoding, colour, extra):
    rows = encoded(encoding, colour)
    step = rows.shape[1] + extra
    image, canonical = decode_image(padded(rows, step), encoding, H, W, step)
    bgr = to_bgr(image, canonical)
    assert bgr.shape == (H, W, 3)
    inner = bgr[1:-1, 1:-1].reshape(-1, 3).astype(int)
    assert np.abs(inner - colour).max() <= 3
    gray = to_gray8(image, canonical)[1:-1, 1:-1].astype(int)
    b, g, r = colour
    assert np.abs(gray - (0.114 * b + 0.587 * g + 0.299 * r)).max() <= 3


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_names_are_ros_names(pattern):
    """OpenCV's two-letter names are shifted: bayer_rggb8 is its BayerBG."""
    shifted = {"rggb": "BG", "bggr": "RG", "gbrg": "GR", "grbg": "GB"}[pattern]
    mosaic = np.random.default_rng(3).integers(0, 256, (H, W), np.uint8)
    image, canonical = decode_image(mosaic.tobytes(), f"bayer_{pattern}8", H, W, W)
    expected = cv2.cvtColor(mosaic, getattr(cv2, f"COLOR_Bayer{shifted}2BGR"))
    assert canonical == "bgr8"
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize(
    ("encoding", "code", "pixel_bytes"),
    [
        ("rgba8", cv2.COLOR_RGBA2BGR, 4),
        ("bgra8", cv2.COLOR_BGRA2BGR, 4),
        ("uyvy", cv2.COLOR_YUV2BGR_UYVY, 2),
        ("yuyv", cv2.COLOR_YUV2BGR_YUY2, 2),
    ],
)
def test_packed_formats_equal_opencv(encoding, code, pixel_bytes):
    raw = np.random.default_rng(4).integers(0, 256, (H, W, pixel_bytes), np.uint8)
    step = W * pixel_bytes + 6
    image, _ = decode_image(padded(raw.reshape(H, -1), step), encoding, H, W, step)
    np.testing.assert_array_equal(image, cv2.cvtColor(raw, code))


@pytest.mark.parametrize("encoding", ["nv12", "nv21"])
def test_semi_planar_equals_opencv(encoding):
    raw = np.random.default_rng(5).integers(0, 256, (H * 3 // 2, W), np.uint8)
    image, _ = decode_image(padded(raw, W + 8), encoding, H, W, W + 8)
    code = getattr(cv2, f"COLOR_YUV2BGR_{encoding.upper()}")
    np.testing.assert_array_equal(image, cv2.cvtColor(raw, code))


@given(
    st.sampled_from(["<", ">"]),
    st.integers(0, 7),
    st.integers(0, 3),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.sampled_from(["mono16", "16UC1"]),
)
def test_mono16_honours_byte_order_step_and_offset(order, extra, offset, size, name):
    height, width = size
    counts = np.random.default_rng(height * width).integers(0, 65_536, (height, width))
    rows = counts.astype(f"{order}u2").view(np.uint8).reshape(height, -1)
    step = width * 2 + extra
    data = memoryview(b"\0" * offset + padded(rows, step))[offset:]
    image, canonical = decode_image(data, name, height, width, step, order == ">")
    assert canonical == "mono16"
    assert image.dtype == np.dtype(np.uint16)
    assert image.dtype.isnative
    assert image.flags.aligned
    np.testing.assert_array_equal(image, counts)
    assert to_gray8(image, canonical).shape == (height, width)


@pytest.mark.parametrize(
    ("encoding", "canonical", "shape"),
    [
        ("bgr8", "bgr8", (H, W, 3)),
        ("8UC3", "bgr8", (H, W, 3)),
        ("rgb8", "rgb8", (H, W, 3)),
        ("8UC4", "8UC4", (H, W, 4)),
        ("mono8", "mono8", (H, W)),
        ("8UC1", "mono8", (H, W)),
        ("mono16", "mono16", (H, W)),
    ],
)
@pytest.mark.parametrize("extra", [0, 10])
def test_no_copy_where_the_encoding_allows(encoding, canonical, shape, extra):
    row = int(np.prod(shape[1:])) * (2 if encoding == "mono16" else 1)
    data = np.random.default_rng(6).integers(0, 256, H * (row + extra), np.uint8)
    image, name = decode_image(data, encoding, H, W, row + extra)
    assert name == canonical
    assert image.shape == shape
    assert np.shares_memory(image, data)
    values = image.astype("<u2").view(np.uint8) if encoding == "mono16" else image
    np.testing.assert_array_equal(
        values.reshape(H, -1)[:, :row], data.reshape(H, row + extra)[:, :row]
    )


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview, "array", "ndarray"])
def test_every_kind_of_buffer(kind):
    raw = bytes(range(H * W))
    data = {"array": array("B", raw), "ndarray": np.frombuffer(raw, np.uint8)}.get(kind)
    image, _ = decode_image(data if data is not None else kind(raw), "mono8", H, W, W)
    assert image.tobytes() == raw


def test_padding_after_the_last_row_may_be_missing():
    data = padded(encoded("bgr8", RED), 30)[:-6]
    image, _ = decode_image(data, "bgr8", H, W, 30)
    assert (image == RED).all()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_short_buffer_is_named_with_both_sizes(encoding):
    row = W * {"bgr8": 3, "8UC3": 3, "rgb8": 3, "bgra8": 4, "rgba8": 4, "8UC4": 4}.get(encoding, 1)
    if encoding in {"mono16", "16UC1", "yuv422", "uyvy", "yuv422_yuy2", "yuyv"}:
        row = W * 2
    size = row * (H * 3 // 2 if encoding.startswith("nv") else H)
    decode_image(bytes(size), encoding, H, W, row)
    with pytest.raises(EncodingError, match=rf"{encoding}.*expected {size} bytes, got {size - 1}"):
        decode_image(bytes(size - 1), encoding, H, W, row)


def test_bad_geometry_is_refused():
    with pytest.raises(EncodingError, match=r"unknown image encoding 'h265'.*bgr8.*nv12"):
        decode_image(b"", "h265", H, W, W)
    with pytest.raises(EncodingError, match="sides must be"):
        decode_image(bytes(10), "mono8", 0, W, W)
    with pytest.raises(EncodingError, match="4294967295x4294967295"):
        decode_image(bytes(10), "8UC4", 2**32 - 1, 2**32 - 1, 2**32 - 4)
    with pytest.raises(EncodingError, match="step of at least 24 bytes, got 20"):
        decode_image(bytes(1000), "bgr8", H, W, 20)
    with pytest.raises(EncodingError, match="step of at least 24 bytes, got -24"):
        decode_image(bytes(1000), "bgr8", H, W, -24)
    with pytest.raises(EncodingError, match="width must be even"):
        decode_image(bytes(1000), "uyvy", H, 7, 14)
    with pytest.raises(EncodingError, match="width and height must be even"):
        decode_image(bytes(1000), "nv12", 5, W, W)
    with pytest.raises(EncodingError, match="list"):
        decode_image([0] * 48, "mono8", H, W, W)


@given(
    st.binary(max_size=300),
    st.sampled_from([*ENCODINGS, "", "MONO8", "h264"]),
    st.tuples(st.integers(-2, 40) | st.integers(), st.integers(-2, 40), st.integers(-2, 60)),
    st.booleans(),
)
def test_any_geometry_gives_an_image_or_a_plain_error(data, encoding, geometry, big):
    height, width, step = geometry
    try:
        image, canonical = decode_image(data, encoding, height, width, step, big)
    except WindhoverError as error:
        event(type(error).__name__)
    else:
        assert image.shape[:2] == (height, width)
        assert to_bgr(image, canonical).shape == (height, width, 3)


def test_channels_for_each_kind_of_bundle():
    bgrt = np.zeros((H, W, 4), np.uint8)
    bgrt[:] = (*GREEN, 77)
    assert (to_channels(bgrt, "8UC4", "rgb") == GREEN).all()
    thermal = to_channels(bgrt, "8UC4", "thermal")
    assert thermal.shape == (H, W)
    assert (thermal == 77).all()
    assert np.shares_memory(to_channels(bgrt, "8UC4", "rgbt"), bgrt)
    rgb = np.zeros((H, W, 3), np.uint8)
    rgb[:] = RED[::-1]
    assert (to_channels(rgb, "rgb8", "rgb") == RED).all()
    mono = np.full((H, W, 1), 5, np.uint8)
    assert to_channels(mono, "mono8", "thermal").shape == (H, W)
    assert np.shares_memory(to_channels(mono, "mono8", "thermal"), mono)
    assert to_channels(mono, "mono8", "rgb").shape == (H, W, 3)
    counts = np.full((H, W), 7000, np.uint16)
    assert to_channels(counts, "mono16", "thermal").dtype == np.uint8
    with pytest.raises(EncodingError, match=r"8UC4.*not bgr8"):
        to_channels(rgb, "bgr8", "rgbt")
    with pytest.raises(EncodingError, match="unknown channels 'lidar'"):
        to_channels(rgb, "bgr8", "lidar")


def test_a_frame_that_is_not_what_it_says_is_refused():
    with pytest.raises(EncodingError, match="mono16 frame is uint16"):
        to_gray8(np.zeros((H, W), np.uint8), "mono16")
    with pytest.raises(EncodingError, match="bgr8 frame is uint8 with 3"):
        to_bgr(np.zeros((H, W), np.uint8), "bgr8")
    with pytest.raises(EncodingError, match="can't be 'nv12'"):
        to_bgr(np.zeros((H, W), np.uint8), "nv12")
