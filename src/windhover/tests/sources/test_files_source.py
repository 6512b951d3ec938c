"""Image files become frames in natural order; bad ones are named, not half read."""

import os
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.pictures import STORED, exif_jpeg
from windhover.errors import SourceError
from windhover.sources import Source, open_source
from windhover.sources.files import (
    natural_key,
    read_image,
)


def picture(value: int, *, channels: int = 3) -> np.ndarray:
    rng = np.random.default_rng(value)
    image = rng.integers(0, 40, (24, 32, channels), np.uint8) + np.uint8(value)
    return image if channels > 1 else image[..., 0]


def write(folder, name: str, image: np.ndarray):
    path = folder / name
    assert cv2.imwrite(str(path), image)
    return path


def test_a_folder_plays_in_natural_order_with_stamps_of_its_rate(tmp_path):
    for number in (10, 9, 1, 100):
        write(tmp_path, f"frame{number}.png", picture(number))
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / ".hidden.png").write_bytes(b"")
    source = open_source(tmp_path, rate_hz=25, start_stamp_ns=7_000, frame_id="thermal")
    assert isinstance(source, Source)
    assert (source.length, source.rate_hz, source.live) == (4, 25, False)
    frames = list(source)
    assert [path.name for path in source.paths] == [
        "frame1.png",
        "frame9.png",
        "frame10.png",
        "frame100.png",
    ]
    assert [frame.stamp_ns for frame in frames] == [7_000 + i * 40_000_000 for i in range(4)]
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert {frame.frame_id for frame in frames} == {"thermal"}
    np.testing.assert_array_equal(frames[1].image, picture(9))
    assert [frame.stamp_ns for frame in source] == [frame.stamp_ns for frame in frames]


def test_a_single_image_is_a_source_of_one(tmp_path):
    path = write(tmp_path, "one.JPG", picture(3, channels=1))
    (frame,) = open_source(str(path))
    assert (frame.encoding, frame.image.shape) == ("mono8", (24, 32))
    assert frame.frame_id == "camera"
    assert len(list(open_source(f"file://{path}"))) == 1
    assert len(list(open_source(f"images:{path}"))) == 1


@pytest.mark.parametrize(
    ("name", "image", "encoding"),
    [
        ("a.png", np.full((8, 9), 40_000, np.uint16), "mono16"),
        ("a.tiff", np.full((8, 9), 7_123, np.uint16), "mono16"),
        ("a.pgm", np.full((8, 9), 9, np.uint8), "mono8"),
        ("a.bmp", np.full((8, 9, 3), (1, 2, 3), np.uint8), "bgr8"),
    ],
)
def test_lossless_files_keep_every_value(tmp_path, name, image, encoding):
    read, found = read_image(write(tmp_path, name, image))
    assert found == encoding
    np.testing.assert_array_equal(read, image)


def test_four_channels_are_both_cameras_only_where_declared(tmp_path):
    image = np.full((8, 9, 4), (1, 2, 3, 4), np.uint8)
    write(tmp_path, "a.png", image)
    (frame,) = open_source(tmp_path)
    assert frame.encoding == "bgr8"
    np.testing.assert_array_equal(frame.image, image[..., :3])
    for source in (
        open_source(tmp_path, fourth_channel="thermal"),
        open_source(f"images:{tmp_path}?fourth=thermal"),
    ):
        (frame,) = source
        assert frame.encoding == "8UC4"
        np.testing.assert_array_equal(frame.image, image)
    with pytest.raises(SourceError, match="alpha or thermal, got 'infrared'"):
        open_source(tmp_path, fourth_channel="infrared")


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("camera", [None, "rgb", "thermal"])
def test_pictures_come_upright_as_exif_says(tmp_path, orientation, camera):
    upright = cv2.cvtColor(picture(100, channels=1), cv2.COLOR_GRAY2BGR)
    stored = np.ascontiguousarray(STORED[orientation](upright))
    (tmp_path / "1.jpg").write_bytes(exif_jpeg(stored, orientation))
    (frame,) = open_source(tmp_path, camera=camera)
    assert frame.image.shape[:2] == upright.shape[:2]
    expected = upright[..., 0] if camera == "thermal" else upright
    assert np.abs(frame.image.astype(int) - expected).max() <= 8


