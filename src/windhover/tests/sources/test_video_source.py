"""Video files keep their own times, and their grey."""

import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from windhover.errors import SourceError
from windhover.sources import Source, open_source


def encode(
    path, images, *, codec="ffv1", pixel="bgr0", times_ms=None, source="bgr24", faststart=False
):
    """A real video; FFV1 is lossless, so pixels can be compared."""
    options = {"movflags": "faststart"} if faststart else {}
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=20)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixel
        stream.codec_context.time_base = Fraction(1, 1000)
        for index, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format=source)
            frame.pts = times_ms[index] if times_ms else index * 50
            frame.time_base = Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def colours(count: int, shape=(48, 64, 3)) -> list[np.ndarray]:
    return [np.full(shape, (10 + 9 * i, 100, 200 - 9 * i), np.uint8) for i in range(count)]


def test_frames_come_with_their_presentation_times(tmp_path):
    times = [0, 50, 100, 250, 300]  # a gap of two frames
    path = encode(tmp_path / "clip.mkv", colours(5), times_ms=times)
    source = open_source(path, start_stamp_ns=10**18, frame_id="rgb")
    assert isinstance(source, Source)
    frames = list(source)
    assert [frame.stamp_ns for frame in frames] == [10**18 + time * 10**6 for time in times]
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert {(frame.encoding, frame.frame_id) for frame in frames} == {("bgr8", "rgb")}
    for frame, image in zip(frames, colours(5), strict=True):
        np.testing.assert_array_equal(frame.image, image)


def test_a_video_that_does_not_begin_at_zero_still_starts_at_the_start(tmp_path):
    path = encode(tmp_path / "late.mkv", colours(3), times_ms=[5000, 5050, 5100])
    assert [frame.stamp_ns for frame in open_source(path)] == [0, 50_000_000, 100_000_000]


def test_h264_is_close_and_counted(tmp_path):
    path = encode(tmp_path / "clip.mp4", colours(8), codec="libx264", pixel="yuv420p")
    source = open_source(path)
    assert source.length == 8
    assert source.rate_hz == pytest.approx(20, abs=0.5)
    frames = list(source)
    assert len(frames) == 8
    assert [frame.stamp_ns for frame in frames] == [i * 50_000_000 for i in range(8)]
    assert np.abs(frames[3].image.astype(int) - colours(8)[3]).max() <= 8


def test_a_given_rate_replaces_the_times(tmp_path):
    path = encode(tmp_path / "clip.mkv", colours(3), times_ms=[0, 50, 500])
    source = open_source(path, rate_hz=10)
    assert source.rate_hz == 10
    assert [frame.stamp_ns for frame in source] == [0, 100_000_000, 200_000_000]


def test_gray_is_kept_gray(tmp_path):
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))
    path = encode(tmp_path / "gray.mkv", [ramp] * 2, pixel="gray", source="gray")
    frames = list(open_source(path))
    assert frames[0].encoding == "mono8"
    np.testing.assert_array_equal(frames[0].image, ramp)


@pytest.mark.parametrize("pixel", ["gray16le", "gray12le", "gray10le"])
def test_deep_gray_keeps_its_counts(tmp_path, pixel):
    counts = np.tile(np.arange(64, dtype=np.uint16) * 15, (48, 1))
    path = encode(tmp_path / "y16.mkv", [counts] * 2, pixel=pixel, source=pixel)
    frame = next(iter(open_source(path)))
    assert frame.encoding == "mono16"
    np.testing.assert_array_equal(frame.image, counts)


def test_colour_becomes_gray_when_asked(tmp_path):
    path = encode(tmp_path / "clip.mkv", [np.full((48, 64, 3), 120, np.uint8)] * 2)
    frame = next(iter(open_source(path, as_gray=True)))
    assert (frame.encoding, frame.image.shape) == ("mono8", (48, 64))
    assert np.abs(frame.image.astype(int) - 120).max() <= 1


def test_looping_continues_time(tmp_path):
    path = encode(tmp_path / "clip.mkv", colours(3))
    frames = [frame for frame, _ in zip(open_source(path, loop=True), range(7), strict=False)]
    assert [frame.stamp_ns for frame in frames] == [i * 50_000_000 for i in range(7)]


def test_bad_videos_are_named(tmp_path):
    empty = tmp_path / "empty.mp4"
    empty.write_bytes(b"")
    with pytest.raises(SourceError, match=r"cannot open video .*empty\.mp4"):
        open_source(empty)
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"junk" * 500)
    with pytest.raises(SourceError, match=r"cannot open video .*junk\.mp4"):
        open_source(junk)
    sound = tmp_path / "sound.mkv"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(SourceError, match="holds no video stream"):
        open_source(sound)


@pytest.mark.parametrize("name", ["cut.mkv", "cut.mp4"])
def test_a_truncated_video_yields_its_frames_and_then_an_error(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (60, 48, 64, 3), np.uint8)
    path = tmp_path / name
    if name == "cut.mkv":
        encode(path, list(noise))
    else:
        encode(path, list(noise), codec="libx264", pixel="yuv420p", faststart=True)
    assert len(list(open_source(path))) == 60
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 55 // 100])
    seen = []
    with pytest.raises(SourceError, match=rf"{name} is (truncated|damaged) after frame \d"):
        seen.extend(frame.index for frame in open_source(path))
    assert len(seen) > 10
    source = open_source(path, on_bad="skip")
    kept = list(source)
    assert 15 <= len(kept) <= 40
    assert source.skipped


