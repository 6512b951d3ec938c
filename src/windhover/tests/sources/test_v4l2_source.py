"""Cameras: a missing one is named, a live one gives its newest frame, a dead one says so.

There is no camera where tests run, so FFmpeg's own test pattern stands in for the
device; the class that reads it is the one that reads a camera.
"""

import time

import av
import numpy as np
import pytest

from windhover.errors import SourceError
from windhover.sources import Source, open_source
from windhover.sources.options import SourceOptions
from windhover.sources.v4l2 import AvCamera


def camera(pattern: str, **options) -> AvCamera:
    container = av.open(pattern, format="lavfi")
    return AvCamera(container, "v4l2:///dev/pattern", SourceOptions(**options))


def test_a_live_camera_gives_stamped_frames():
    source = camera("testsrc=size=64x48:rate=50,realtime", frame_id="rgb")
    assert isinstance(source, Source)
    assert (source.live, source.length, source.rate_hz) == (True, None, 50)
    before = time.time_ns()
    frames = [frame for frame, _ in zip(source, range(5), strict=False)]
    source.close()
    assert {(f.image.shape, f.encoding, f.frame_id) for f in frames} == {
        ((48, 64, 3), "bgr8", "rgb")
    }
    stamps = [frame.stamp_ns for frame in frames]
    assert before <= stamps[0]
    assert stamps == sorted(stamps)
    assert stamps[-1] <= time.time_ns()
    source.close()


def test_the_drivers_own_wall_clock_stamps_are_kept():
    """A capture 2 s ago is stamped 2 s ago, not when it was read."""
    source = camera("testsrc=size=64x48:rate=50,realtime,settb=1/1000000,setpts=RTCTIME-2000000")
    frame = next(iter(source))
    age_s = (time.time_ns() - frame.stamp_ns) / 1e9
    source.close()
    assert 1.9 < age_s < 7


def test_a_slow_consumer_gets_the_newest_frame_not_a_backlog():
    source = camera("testsrc=size=64x48:rate=100,realtime")
    frames = iter(source)
    first = next(frames)
    while source.dropped < 20:
        time.sleep(0.01)
    second = next(frames)
    assert second.index >= first.index + 20
    assert next(frames).index > second.index
    source.close()


def test_thermal_counts_and_gray_pass_through():
    deep = camera("testsrc=size=64x48:rate=50,realtime,format=gray16le")
    frame = next(iter(deep))
    deep.close()
    assert (frame.encoding, frame.image.dtype) == ("mono16", np.uint16)
    gray = camera("testsrc=size=64x48:rate=50,realtime", as_gray=True)
    frame = next(iter(gray))
    gray.close()
    assert (frame.encoding, frame.image.shape) == ("mono8", (48, 64))


def test_a_camera_that_stops_is_an_error_not_an_end():
    source = camera("testsrc=size=64x48:rate=50:duration=0.1")
    with pytest.raises(SourceError, match="v4l2:///dev/pattern: camera stopped sending"):
        list(source)
    source.close()


def test_a_camera_that_hangs_is_an_error():
    source = camera("testsrc=size=64x48:rate=1,realtime", timeout_s=0.2)
    frames = iter(source)
    next(frames)
    with pytest.raises(SourceError, match=r"no frame for 0\.2 s, check the camera"):
        next(frames)
    source.close()


def test_closing_ends_the_iteration_without_an_error():
    source = camera("testsrc=size=64x48:rate=50,realtime")
    for count, _ in enumerate(source):
        if count == 2:
            source.close()
    assert count >= 2


def test_a_source_that_was_never_read_can_be_closed():
    source = camera("testsrc=size=64x48:rate=50")
    source.close()
    source.close()


def test_a_missing_device_is_named():
    with pytest.raises(SourceError, match="no camera at /dev/video97: check the cable"):
        open_source("v4l2:///dev/video97?size=1280x720&rate=30&format=mjpeg")


def test_a_device_that_is_no_camera_is_named():
    with pytest.raises(SourceError, match="cannot open camera /dev/null: not a camera"):
        open_source("v4l2:///dev/null?size=1280x720")
    with pytest.raises(SourceError, match="cannot open camera /dev/null"):
        open_source("/dev/null")


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("size=big", "size=big is not a valid size"),
        ("size=0x720", "size must be at least 1x1"),
        ("rate=-5", "rate_hz must be above 0"),
        ("format=raw7", "unknown pixel format 'raw7', use one of mjpeg"),
        ("zoom=2", "unknown option 'zoom', use size, rate"),
    ],
)
def test_bad_options_are_named(query, message):
    with pytest.raises(SourceError, match=message):
        open_source(f"v4l2:///dev/null?{query}")
