"""GStreamer pipelines give frames whose rows, colours and counts are right."""

import itertools
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.support.fixtures import PATIENCE_S
from windhover.errors import SourceError
from windhover.sources import Source, open_source
from windhover.sources.gstreamer import FrameTiming, VideoCaps, parse_caps, parse_frame


def _has(element: str) -> bool:
    tool = shutil.which("gst-launch-1.0")
    command = [tool, "-q", element, "num-buffers=1", "!", "fakesink"]
    return tool is not None and subprocess.run(command, capture_output=True).returncode == 0


needs_gstreamer = pytest.mark.skipif(
    not _has("videotestsrc"), reason="gstreamer1.0-tools and -plugins-base are not installed"
)

LINE = (
    "/GstPipeline:pipeline0/GstFdSink:windhover_out.GstPad:sink: caps = video/x-raw, "
    "width=(int)34, height=(int)24, framerate=(fraction)20/1, "
    "pixel-aspect-ratio=(fraction)1/1, format=(string)"
)


def test_caps_are_read_with_their_row_padding():
    assert parse_caps(LINE + "BGR") == VideoCaps("bgr8", 34, 24, 104, 20.0)
    assert parse_caps(LINE + "GRAY8\n") == VideoCaps("mono8", 34, 24, 36, 20.0)
    assert parse_caps(LINE + "GRAY16_LE") == VideoCaps("mono16", 34, 24, 68, 20.0)
    nv12 = parse_caps(LINE + "NV12")
    assert nv12 == VideoCaps("nv12", 34, 24, 36, 20.0)
    assert nv12.frame_bytes == 36 * 36
    assert parse_caps(LINE + "I420") is None
    assert parse_caps("Setting pipeline to PLAYING ...") is None
    assert parse_caps(LINE.replace("windhover_out", "other") + "BGR") is None


FRAME = (
    "/GstPipeline:pipeline0/GstIdentity:windhover_stamps: last-message = chain   ******* "
    "(windhover_stamps:sink) (2448 bytes, dts: none, pts: 1:02:03.072164915, "
    "duration: 0:00:00.033333334, offset: 41, offset_end:  42, flags: 00000000 , meta: none) 0x55"
)


def test_the_report_on_a_frame_is_parsed():
    assert parse_frame(FRAME) == FrameTiming(3723 * 10**9 + 72_164_915, 41)
    assert parse_frame(FRAME.replace("1:02:03.072164915", "none")) == FrameTiming(None, 41)
    # Bytes of a file, or nothing at all, are no frame numbers.
    assert parse_frame(FRAME.replace("offset_end:  42", "offset_end:  2489")).sequence is None
    assert parse_frame(FRAME.replace("offset: 41, offset_end:  42", "")).sequence is None
    assert parse_frame(FRAME.replace("windhover_stamps", "other")) is None
    assert parse_frame(LINE) is None


def test_without_gstreamer_it_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(SourceError, match="is not installed, install gstreamer1"):
        open_source("gst:videotestsrc")


def opened(uri, **options):
    """A source that has the time to start which a busy machine takes."""
    return open_source(uri, timeout_s=PATIENCE_S, **options)


@needs_gstreamer
@pytest.mark.parametrize("end", ["", " ! appsink", " ! appsink drop=true max-buffers=1"])
def test_colours_arrive_in_order_with_padded_rows(end):
    caps = "video/x-raw,format=RGB,width=34,height=24,framerate=20/1"
    uri = f"gst:videotestsrc pattern=solid-color foreground-color=0xffc83214 is-live=true ! {caps}"
    source = opened(uri + end, frame_id="rgb")
    try:
        assert isinstance(source, Source)
        assert (source.live, source.rate_hz) == (True, 20)
        frames = [frame for frame, _ in zip(source, range(3), strict=False)]
    finally:
        source.close()
    for frame in frames:
        assert (frame.encoding, frame.image.shape, frame.frame_id) == ("bgr8", (24, 34, 3), "rgb")
        assert (frame.image == (0x14, 0x32, 0xC8)).all()
    assert abs(frames[-1].stamp_ns - time.time_ns()) < 5e9
    assert frames[0].stamp_ns < frames[1].stamp_ns < frames[2].stamp_ns


@needs_gstreamer
@pytest.mark.parametrize(
    ("pixel", "encoding", "dtype"),
    [
        ("GRAY8", "mono8", np.uint8),
        ("GRAY16_LE", "mono16", np.uint16),
        ("GRAY16_BE", "mono16", np.uint16),
        ("NV12", "bgr8", np.uint8),
    ],
)
def test_gray_stays_gray_and_the_rest_becomes_colour(pixel, encoding, dtype):
    caps = f"'video/x-raw, format={pixel}, width=34, height=24'"
    source = opened(f"gst:videotestsrc num-buffers=2 pattern=white ! {caps}")
    try:
        frame = next(iter(source))
    finally:
        source.close()
    assert (frame.encoding, frame.image.dtype, frame.image.shape[:2]) == (encoding, dtype, (24, 34))
    assert frame.image.min() > 0.9 * np.iinfo(dtype).max