def pages_of(*images: np.ndarray) -> bytes:
    return bytes(cv2.imencodemulti(".tif", list(images))[1])


def test_a_tiff_of_several_pages_is_refused_until_one_is_named(tmp_path):
    pages = [np.full((8, 9), 1000 * (page + 1), np.uint16) for page in range(3)]
    path = tmp_path / "stack.tif"
    path.write_bytes(pages_of(*pages))
    with pytest.raises(SourceError, match=r"stack\.tif has 3 pages: choose one with \?page=0"):
        read_image(path)
    for page, image in enumerate(pages):
        (frame,) = open_source(f"{path}?page={page}")
        np.testing.assert_array_equal(frame.image, image)
    with pytest.raises(SourceError, match=r"3 page\(s\), no page 3"):
        list(open_source(f"images:{path}?page=3"))
    single = write(tmp_path, "single.tif", pages[0])
    np.testing.assert_array_equal(read_image(single)[0], pages[0])


def test_a_tiff_that_begins_with_its_thumbnail_gives_the_picture(tmp_path):
    picture = np.full((24, 32), 2000, np.uint16)
    data = bytearray(pages_of(np.full((6, 8), 1, np.uint16), picture))
    (first,) = struct.unpack_from("<I", data, 4)
    # NewSubfileType of the first page: 2, a page, becomes 1, a smaller version of another.
    assert struct.unpack_from("<HHII", data, first + 2) == (254, 4, 1, 2)
    struct.pack_into("<I", data, first + 10, 1)
    (tmp_path / "1.tif").write_bytes(data)
    (frame,) = open_source(tmp_path)
    np.testing.assert_array_equal(frame.image, picture)


def test_sixteen_bit_colour_becomes_eight(tmp_path):
    image = np.full((8, 9, 3), (0, 0x5656, 0xFFFF), np.uint16)
    read, encoding = read_image(write(tmp_path, "deep.png", image))
    assert encoding == "bgr8"
    assert (read == (0, 0x56, 0xFF)).all()


def test_gray_is_kept_and_colour_becomes_gray_when_asked(tmp_path):
    gray = picture(50, channels=1)
    write(tmp_path, "1.png", gray)
    write(tmp_path, "2.png", cv2.cvtColor(gray, cv2.COLOR_GRAY2BGR))
    assert [frame.encoding for frame in open_source(tmp_path)] == ["mono8", "bgr8"]
    as_gray = list(open_source(tmp_path, as_gray=True))
    assert [frame.encoding for frame in as_gray] == ["mono8", "mono8"]
    np.testing.assert_array_equal(as_gray[1].image, gray)


def test_sizes_may_change_within_a_folder(tmp_path):
    write(tmp_path, "1.png", np.zeros((8, 9), np.uint8))
    write(tmp_path, "2.png", np.zeros((20, 30), np.uint8))
    assert [(frame.height, frame.width) for frame in open_source(tmp_path)] == [(8, 9), (20, 30)]


def test_looping_continues_time_and_index(tmp_path):
    for number in range(3):
        write(tmp_path, f"{number}.png", picture(number))
    source = open_source(tmp_path, rate_hz=10, loop=True)
    assert source.length is None
    frames = [frame for frame, _ in zip(source, range(7), strict=False)]
    assert [frame.stamp_ns for frame in frames] == [i * 100_000_000 for i in range(7)]
    assert [frame.index for frame in frames] == list(range(7))
    np.testing.assert_array_equal(frames[6].image, picture(0))


def truncate(path, part: float = 0.6):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tif", ".pgm", ".webp"])
@pytest.mark.parametrize("part", [0.0, 0.1, 0.95])
def test_a_truncated_image_is_named(tmp_path, suffix, part):
    image = picture(9, channels=1 if suffix == ".pgm" else 3)
    path = truncate(write(tmp_path, f"cut{suffix}", image), part)
    with pytest.raises(SourceError, match=rf"cut\{suffix}") as caught:
        list(open_source(path))
    assert "\n" not in str(caught.value)


