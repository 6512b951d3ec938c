"""Damaged image and video files end in an error that names the file, and nothing else.

To look for more: ``WINDHOVER_FUZZ=10000 pytest src/windhover/tests/sources/test_damaged_files.py``.
"""

import os
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.pictures import exif_jpeg, fff, flir_jpeg, radiometric_jpeg
from windhover.errors import SourceError
from windhover.sources import open_source
from windhover.sources.files import read_image

EXAMPLES = int(os.environ.get("WINDHOVER_FUZZ", "150"))
COUNTS = np.add.outer(np.arange(60) * 7, np.arange(80) * 3).astype(np.uint16)
PICTURE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)


def encoded(suffix: str, image: np.ndarray) -> bytes:
    return bytes(cv2.imencode(suffix, image)[1])


FILES = {
    "1.jpg": exif_jpeg(PICTURE, 6, "BlackHot"),
    "2.png": encoded(".png", COUNTS),
    "3.png": encoded(".png", np.dstack([PICTURE, PICTURE[..., 0]])),
    "4.tif": encoded(".tif", COUNTS),
    "5.tif": bytes(cv2.imencodemulti(".tif", [COUNTS, COUNTS])[1]),
    "6.webp": encoded(".webp", PICTURE),
    "7.bmp": encoded(".bmp", PICTURE),
    "8.pgm": encoded(".pgm", PICTURE[..., 0]),
    "9.jpg": radiometric_jpeg(COUNTS),
    "10.jpg": flir_jpeg(fff(COUNTS)),
    "11.jpg": flir_jpeg(fff(COUNTS, body=encoded(".png", COUNTS))),
    "12.fff": fff(COUNTS),
}


def video(path, codec, pixel):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.pix_fmt, stream.height, stream.width = pixel, 64, 96
        for index in range(6):
            image = np.full((64, 96, 3), 20 * index, np.uint8)
            frame = av.VideoFrame.from_ndarray(image, format="bgr24").reformat(format=pixel)
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


@st.composite
def damage(draw, files):
    """A file's name, and its bytes with some changed, left out, doubled or put in."""
    name = draw(st.sampled_from(sorted(files)))
    data = bytearray(files[name])
    # Headers are short and hold what matters; most of a file is pixels.
    place = st.one_of(st.integers(0, min(300, len(data))), st.integers(0, len(data)))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(place)
        kind = draw(st.sampled_from(["change", "cut", "insert", "end"]))
        if kind == "change":
            new = draw(st.binary(min_size=1, max_size=8))
            data[start : start + len(new)] = new
        elif kind == "cut":
            del data[start : start + draw(st.integers(1, 64))]
        elif kind == "insert":
            data[start:start] = draw(st.binary(min_size=1, max_size=16))
        else:
            del data[start:]
    return name, bytes(data)


def result_or_message(read):
    """What a call gives, or the text of its SourceError; no other error is expected."""
    try:
        return read()
    except SourceError as error:
        return str(error)


def check_message(message, path):
    assert str(path) in message
    assert "\n" not in message


FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@FUZZ
@given(
    damage(FILES),
    st.sampled_from([None, "rgb", "thermal"]),
    st.sampled_from(["alpha", "thermal"]),
    st.sampled_from([None, 0, 1]),
)
def test_a_damaged_image_is_read_or_named(tmp_path, damaged, camera, fourth, page):
    name, data = damaged
    path = tmp_path / name
    path.write_bytes(data)
    result = result_or_message(lambda: read_image(path, fourth, camera=camera, page=page))
    if isinstance(result, str):
        check_message(result, path)
        return
    image, encoding = result
    channels = {"mono8": 1, "mono16": 1, "bgr8": 3, "8UC4": 4}[encoding]
    assert image.ndim == (2 if channels == 1 else 3)
    assert image.dtype == (np.uint16 if encoding == "mono16" else np.uint8)
    assert min(image.shape[:2]) > 0


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("videos")
    kinds = {
        "1.mp4": ("libx264", "yuv420p"),
        "2.avi": ("mjpeg", "yuvj420p"),
        "3.mkv": ("ffv1", "gray16le"),
        "4.h264": ("libx264", "yuv420p"),
    }
    return {name: video(folder / name, *kind) for name, kind in kinds.items()}


@FUZZ
@given(st.data(), st.sampled_from(["rgb", "thermal"]))
def test_a_damaged_video_is_read_or_named(tmp_path, videos, data, camera):
    name, content = data.draw(damage(videos))
    path = tmp_path / name
    path.write_bytes(content)
    result = result_or_message(lambda: list(open_source(path, camera=camera, on_bad="skip")))
    if isinstance(result, str):
        check_message(result, path)
        return
    assert {frame.encoding for frame in result} <= {"mono8", "mono16", "bgr8"}
    assert all(isinstance(frame.stamp_ns, int) for frame in result)