FAKE_TOOL = """#!{python}
import os, sys
out = next(int(a[3:]) for a in sys.argv if a.startswith("fd="))
asked = next(a for a in sys.argv if a.startswith("video/x-raw,format="))
open({asked!r}, "w").write(asked)
print({line!r}, flush=True)
os.write(out, open({data!r}, "rb").read())
"""


@pytest.mark.parametrize("size", [(34, 24), (33, 23)])
def test_nv12_is_handed_on_unconverted_where_that_is_asked_for(tmp_path, monkeypatch, size):
    width, height = size
    step, rows = (width + 3) // 4 * 4, (height + 1) // 2 * 2
    planes = np.random.default_rng(0).integers(0, 255, (rows * 3 // 2, step), dtype=np.uint8)
    (tmp_path / "frames").write_bytes(planes.tobytes())
    line = LINE.replace("(int)34", f"(int){width}").replace("(int)24", f"(int){height}") + "NV12"
    asked = tmp_path / "asked"
    tool = tmp_path / "gst-launch-1.0"
    tool.write_text(
        FAKE_TOOL.format(
            python=sys.executable, asked=str(asked), line=line, data=str(tmp_path / "frames")
        )
    )
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    source = opened("gst:camera", keep_nv12=True)
    frame = next(iter(source))
    source.close()
    assert asked.read_text() == "video/x-raw,format={NV12,GRAY8,GRAY16_LE,BGR}"
    even = width // 2 * 2, height // 2 * 2
    assert (frame.encoding, frame.width, frame.height) == ("nv12", *even)
    luma, chroma = frame.image[: even[1]], frame.image[even[1] :]
    np.testing.assert_array_equal(luma, planes[: even[1], : even[0]])
    np.testing.assert_array_equal(chroma, planes[rows : rows + even[1] // 2, : even[0]])


@needs_gstreamer
def test_stamps_are_the_pipelines_own_and_free_of_transport_jitter():
    caps = "video/x-raw,format=GRAY8,width=34,height=24,framerate=25/1"
    source = opened(f"gst:videotestsrc is-live=true ! {caps}")
    frames = [frame for frame, _ in zip(source, range(12), strict=False)]
    statistics = source.statistics
    source.close()
    gaps = {(b.stamp_ns - a.stamp_ns) / (b.index - a.index) for a, b in itertools.pairwise(frames)}
    # The test source stamps at exactly 25 frames a second; arrival times do not.
    assert sum(abs(gap - 40e6) < 100e3 for gap in gaps) >= len(gaps) / 2
    assert statistics.stamps_untrusted == 0
    assert 0 <= time.time_ns() - frames[-1].stamp_ns < 30e9


@needs_gstreamer
def test_frames_that_the_pipeline_lost_are_counted():
    caps = "video/x-raw,format=GRAY8,width=34,height=24,framerate=50/1"
    lossy = "identity drop-probability=0.3"
    source = opened(f"gst:videotestsrc is-live=true num-buffers=40 ! {caps} ! {lossy}")
    frames = list(source)
    statistics = source.statistics
    source.close()
    assert statistics.lost > 0
    assert statistics.read + statistics.lost <= 40
    assert all(b.stamp_ns > a.stamp_ns for a, b in itertools.pairwise(frames))


@needs_gstreamer
def test_a_pipeline_that_ends_ends():
    source = opened("gst:videotestsrc pattern=ball num-buffers=4", as_gray=True)
    frames = list(source)
    source.close()
    assert 1 <= len(frames) <= 4
    assert frames[-1].encoding == "mono8"
    assert len(frames) + source.statistics.replaced == 4


@needs_gstreamer
@pytest.mark.parametrize(
    ("pipeline", "message"),
    [
        ("nosuchelement", 'no element "nosuchelement"'),
        ("filesrc location=/nowhere ! decodebin", "Resource not found"),
        ("videotestsrc ! audio/x-raw", "could not link"),
        ("", "name a pipeline"),
        ("videotestsrc 'open", "No closing quotation"),
    ],
)
def test_a_wrong_pipeline_is_named(pipeline, message):
    with pytest.raises(SourceError, match=message) as caught:
        opened(f"gst:{pipeline}")
    assert "\n" not in str(caught.value)


@needs_gstreamer
def test_a_pipeline_that_dies_is_an_error_and_leaves_no_process():
    source = opened("gst:videotestsrc is-live=true")
    frames = iter(source)
    next(frames)
    source._process.kill()
    with pytest.raises(SourceError, match="the pipeline failed"):
        for _ in frames:
            pass
    source.close()
    assert source._process.returncode is not None


@needs_gstreamer
def test_closing_stops_the_process():
    source = opened("gst:videotestsrc is-live=true")
    next(iter(source))
    source.close()
    source.close()
    assert source._process.returncode is not None
