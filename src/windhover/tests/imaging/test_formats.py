"""Every pixel format decodes to the colour that went in, wherever its rows lie."""

from array import array

import cv2
import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from windhover.errors import EncodingError, WindhoverError
from windhover.imaging.formats import (
    ENCODINGS,
    decode_image,
    nv12_view,
    to_bgr,
    to_channels,
    to_gray8,
)

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


PIXELS = {
    "bgr8": lambda b, g, r: [b, g, r],
    "8UC3": lambda b, g, r: [b, g, r],
    "rgb8": lambda b, g, r: [r, g, b],
    "bgra8": lambda b, g, r: [b, g, r, 9],
    "rgba8": lambda b, g, r: [r, g, b, 9],
}
TWO_PIXELS = {
    "uyvy": lambda y, cb, cr: [cb, y, cr, y],
    "yuv422": lambda y, cb, cr: [cb, y, cr, y],
    "yuyv": lambda y, cb, cr: [y, cb, y, cr],
    "yuv422_yuy2": lambda y, cb, cr: [y, cb, y, cr],
}
# Rows of chroma under the H rows of luma, and a pair of it. A row of nv24's is two long.
PLANAR = {
    "nv12": (H // 2, lambda cb, cr: [cb, cr]),
    "nv21": (H // 2, lambda cb, cr: [cr, cb]),
    "nv24": (2 * H, lambda cb, cr: [cb, cr]),
}


def encoded(encoding: str, bgr, order="<") -> np.ndarray:
    """A picture of one colour as the rows of bytes of ``encoding``."""
    if encoding.endswith("16") or encoding == "16UC3":
        # Every byte twice: 0x5656 is to 16 bits what 0x56 is to 8.
        name = "8UC3" if encoding == "16UC3" else encoding.removesuffix("16") + "8"
        deep = encoded(name, bgr).astype(np.uint16) * 257
        return deep.astype(f"{order}u2").view(np.uint8)
    y, cb, cr = ycbcr(bgr)
    if encoding in PIXELS:
        return np.tile(np.array(PIXELS[encoding](*bgr), np.uint8), (H, W))
    if encoding in TWO_PIXELS:
        return np.tile(np.array(TWO_PIXELS[encoding](y, cb, cr), np.uint8), (H, W // 2))
    if encoding in PLANAR:
        rows, pair = PLANAR[encoding]
        chroma = np.tile(np.array(pair(cb, cr), np.uint8), (rows, W // 2))
        return np.vstack([np.full((H, W), y, np.uint8), chroma])
    return bayer_rows(encoding.removeprefix("bayer_").removesuffix("8"), bgr)


COUNTS = {"mono16", "16UC1", "mono10", "mono12", "mono14"}
SAMPLE_BYTES = {"16SC1": 2, "32FC1": 4, "64FC1": 8} | dict.fromkeys(COUNTS, 2)
COLOUR = [name for name in ENCODINGS if name not in {"8UC4", "mono8", "8UC1", *SAMPLE_BYTES}]


@pytest.mark.parametrize("extra", [0, 5])
@pytest.mark.parametrize("colour", [BLUE, GREEN, RED])
@pytest.mark.parametrize("encoding", COLOUR)
def test_colours_survive(encoding, colour, extra):
    rows = encoded(encoding, colour)
    step = rows.shape[1] + extra
    data = padded(rows, step)
    if encoding == "nv24":
        data = padded(rows[:H], step) + padded(rows[H:].reshape(H, 2 * W), 2 * step)
    image, canonical = decode_image(data, encoding, H, W, step)
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


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("encoding", [name for name in COLOUR if "16" in name])
def test_deep_colour_honours_byte_order(encoding, order):
    rows = encoded(encoding, RED, order)
    image, canonical = decode_image(rows.tobytes(), encoding, H, W, rows.shape[1], order == ">")
    assert canonical == "bgr8"
    assert (image[1:-1, 1:-1] == RED).all()


def test_full_resolution_chroma_keeps_its_place():
    """nv24 with padding: each chroma row is two luma rows long, padding included."""
    rng = np.random.default_rng(8)
    step = W + 4
    ycbcr_image = rng.integers(60, 190, (H, W, 3), np.uint8)
    luma = padded(ycbcr_image[..., 0], step)
    chroma = padded(ycbcr_image[..., 1:].reshape(H, 2 * W), 2 * step)
    image, _ = decode_image(luma + chroma, "nv24", H, W, step)
    y, cb, cr = (ycbcr_image[..., k].astype(float) for k in range(3))
    luma_part = 255 / 219 * (y - 16)
    # ITU-R BT.601-7: the inverse of ``ycbcr`` above.
    blue = luma_part + 1.772 * 255 / 224 * (cb - 128)
    red = luma_part + 1.402 * 255 / 224 * (cr - 128)
    green = luma_part - (0.344136 * (cb - 128) + 0.714136 * (cr - 128)) * 255 / 224
    expected = np.clip(np.dstack((blue, green, red)), 0, 255)
    assert np.abs(image - expected).max() <= 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("encoding", "dtype"), [("32FC1", "f4"), ("64FC1", "f8")])
@pytest.mark.parametrize("zero", [0.0, 273.15])
def test_temperatures_become_hundredths_of_a_kelvin(encoding, dtype, order, zero):
    celsius = np.linspace(-20.0, 120.0, H * W).reshape(H, W)
    data = (celsius + zero).astype(f"{order}{dtype}").tobytes()
    step = W * np.dtype(dtype).itemsize
    image, canonical = decode_image(data, encoding, H, W, step, order == ">")
    assert (canonical, image.dtype) == ("mono16", np.uint16)
    np.testing.assert_allclose(image, (celsius + 273.15) * 100, atol=0.6)


def test_temperatures_out_of_range_are_clipped_and_dead_pixels_are_cold():
    values = np.full((H, W), 20.0, np.float32)
    values[0, :5] = np.nan, np.inf, -np.inf, 1e38, 500.0
    values[1, 0] = -40.0
    image, _ = decode_image(values.tobytes(), "32FC1", H, W, W * 4)
    assert list(image[0, :5]) == [0, 65_535, 0, 65_535, 65_535]
    assert (image[1, 0], image[2, 2]) == (23_315, 29_315)
    values[0, 2] = 20.0
    image, _ = decode_image(values.tobytes(), "32FC1", H, W, W * 4)
    assert image[0, 0] == 23_315
    with pytest.raises(EncodingError, match="no pixel holds a number"):
        decode_image(np.full((H, W), np.nan, np.float32).tobytes(), "32FC1", H, W, W * 4)


def test_counts_stored_as_floats_stay_counts():
    counts = np.arange(7000, 7000 + H * W, dtype=np.float32).reshape(H, W)
    image, canonical = decode_image(counts.tobytes(), "32FC1", H, W, W * 4)
    assert canonical == "mono16"
    np.testing.assert_array_equal(image, counts)


@pytest.mark.parametrize("order", ["<", ">"])
def test_signed_counts_keep_their_order(order):
    values = np.linspace(-32_768, 32_767, H * W).astype(np.int16).reshape(H, W)
    data = values.astype(f"{order}i2").tobytes()
    image, canonical = decode_image(data, "16SC1", H, W, W * 2, order == ">")
    assert canonical == "mono16"
    np.testing.assert_array_equal(image, values.astype(int) + 32_768)


@given(
    st.sampled_from(["<", ">"]),
    st.integers(0, 7),
    st.integers(0, 3),
    st.tuples(st.integers(1, 12), st.integers(1, 12)),
    st.sampled_from(sorted(COUNTS)),
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
    if encoding in SAMPLE_BYTES:
        size, row = H * W * SAMPLE_BYTES[encoding], W * SAMPLE_BYTES[encoding]
    elif encoding in COLOUR:
        rows = encoded(encoding, RED)
        size, row = rows.size, rows.shape[1]
    else:
        row = W * (4 if encoding == "8UC4" else 1)
        size = H * row
    decode_image(bytes(size), encoding, H, W, row)
    with pytest.raises(EncodingError, match=rf"{encoding}.*expected {size} bytes, got {size - 1}"):
        decode_image(bytes(size - 1), encoding, H, W, row)


@pytest.mark.parametrize("encoding", ["mono8", "rgba16", "64FC1"])
def test_a_single_row_may_have_any_step(encoding):
    """Found by fuzzing: NumPy refuses a stride of 2**63."""
    image, _ = decode_image(bytes(100), encoding, 1, 5, 2**63)
    assert image.shape[:2] == (1, 5)


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


def test_a_frame_that_does_not_match_its_encoding_is_refused():
    with pytest.raises(EncodingError, match="mono16 frame is uint16"):
        to_gray8(np.zeros((H, W), np.uint8), "mono16")
    with pytest.raises(EncodingError, match="bgr8 frame is uint8 with 3"):
        to_bgr(np.zeros((H, W), np.uint8), "bgr8")
    with pytest.raises(EncodingError, match="can't be 'nv12'"):
        to_bgr(np.zeros((H, W), np.uint8), "nv12")


@given(
    height=st.integers(2, 21),
    width=st.integers(2, 21),
    padding=st.integers(0, 7),
)
def test_nv12_is_viewed_without_the_padding_of_its_rows(height, width, padding):
    rows, step = (height + 1) // 2 * 2, (width + 1) // 2 * 2 + padding
    planes = np.arange(rows * 3 // 2 * step).astype(np.uint8).reshape(-1, step)
    view = nv12_view(planes.tobytes(), height, width, step)
    even_height, even_width = height // 2 * 2, width // 2 * 2
    np.testing.assert_array_equal(view[:even_height], planes[:even_height, :even_width])
    chroma = planes[rows : rows + even_height // 2, :even_width]
    np.testing.assert_array_equal(view[even_height:], chroma)


@pytest.mark.parametrize(
    ("size", "step", "count", "message"),
    [
        ((24, 34), 36, 36 * 35 + 33, "expected 1294 bytes, got 1293"),
        ((24, 34), 33, 9999, "step of at least 34"),
        ((1, 34), 34, 9999, "must be 2 or more"),
        ((0, 34), 34, 9999, "sides must be 1 to"),
    ],
)
def test_nv12_that_does_not_fit_its_geometry_is_refused(size, step, count, message):
    with pytest.raises(EncodingError, match=message):
        nv12_view(bytes(count), *size, step)
