"""Compressed pictures decode to the same pixels however they were saved, or are refused."""

import io
import struct

import cv2
import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from windhover.errors import EncodingError
from windhover.imaging.compressed import (
    MAX_PIXELS,
    decode_compressed,
    decode_image_bytes,
    fourth_channel,
    is_truncated_png,
)
from windhover.imaging.formats import decode_image, to_gray8
from windhover.imaging.jpeg import is_truncated_jpeg

pillow = pytest.importorskip("PIL.Image", reason="Pillow writes what OpenCV can't")

GREY = np.arange(0, 240, dtype=np.uint8).reshape(12, 20)
BGR = np.dstack((GREY, 255 - GREY, GREY // 2))
RGB = np.ascontiguousarray(BGR[..., ::-1])
ALPHA = np.full_like(GREY, 255)
ALPHA[:4] = 0
DEEP = (7000 + 13 * GREY.astype(np.uint16)).astype(np.uint16)


def saved(image, kind: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def encoded(suffix: str, image: np.ndarray) -> bytes:
    done, data = cv2.imencode(suffix, image)
    assert done
    return data.tobytes()


def rgba(layer: np.ndarray = RGB):
    return pillow.fromarray(np.dstack((layer, ALPHA)))


def palette():
    return pillow.fromarray(RGB).quantize(16)


LOOKS_LIKE_COLOUR = {
    "rgba png": saved(rgba(), "PNG"),
    "rgba tiff": saved(rgba(), "TIFF"),
    "rgba webp": saved(rgba(), "WEBP", lossless=True, exact=True),
    "bmp of 32 bits": saved(rgba(), "BMP"),
    "16-bit rgba png": encoded(".png", np.dstack((BGR, ALPHA)).astype(np.uint16) * 257),
    "png with one transparent colour": saved(
        pillow.fromarray(RGB), "PNG", transparency=tuple(RGB[0, 0].tolist())
    ),
}
LOOKS_LIKE_GREY = {
    "grey + alpha png": saved(pillow.fromarray(np.dstack((GREY, ALPHA)), "LA"), "PNG"),
    "grey + alpha tiff": saved(pillow.fromarray(np.dstack((GREY, ALPHA)), "LA"), "TIFF"),
    "grey png with one transparent grey": saved(pillow.fromarray(GREY), "PNG", transparency=3),
}


@pytest.mark.parametrize("fourth", ["alpha", "thermal"])
@pytest.mark.parametrize("kind", LOOKS_LIKE_GREY)
def test_grey_with_alpha_is_grey_whatever_the_fourth_channel_would_be(kind, fourth):
    image, encoding = decode_image_bytes(LOOKS_LIKE_GREY[kind], kind, fourth=fourth)
    assert encoding == "mono8"
    np.testing.assert_array_equal(image, GREY)


@pytest.mark.parametrize("kind", LOOKS_LIKE_COLOUR)
def test_alpha_is_left_out_of_colour(kind):
    image, encoding = decode_image_bytes(LOOKS_LIKE_COLOUR[kind], kind)
    assert encoding == "bgr8"
    np.testing.assert_array_equal(image, BGR)


@pytest.mark.parametrize("transparency", [None, 3])
def test_a_palette_has_no_fourth_channel(transparency):
    options = {} if transparency is None else {"transparency": transparency}
    expected = np.asarray(palette().convert("RGB"))[..., ::-1]
    for fourth in ("alpha", "thermal"):
        image, encoding = decode_image_bytes(saved(palette(), "PNG", **options), "", fourth=fourth)
        assert encoding == "bgr8"
        np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_four_channels_are_both_cameras_only_where_declared(suffix):
    four = np.dstack((BGR, GREY))
    data = encoded(suffix, four)
    image, encoding = decode_image_bytes(data, "picture", fourth=fourth_channel("rgbt"))
    assert encoding == "8UC4"
    np.testing.assert_array_equal(image, four)
    for channels in ("rgb", "thermal"):
        image, encoding = decode_image_bytes(data, "picture", fourth=fourth_channel(channels))
        assert encoding == "bgr8"
        np.testing.assert_array_equal(image, BGR)


def test_a_tiffs_colours_do_not_darken_where_thermal_is_cold():
    data = saved(pillow.fromarray(np.dstack((RGB, GREY))), "TIFF")
    image, encoding = decode_image_bytes(data, "picture", fourth="thermal")
    assert encoding == "8UC4"
    np.testing.assert_array_equal(image, np.dstack((BGR, GREY)))


def test_four_channels_of_sixteen_bits_are_refused_where_the_last_is_thermal():
    data = encoded(".png", np.dstack((BGR, GREY)).astype(np.uint16) * 257)
    with pytest.raises(EncodingError, match="4 channels of uint16"):
        decode_image_bytes(data, "picture", fourth="thermal")


@pytest.mark.parametrize(("suffix", "dtype"), [(".tiff", "f4"), (".tiff", "f8"), (".pfm", "f4")])
@pytest.mark.parametrize("zero", [0.0, 273.15])
def test_a_file_of_temperatures_becomes_counts(suffix, dtype, zero):
    celsius = GREY / 10 - 3
    image, encoding = decode_image_bytes(encoded(suffix, (celsius + zero).astype(dtype)), "file")
    assert encoding == "mono16"
    np.testing.assert_allclose(image, (celsius + 273.15) * 100, atol=0.6)


def test_a_file_of_signed_counts_keeps_their_order():
    image, encoding = decode_image_bytes(encoded(".tiff", GREY.astype(np.int16) - 50), "file")
    assert encoding == "mono16"
    np.testing.assert_array_equal(image, GREY.astype(int) - 50 + 32_768)


def test_pixels_of_another_kind_are_refused():
    for dtype in (np.int32, np.int8):
        with pytest.raises(EncodingError, match=r"picture (has 1 channel\(s\) of|is damaged)"):
            decode_image_bytes(encoded(".tiff", GREY.astype(dtype)), "picture")
    with pytest.raises(EncodingError, match=r"3 channel\(s\) of float32"):
        decode_image_bytes(encoded(".tiff", BGR.astype(np.float32)), "picture")


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_orientation_is_an_option(kind):
    exif = pillow.Exif()
    exif[0x0112] = 6  # turned clockwise to be upright
    data = saved(pillow.fromarray(RGB), kind, exif=exif)
    stored, _ = decode_image_bytes(data, "picture")
    upright, _ = decode_image_bytes(data, "picture", upright=True)
    assert stored.shape == (12, 20, 3)
    np.testing.assert_array_equal(upright, np.rot90(stored, -1))
    np.testing.assert_array_equal(decode_compressed(data, kind.lower())[0], stored)


@pytest.mark.parametrize(
    ("kind", "suffix", "image", "encoding"),
    [
        ("", ".png", GREY, "mono8"),
        ("", ".png", BGR, "bgr8"),
        ("", ".png", DEEP, "mono16"),
        ("", ".png", np.dstack((BGR, ALPHA)), "bgr8"),
        ("png", ".png", np.dstack((BGR, ALPHA)), "bgr8"),
        ("bgra8; png compressed bgra8", ".png", np.dstack((BGR, ALPHA)), "bgr8"),
        ("rgba8; png", ".png", np.dstack((BGR, ALPHA)), "bgr8"),
        ("8UC4; png", ".png", np.dstack((BGR, GREY)), "8UC4"),
        ("8UC4; tiff compressed ", ".tiff", np.dstack((BGR, GREY)), "8UC4"),
        ("mono16; tiff compressed ", ".tiff", DEEP, "mono16"),
        ("bgr8; webp", ".webp", None, "bgr8"),
        ("rgb8; png compressed bgr8", ".png", BGR, "bgr8"),
        ("rgb8; png compressed rgb8", ".png", BGR, "rgb8"),
        ("image/png", ".png", GREY, "mono8"),
    ],
)
def test_the_message_declares_the_channels_and_the_data_the_codec(kind, suffix, image, encoding):
    if image is None:
        image = np.full((16, 16, 3), 90, np.uint8)
    decoded, held = decode_compressed(encoded(suffix, image), kind)
    assert held == encoding
    expected = image[..., :3] if image.ndim == 3 and held != "8UC4" else image
    assert np.abs(decoded.astype(int) - expected).max() <= (2 if suffix == ".webp" else 0)


@pytest.mark.parametrize("dtype", ["u1", "u2"])
def test_a_compressed_mosaic_becomes_colour(dtype):
    """image_transport compresses bayer_* as if it were grey."""
    mosaic = GREY.astype(dtype) * (257 if dtype == "u2" else 1)
    bits = 8 * mosaic.itemsize
    data = encoded(".png", mosaic.astype(dtype))
    image, encoding = decode_compressed(data, f"bayer_rggb{bits}; png compressed ")
    expected, _ = decode_image(GREY.tobytes(), "bayer_rggb8", 12, 20, 20)
    assert encoding == "bgr8"
    assert np.abs(image.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("suffix", ["", " png"])
def test_depth_of_sixteen_bits_keeps_its_values(suffix):
    data = struct.pack("<iff", 0, 0.0, 0.0) + encoded(".png", DEEP)
    image, encoding = decode_compressed(data, f"16UC1; compressedDepth{suffix}")
    assert encoding == "mono16"
    np.testing.assert_array_equal(image, DEEP)


def test_depth_of_floats_is_inverted():
    # compressed_depth_image_transport: inverse = a / depth + b, 0 where there is none.
    a, b = 10_100.0, 90.0
    metres = np.linspace(1.0, 10.0, 240, dtype=np.float32).reshape(12, 20)
    inverse = np.rint(a / metres + b).astype(np.uint16)
    inverse[0, 0] = 0
    data = struct.pack("<iff", 0, a, b) + encoded(".png", inverse)
    image, encoding = decode_compressed(data, "32FC1; compressedDepth png")
    assert encoding == "mono16"
    # Below 150, so hundredths above 273.15: order and steps are what counts.
    np.testing.assert_allclose(image.ravel()[1:] / 100 - 273.15, metres.ravel()[1:], atol=0.02)
    assert image[0, 0] == image.min()


def test_what_cannot_be_decoded_is_refused_by_name():
    for kind, data, expected in (
        (
            "h264",
            b"\0\0\0\1junk",
            "compressed as 'h264' can't be decoded: use jpeg, png, tiff or webp",
        ),
        ("jpeg", b"junk", r"compressed image \(jpeg\) is damaged"),
        ("", b"junk", r"compressed image \(no format given\) is damaged"),
        ("jpeg", b"", "is empty"),
        ("jpeg", encoded(".jpg", BGR)[:-9], "is truncated"),
        ("16UC1; compressedDepth rvl", bytes(40), "RVL"),
        ("16UC1; compressedDepth", bytes(12), "is empty"),
        ("16UC1; compressedDepth", bytes(12) + encoded(".png", GREY), "holds mono8"),
    ):
        with pytest.raises(EncodingError, match=expected):
            decode_compressed(data, kind)


def test_a_format_of_many_lines_gives_a_message_of_one():
    """Found by fuzzing: a message may hold any text there."""
    with pytest.raises(
        EncodingError, match=r"^compressed image \(png\?\?x+\) is damaged"
    ) as caught:
        decode_compressed(b"junk", "png\n\0" + "x" * 1000)
    assert len(str(caught.value)) < 200


@given(
    st.sampled_from([*LOOKS_LIKE_COLOUR.values(), *LOOKS_LIKE_GREY.values()]),
    st.sampled_from(["", "jpeg", "8UC4; png", "bayer_rggb8; png", "32FC1; compressedDepth"]),
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), max_size=6),
    st.integers(0, 600),
)
def test_damaged_data_gives_an_image_or_a_plain_error(data, kind, changes, length):
    damaged = bytearray(data[:length])
    for place, value in changes:
        damaged[place : place + 1] = bytes([value])
    if "Depth" in kind:
        damaged = struct.pack("<iff", 0, 10.0, 1.0) + damaged
    try:
        image, encoding = decode_compressed(bytes(damaged), kind)
    except EncodingError as error:
        event(str(error).rpartition("is ")[2])
    else:
        assert to_gray8(image, encoding).ndim == 2


@pytest.mark.parametrize("side", [32_767, 65_535])
def test_a_small_file_that_promises_gigabytes_is_refused_before_it_is_decoded(side):
    png = bytearray(encoded(".png", GREY))
    png[16:24] = struct.pack(">II", side, side)
    jpeg = bytearray(encoded(".jpg", GREY))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", side, side)
    assert side * side > MAX_PIXELS
    for data in (png, jpeg):
        with pytest.raises(EncodingError, match=f"{side}x{side} pixels: no side may be"):
            decode_image_bytes(bytes(data), "picture")


def test_the_same_grey_picture_looks_the_same_in_every_file():
    """What a model for thermal is given: the family of ../shared/cases/alpha."""
    layers = np.dstack((GREY, GREY, GREY))
    for data in (
        *LOOKS_LIKE_GREY.values(),
        saved(rgba(layers), "PNG"),
        saved(rgba(layers), "BMP"),
        saved(rgba(layers), "TIFF"),
        saved(pillow.fromarray(layers).convert("CMYK"), "JPEG", quality=97),
        saved(pillow.fromarray(layers), "JPEG", quality=97),
    ):
        grey = to_gray8(*decode_image_bytes(data, "picture"))
        assert np.abs(grey.astype(int) - GREY).max() <= 3


def test_an_embedded_thumbnail_does_not_hide_a_truncation():
    data = encoded(".jpg", BGR)
    thumbnail = b"\xff\xe1" + (len(data) + 2).to_bytes(2, "big") + data
    full = data[:2] + thumbnail + data[2:]
    assert not is_truncated_jpeg(data)
    assert not is_truncated_jpeg(full)
    assert not is_truncated_jpeg(full + b"appended by the camera")
    for cut in range(3, len(full) - 1):
        assert is_truncated_jpeg(full[:cut])


def test_every_cut_of_a_png_is_seen_before_libpng_complains():
    full = encoded(".png", BGR)
    assert not is_truncated_png(full)
    assert not is_truncated_png(full + b"appended")
    for cut in range(8, len(full)):
        assert is_truncated_png(full[:cut])
