"""Radiometric files give their own counts; the picture beside them may say anything."""

import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.pictures import (
    STORED,
    exif_jpeg,
    fff,
    flir_jpeg,
    in_parts,
    radiometric_jpeg,
    with_segments,
)
from windhover.errors import SourceError
from windhover.sources import open_source
from windhover.sources.files import read_image
from windhover.sources.radiometric import read_counts

CASES = Path(os.environ.get("WINDHOVER_CASES", Path(__file__).parents[5] / "shared" / "cases"))
COUNTS = (20_000 + np.add.outer(np.arange(120) * 7, np.arange(160) * 3)).astype(np.uint16)
# What the palette shows must not matter: this picture gets darker with heat.
PICTURE = np.repeat((255 - (COUNTS - COUNTS.min()) // 8).astype(np.uint8)[..., None], 3, axis=2)


LITTLE = COUNTS.astype("<u2").tobytes()
SWAPPED_PNG = cv2.imencode(".png", COUNTS.byteswap())[1].tobytes()
RADIOMETRIC = {
    "DJI, counts in APP3": radiometric_jpeg(COUNTS, PICTURE),
    "XT S, a table in APP3 and counts in APP4": with_segments(
        (3, bytes(32_768)), *in_parts(4, LITTLE), picture=PICTURE
    ),
    "counts of half the picture's size": with_segments(
        *in_parts(3, LITTLE), picture=cv2.resize(PICTURE, (320, 240))
    ),
    "FLIR": flir_jpeg(fff(COUNTS)),
    "FLIR, big-endian": flir_jpeg(fff(COUNTS, order=">")),
    "FLIR, PNG of swapped bytes": flir_jpeg(fff(COUNTS, body=SWAPPED_PNG)),
    "FLIR, PNG": flir_jpeg(fff(COUNTS, body=cv2.imencode(".png", COUNTS)[1].tobytes())),
    "FFF": fff(COUNTS),
}


@pytest.mark.parametrize("kind", RADIOMETRIC)
def test_the_counts_come_as_the_camera_stored_them(tmp_path, kind):
    path = tmp_path / ("1.fff" if kind == "FFF" else "1.jpg")
    path.write_bytes(RADIOMETRIC[kind])
    for image, encoding in (read_image(path), read_image(path, camera="thermal")):
        assert (encoding, image.dtype) == ("mono16", np.uint16)
        np.testing.assert_array_equal(image, COUNTS)
    (frame,) = open_source(tmp_path, camera="thermal", as_gray=True)
    np.testing.assert_array_equal(frame.image, COUNTS)


@pytest.mark.parametrize("orientation", STORED)
def test_counts_come_upright_as_exif_says(tmp_path, orientation):
    stored = np.ascontiguousarray(STORED[orientation](COUNTS))
    picture = exif_jpeg(np.zeros((*stored.shape, 3), np.uint8), orientation)
    counts = with_segments(*in_parts(3, stored.astype("<u2").tobytes()))
    segments = counts[2 : counts.index(b"\xff\xdb")]
    (tmp_path / "1.jpg").write_bytes(picture[:2] + segments + picture[2:])
    image, encoding = read_image(tmp_path / "1.jpg")
    assert encoding == "mono16"
    np.testing.assert_array_equal(image, COUNTS)


def test_the_rgb_camera_takes_the_picture(tmp_path):
    path = tmp_path / "1.jpg"
    path.write_bytes(RADIOMETRIC["DJI, counts in APP3"])
    image, encoding = read_image(path, camera="rgb")
    assert encoding == "bgr8"
    assert np.abs(image.astype(int) - PICTURE).max() <= 8
    flir = tmp_path / "1.fff"
    flir.write_bytes(RADIOMETRIC["FFF"])
    with pytest.raises(SourceError, match="holds thermal counts only"):
        read_image(flir, camera="rgb")


def test_a_picture_with_other_segments_is_no_radiometric_file():
    assert read_counts(with_segments(picture=PICTURE), "it") is None
    assert (
        read_counts(with_segments((3, bytes(70)), (4, b"x" * 333), picture=PICTURE), "it") is None
    )
    # As long as counts, in no proportion to the picture.
    assert read_counts(with_segments((3, bytes(2 * 140 * 160)), picture=PICTURE), "it") is None
    assert read_counts(b"", "it") is None
    assert read_counts(cv2.imencode(".png", COUNTS)[1].tobytes(), "it") is None


HUGE_PNG = SWAPPED_PNG[:16] + struct.pack(">II", 32_000, 32_000) + SWAPPED_PNG[24:]
# Found by fuzzing: OpenCV took 3.4 GB and 7 s for a chunk that promises so much.
LONG_CHUNK = SWAPPED_PNG[:26] + SWAPPED_PNG[29:]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (fff(COUNTS, body=HUGE_PNG), "damaged thermal counts"),
        (fff(COUNTS, body=LONG_CHUNK), "damaged thermal counts"),
        (flir_jpeg(fff(COUNTS), keep=slice(1, None)), r"1 of 2 FLIR segments"),
        (fff(COUNTS)[:64], "without thermal counts, or is damaged"),
        (fff(COUNTS)[:140], "truncated before its thermal counts"),
        (fff(COUNTS)[:-1], r"38399 bytes for 160x120 thermal counts"),
        (fff(COUNTS, body=SWAPPED_PNG[:900]), "damaged thermal counts"),
        (fff(COUNTS[:60], body=SWAPPED_PNG), "damaged thermal counts"),
    ],
)
def test_damaged_counts_are_an_error_and_never_the_palette(data, message):
    with pytest.raises(SourceError, match=rf"image 1\.jpg .*{message}"):
        read_counts(data, "image 1.jpg")


# Of the files' own counts: size, least, largest, mean (the cases' README).
REAL = {
    "M2EA_IR.JPG": ((640, 512), 17_120, 18_176, 17_465.3),
    "M30T_IR.JPG": ((640, 512), 2_703, 3_914, 3_436.8),
    "H20T.JPG": ((640, 512), 14_655, 20_457, 18_695.6),
    "example_radiometric.tiff": ((640, 512), 6_743, 7_077, 6_983.3),
    "flir_handheld.jpg": ((320, 240), 13_046, 16_736, 15_031.2),
    "frame_000000.fff": ((640, 512), 2_623, 2_739, 2_696.6),
}


@pytest.mark.parametrize("name", REAL)
def test_files_of_real_cameras(name):
    path = CASES / "radiometric" / name
    if not path.is_file():
        pytest.skip(f"no {path}; set WINDHOVER_CASES")
    image, encoding = read_image(path, camera="thermal")
    size, least, largest, mean = REAL[name]
    assert encoding == "mono16"
    assert (image.shape[::-1], image.min(), image.max()) == (size, least, largest)
    assert image.mean() == pytest.approx(mean, abs=0.05)