def test_bad_images_are_skipped_and_counted_when_asked(tmp_path):
    for number in range(4):
        write(tmp_path, f"{number}.jpg", picture(number))
    truncate(tmp_path / "1.jpg")
    (tmp_path / "2.jpg").write_bytes(b"")
    errors = []
    source = open_source(tmp_path, rate_hz=10, on_bad="skip", on_skip=errors.append)
    frames = list(source)
    # What could not be read still took its time and its place.
    assert [frame.index for frame in frames] == [0, 3]
    assert [frame.stamp_ns for frame in frames] == [0, 300_000_000]
    assert source.skipped == len(errors) == 2
    assert "1.jpg is truncated" in str(errors[0])
    assert "2.jpg is empty" in str(errors[1])
    with pytest.raises(SourceError, match=r"1\.jpg"):
        list(open_source(tmp_path))


def test_a_folder_with_nothing_readable_is_an_error_even_when_skipping(tmp_path):
    (tmp_path / "1.jpg").write_bytes(b"junk")
    with pytest.raises(SourceError, match=r"not one readable frame in it: .*1\.jpg is damaged"):
        list(open_source(tmp_path, on_bad="skip", loop=True))


def test_a_bad_file_writes_nothing_past_its_error(tmp_path, capfd):
    for suffix in (".jpg", ".png", ".tif", ".bmp"):
        path = truncate(write(tmp_path, f"cut{suffix}", picture(9)))
        with pytest.raises(SourceError, match=r"is (truncated|damaged)"):
            read_image(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.data
def test_real_thermal_frames_come_as_one_gray_channel():
    data = Path(os.environ.get("WINDHOVER_DATA", Path(__file__).parents[5] / "shared" / "data"))
    folder = data / "hit_uav" / "normal_json" / "test"
    if not folder.is_dir():
        pytest.skip(f"no HIT-UAV frames at {folder}; set WINDHOVER_DATA")
    source = open_source(folder, rate_hz=10)
    frames = [frame for frame, _ in zip(source, range(3), strict=False)]
    assert {(frame.encoding, frame.image.shape) for frame in frames} == {("mono8", (512, 640))}
    numbers = [path.stem.split("_") for path in source.paths]
    assert numbers == sorted(numbers, key=lambda parts: [int(part) for part in parts])


def test_missing_and_empty_paths_are_named(tmp_path):
    with pytest.raises(SourceError, match=r"no images in folder .*looked for \.jpg, \.jpeg, \.png"):
        open_source(tmp_path)
    with pytest.raises(SourceError, match=r"no such file or folder: .*nowhere"):
        open_source(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="name a source"):
        open_source("")
    odd = tmp_path / "thing.xyz"
    odd.write_bytes(b"")
    with pytest.raises(SourceError, match=r"thing\.xyz has no known suffix"):
        open_source(odd)
    gone = write(tmp_path, "1.png", picture(1))
    source = open_source(tmp_path)
    gone.unlink()
    with pytest.raises(SourceError, match="cannot read image"):
        list(source)


def test_unknown_schemes_and_options_are_named(tmp_path):
    with pytest.raises(SourceError, match=r"unknown kind of source rtspx:.*v4l2:, gst:, scene:"):
        open_source("rtspx://host/stream")
    with pytest.raises(SourceError, match="rate_hz must be above 0"):
        open_source(tmp_path, rate_hz=0)
    with pytest.raises(SourceError, match="on_bad must be"):
        open_source(tmp_path, on_bad="ignore")


def test_a_path_with_a_colon_is_a_path(tmp_path, monkeypatch):
    folder = tmp_path / "flight:3"
    folder.mkdir()
    write(folder, "1.png", picture(1))
    monkeypatch.chdir(tmp_path)
    assert len(list(open_source("flight:3"))) == 1


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=6))
def test_natural_order_is_numeric(numbers):
    names = [f"T_{number}.jpg" for number in numbers]
    ordered = sorted(names, key=natural_key)
    assert [int(name[2:-4]) for name in ordered] == sorted(numbers)


@given(st.text(), st.text())
def test_any_two_names_can_be_ordered(first, second):
    assert (natural_key(first) < natural_key(second)) in {True, False}