ONE = 1 << 16
# Display matrices (a, b, c, d) and how the file stores an upright picture under them.
MATRICES = {
    (1, 0, 0, 1): lambda upright: upright,
    (-1, 0, 0, -1): lambda upright: upright[::-1, ::-1],
    (0, 1, -1, 0): lambda upright: np.rot90(upright, 1),
    (0, -1, 1, 0): lambda upright: np.rot90(upright, -1),
    (-1, 0, 0, 1): lambda upright: upright[:, ::-1],
}


def turned(path, matrix):
    """Put a display matrix into an MP4's track header (ISO 14496-12, 8.3.2)."""
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 44
    a, b, c, d = matrix
    struct.pack_into(">9i", data, start, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize("matrix", MATRICES)
@pytest.mark.parametrize("camera", ["rgb", "thermal"])
def test_frames_come_upright_as_the_display_matrix_says(tmp_path, matrix, camera):
    upright = np.zeros((48, 64, 3), np.uint8)
    upright[:10, :20] = 200
    stored = np.ascontiguousarray(MATRICES[matrix](upright))
    path = encode(tmp_path / "clip.mp4", [stored] * 2, codec="libx264", pixel="yuv444p")
    turned(path, [ONE * each for each in matrix])
    for frame in open_source(path, camera=camera):
        gray = frame.image if camera == "thermal" else frame.image[..., 0]
        assert gray.shape == (48, 64)
        assert np.abs(gray.astype(int) - upright[..., 0]).max() <= 40


def test_a_display_matrix_between_quarter_turns_is_refused(tmp_path):
    path = encode(tmp_path / "clip.mp4", colours(2), codec="libx264", pixel="yuv420p")
    turned(path, [56_756, 32_768, -32_768, 56_756])
    with pytest.raises(SourceError, match=r"frame 0 of video .* turned by -\d+ degrees"):
        list(open_source(path))


@pytest.mark.parametrize("dropped", [(), (3, 7), (10, 11)])
def test_an_avi_with_empty_chunks_is_complete(tmp_path, dropped):
    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=10, options={"q": "2"})
        stream.pix_fmt, stream.height, stream.width = "yuvj420p", 48, 64
        for index in sorted(set(range(12)) - set(dropped)):
            frame = av.VideoFrame.from_ndarray(colours(12)[index], format="bgr24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame.reformat(format="yuvj420p")))
        container.mux(stream.encode(None))
    source = open_source(path)
    stamps = [frame.stamp_ns for frame in source]
    assert stamps == [100_000_000 * each for each in range(12) if each not in dropped]
    assert source.length == len(stamps)
    assert source.rate_hz == pytest.approx(10)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 5])
    with pytest.raises(SourceError, match=r"clip\.avi is (truncated|damaged)"):
        list(open_source(path))


def test_an_avi_on_a_clock_of_milliseconds_has_the_rate_of_its_frames(tmp_path):
    path = encode(
        tmp_path / "clip.avi", colours(4), codec="mjpeg", pixel="yuvj420p",
        times_ms=[0, 100, 200, 300],
    )  # fmt: skip
    source = open_source(path)
    assert (source.length, source.rate_hz) == (4, pytest.approx(10))
    assert [frame.stamp_ns for frame in source] == [i * 100_000_000 for i in range(4)]


def test_a_title_in_another_encoding_is_no_reason_to_fail(tmp_path):
    path = encode(tmp_path / "clip.mp4", colours(2), codec="libx264", pixel="yuv420p")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"isomiso2", b"is\xf6miso2", 1))  # Latin-1
    assert len(list(open_source(path))) == 2


@pytest.mark.parametrize("name", ["raw.h264", "raw.264"])
def test_a_raw_stream_has_the_rate_that_is_given(tmp_path, name):
    path = tmp_path / name
    with av.open(str(path), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.pix_fmt, stream.height, stream.width = "yuv420p", 48, 64
        for image in colours(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    frames = list(open_source(path, rate_hz=10))
    assert [frame.stamp_ns for frame in frames] == [i * 100_000_000 for i in range(4)]


def test_a_thermal_video_in_a_colour_palette_is_refused_until_it_is_named(tmp_path):
    heat = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))
    images = [cv2.applyColorMap(heat, cv2.COLORMAP_INFERNO)] * 2
    path = encode(tmp_path / "clip.mkv", images)
    with pytest.raises(SourceError, match=r"frame 0 of video .*clip\.mkv is in a colour palette"):
        list(open_source(path, camera="thermal"))
    frames = list(open_source(f"{path}?palette=ironbow", camera="thermal"))
    assert {frame.encoding for frame in frames} == {"mono8"}
    (first, _) = open_source(f"video:{path}?palette=black-hot", camera="thermal")
    np.testing.assert_array_equal(first.image, 255 - frames[0].image)
    assert {frame.encoding for frame in open_source(path, camera="rgb")} == {"bgr8"}
