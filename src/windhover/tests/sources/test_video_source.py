"""Video files keep their own times, and their grey."""

from fractions import Fraction

import av
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


def test_looping_goes_on_in_time(tmp_path):
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
def test_a_truncated_video_gives_what_it_has_and_then_says_so(tmp_path, name):
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
