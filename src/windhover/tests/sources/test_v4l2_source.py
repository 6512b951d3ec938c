"""V4L2 cameras: driver stamps, sequence numbers, controls, and what goes wrong.

There is no camera where tests run: the kernel is faked (``tests/support/fake_v4l2.py``);
linuxpy and everything above it are real.
"""

import sys
import threading
import time
from itertools import pairwise

import cv2
import numpy as np
import pytest

from tests.support.fake_v4l2 import BROKEN, COPIED, Control
from tests.support.fixtures import PATIENCE_S, wait_for
from windhover.errors import SourceError
from windhover.sources import Source, open_source
from windhover.sources.clock import read_clocks

MS = 1_000_000
AUTO, ABSOLUTE, GAIN, AUTOGAIN = 0x009A0901, 0x009A0902, 0x00980913, 0x00980912


class Feeder(threading.Thread):
    """Takes frames at a rate until stopped, as a sensor does."""

    def __init__(self, camera, data, period_s=0.01):
        super().__init__(daemon=True)
        self.camera, self.data, self.period_s = camera, data, period_s
        self.taken_ns = []
        self.done = threading.Event()

    def run(self):
        while not self.done.wait(self.period_s):
            now = time.monotonic_ns()
            if self.camera.take(self.data(len(self.taken_ns)), now):
                self.taken_ns.append(now)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.join()


def counts(value, size=(16, 12)):
    return np.full((size[1], size[0]), value, np.uint16).tobytes()


@pytest.fixture
def boson(kernel):
    return kernel.add({"NV12": [(16, 12)], "Y16 ": [(16, 12), (16, 14)]}, rate=60)


def opened(camera, query="", **options):
    return open_source(f"v4l2://{camera.path}{query}", timeout_s=PATIENCE_S, **options)


def test_thermal_counts_pass_through_with_the_drivers_stamps(boson):
    source = opened(boson, "?format=y16&size=16x12", frame_id="boson")
    assert isinstance(source, Source)
    assert (source.live, source.length, source.rate_hz) == (True, None, 60)
    with Feeder(boson, lambda n: counts(7_000 + n)) as feeder:
        frames = [frame for frame, _ in zip(source, range(10), strict=False)]
    source.close()
    now = read_clocks()
    wall_minus_monotonic = now.wall_ns - now.monotonic_ns
    for frame in frames:
        assert (frame.encoding, frame.image.dtype, frame.image.shape) == (
            "mono16", np.uint16, (12, 16),
        )  # fmt: skip
        assert frame.frame_id == "boson"
        taken_ns = feeder.taken_ns[int(frame.image[0, 0]) - 7_000]
        # The driver's microseconds, a slow clock read, an NTP slew meanwhile.
        assert abs(frame.stamp_ns - wall_minus_monotonic - taken_ns) < 5 * MS
    assert all(b.stamp_ns > a.stamp_ns for a, b in pairwise(frames))
    assert not boson.streaming


def test_a_capture_long_before_its_arrival_is_stamped_then(boson):
    source = opened(boson, "?format=y16")
    frames = iter(source)
    with Feeder(boson, counts, 0.005):
        next(frames)
    wait_for(lambda: boson.take(counts(999), time.monotonic_ns() - 800 * MS), "a free buffer")
    frame = next(frame for frame in frames if frame.image[0, 0] == 999)
    age_s = (time.time_ns() - frame.stamp_ns) / 1e9
    source.close()
    assert 0.8 <= age_s < 60


def test_lost_frames_are_counted_from_the_drivers_numbers(boson):
    source = opened(boson, "?format=y16")
    numbers = [n for n in range(40) if n % 10 not in {3, 4, 7}]  # 30 % lost
    numbers[10], numbers[11] = numbers[11], numbers[10]  # and two swapped
    frames = iter(source)

    def feed():
        wait_for(lambda: boson.streaming, "the stream")
        for number in numbers:
            wait_for(lambda n=number: boson.take(counts(n), sequence=n), "a free buffer")
            time.sleep(0.002)

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    seen = []
    for frame in frames:
        seen.append(int(frame.image[0, 0]))
        if seen[-1] == numbers[-1]:
            break
    thread.join()
    statistics = source.statistics
    source.close()
    assert seen == sorted(seen)
    assert (statistics.lost, statistics.late) == (max(numbers) + 1 - len(numbers), 1)
    assert statistics.read == len(numbers) - 1
    assert statistics.replaced == statistics.read - len(seen)


def test_a_slow_consumer_gets_the_newest_frame_not_a_backlog(boson):
    source = opened(boson, "?format=y16")
    frames = iter(source)
    with Feeder(boson, counts, 0.003):
        first = next(frames)
        wait_for(lambda: source.statistics.replaced >= 20, "frames to be replaced")
        second = next(frames)
        assert second.index >= first.index + 20
        assert next(frames).index > second.index
    source.close()


def test_colour_formats_become_bgr(kernel):
    blue = np.full((12, 16, 3), (200, 30, 20), np.uint8)
    yuv = cv2.cvtColor(blue, cv2.COLOR_BGR2YUV_I420)
    chroma = np.dstack([yuv[12:15].reshape(6, 8), yuv[15:].reshape(6, 8)])
    nv12 = np.vstack([yuv[:12], chroma.reshape(6, 16)])
    wide = np.repeat(chroma, 2, axis=0)
    yuyv = np.dstack([yuv[:12], wide.reshape(12, 16)])
    jpeg = cv2.imencode(".jpg", blue)[1]
    sent = {"NV12": nv12, "YUYV": yuyv, "MJPG": jpeg, "BGR3": blue}
    for name, (fourcc, data) in zip(("nv12", "yuyv", "mjpeg", "bgr"), sent.items(), strict=True):
        camera = kernel.add({fourcc: [(16, 12)]})
        source = opened(camera, f"?format={name}")
        with Feeder(camera, lambda _, raw=data: np.ascontiguousarray(raw).tobytes()):
            frame = next(iter(source))
        source.close()
        assert (frame.encoding, frame.image.shape) == ("bgr8", (12, 16, 3)), name
        assert np.abs(frame.image.astype(int) - blue).max() < 12, name


@pytest.mark.parametrize(("name", "fourcc"), [("mjpeg", "MJPG"), ("bgr", "BGR3")])
def test_a_thermal_camera_in_a_colour_palette_is_refused_until_it_is_named(kernel, name, fourcc):
    heat = np.tile(np.arange(0, 256, 16, np.uint8), (12, 1))
    picture = cv2.applyColorMap(heat, cv2.COLORMAP_INFERNO)
    data = cv2.imencode(".jpg", picture)[1] if name == "mjpeg" else picture
    camera = kernel.add({fourcc: [(16, 12)]})
    with Feeder(camera, lambda _: data.tobytes()):
        source = opened(camera, f"?format={name}", as_gray=True)
        with pytest.raises(SourceError, match=r"video\d+.* is in a colour palette"):
            next(iter(source))
        source.close()
        source = opened(camera, f"?format={name}&palette=ironbow", as_gray=True)
        frame = next(iter(source))
        source.close()
    assert (frame.encoding, frame.image.shape) == ("mono8", (12, 16))
    assert (np.diff(frame.image[6].astype(int)) > -6).all()


def test_the_best_format_is_chosen_by_default(kernel):
    both = {"YUYV": [(16, 12)], "MJPG": [(16, 12)], "Y16 ": [(16, 12)]}
    for gray, fourcc in ((False, "MJPG"), (True, "Y16 ")):
        camera = kernel.add(both)
        opened(camera, as_gray=gray).close()
        assert camera.format[0] == fourcc


def test_a_damaged_frame_is_dropped_and_reported(kernel):
    camera = kernel.add({"MJPG": [(16, 12)]})
    good = cv2.imencode(".jpg", np.zeros((12, 16, 3), np.uint8))[1].tobytes()
    errors = []
    source = opened(camera, on_skip=errors.append)
    frames = iter(source)
    with Feeder(camera, lambda n: good if n % 2 else b"no picture"):
        assert next(frames).image.shape == (12, 16, 3)
    source.close()
    assert source.statistics.damaged >= 1
    assert "damaged frame (10 bytes that are no JPEG)" in str(errors[0])


def test_a_frame_that_the_driver_marks_broken_is_dropped(boson):
    source = opened(boson, "?format=y16")
    frames = iter(source)

    def feed():
        wait_for(lambda: boson.streaming, "the stream")
        boson.take(counts(1), flags=BROKEN)
        boson.take(counts(2)[:50])  # cut short
        boson.take(counts(3))

    threading.Thread(target=feed, daemon=True).start()
    assert next(frames).image[0, 0] == 3
    source.close()
    assert source.statistics.damaged == 2


def test_stamps_on_another_clock_are_mapped_by_the_minimum_delay(boson):
    source = opened(boson, "?format=y16")
    frames, zero = iter(source), 10**9

    def feed():
        wait_for(lambda: boson.streaming, "the stream")
        for n in range(20):
            boson.take(counts(n), zero + time.monotonic_ns(), flags=COPIED)
            time.sleep(0.01)

    threading.Thread(target=feed, daemon=True).start()
    got = [frame for frame, _ in zip(frames, range(10), strict=False)]
    source.close()
    assert all(b.stamp_ns > a.stamp_ns for a, b in pairwise(got))
    assert abs(got[-1].stamp_ns - time.time_ns()) < 30e9
    assert source.statistics.stamps_untrusted == 0


@pytest.mark.parametrize("step_s", [5, -5])
def test_a_stepped_wall_clock_is_reported_and_corrupts_no_stamp(boson, step_s, monkeypatch):
    from windhover.sources import v4l2
    from windhover.sources.clock import Reading, read_clocks

    stepped = threading.Event()

    def clocks():
        now = read_clocks()
        return Reading(now.monotonic_ns, now.wall_ns + step_s * 10**9 * stepped.is_set())

    monkeypatch.setattr(v4l2, "read_clocks", clocks)
    source = opened(boson, "?format=y16")
    frames = iter(source)
    with Feeder(boson, counts) as feeder:
        before = next(frames)
        stepped.set()
        after = [frame for frame, _ in zip(frames, range(8), strict=False)]
    statistics = source.statistics
    source.close()
    assert statistics.clock_steps == 1
    assert abs(statistics.clock_step_ns - step_s * 10**9) < 50 * MS
    assert statistics.stamps_untrusted == 0
    # From the step on all stamps are on the new clock; none is in between.
    now = read_clocks()
    wall_minus_monotonic = now.wall_ns - now.monotonic_ns
    for frame in [before, *after]:
        on_old_clock = wall_minus_monotonic + feeder.taken_ns[int(frame.image[0, 0])]
        shift_s = (frame.stamp_ns - on_old_clock) / 1e9
        assert min(abs(shift_s), abs(shift_s - step_s)) < 0.05
    assert abs(after[-1].stamp_ns - time.time_ns() - step_s * 10**9) < 30e9


def test_an_unplugged_camera_is_an_error_and_can_be_reopened(boson):
    source = opened(boson, "?format=y16")
    frames = iter(source)
    with Feeder(boson, counts):
        next(frames)
    boson.unplug()
    with pytest.raises(SourceError, match=r"camera went away \(No such device\), check its cable"):
        list(frames)
    source.close()
    with pytest.raises(SourceError, match=r"cannot open camera .*: not a camera .*No such device"):
        opened(boson, "?format=y16")
    boson.plug_in()
    source = opened(boson, "?format=y16")
    with Feeder(boson, counts):
        assert next(iter(source)).image.shape == (12, 16)
    source.close()


def test_a_camera_that_stalls_is_an_error(boson):
    source = opened(boson, "?format=y16&timeout=3")
    frames = iter(source)
    with Feeder(boson, counts, 0.002):
        next(frames)
    with pytest.raises(SourceError, match=r"no frame for 3 s, check the camera"):
        list(frames)
    source.close()


def test_closing_ends_the_iteration_and_the_stream(boson):
    source = opened(boson, "?format=y16")
    with Feeder(boson, counts):
        for count, _ in enumerate(source):
            if count == 2:
                source.close()
    assert count >= 2
    wait_for(lambda: not boson.streaming, "the end of the stream")
    source.close()


def test_a_source_that_was_never_read_can_be_closed(boson):
    source = opened(boson)
    source.close()
    source.close()


class TestControls:
    @pytest.fixture
    def camera(self, kernel):
        return kernel.add(
            {"YUYV": [(640, 480), (1280, 720)], "MJPG": [(1280, 720)]},
            controls={
                AUTO: Control("Auto Exposure", 1, 0, 3, value=3),
                ABSOLUTE: Control("Exposure Time, Absolute", 1, 3, 2047),
                GAIN: Control("Gain", 1, 0, 255),
                AUTOGAIN: Control("Gain, Automatic", 2, 0, 1, value=1),
            },
        )

    def values(self, camera):
        return [camera.controls[key].value for key in (AUTO, ABSOLUTE, GAIN, AUTOGAIN)]

    def test_exposure_and_gain_are_set(self, camera):
        opened(camera, "?exposure=8000&gain=16").close()
        assert self.values(camera) == [1, 80, 16, 0]

    def test_exposure_is_given_back_to_the_camera(self, camera):
        camera.controls[AUTO].value = 1
        opened(camera, "?exposure=0").close()
        assert self.values(camera)[0] == 3

    def test_controls_that_were_not_set_stay_unchanged(self, camera):
        opened(camera).close()
        assert self.values(camera) == [3, 0, 0, 1]

    def test_size_and_rate_are_set(self, camera):
        source = opened(camera, "?format=yuyv&size=1280x720&rate=10")
        source.close()
        assert camera.format == ("YUYV", (1280, 720))
        assert source.rate_hz == 10

    @pytest.mark.parametrize(
        ("query", "message"),
        [
            ("exposure=9000000", "exposure in units of 100 us 90000 is outside 3 to 2047"),
            ("gain=900", "gain 900 is outside 0 to 255"),
            ("format=nv12", "does not offer pixel format nv12: it has yuyv, mjpeg"),
            (
                "size=800x600&format=yuyv",
                "does not give 800x600 in yuyv: it has 640x480, 1280x720",
            ),
        ],
    )
    def test_an_unsupported_option_is_named(self, camera, query, message):
        with pytest.raises(SourceError, match=message) as caught:
            opened(camera, f"?{query}")
        assert str(camera.path) in str(caught.value)

    def test_a_missing_control_is_named(self, kernel):
        camera = kernel.add({"YUYV": [(16, 12)]})
        with pytest.raises(SourceError, match="has no control for gain: leave it unset"):
            opened(camera, "?gain=3")


def test_a_busy_camera_is_named(boson):
    boson.busy = True
    with pytest.raises(SourceError, match="another process uses it, stop that first"):
        opened(boson)


def test_an_image_processors_device_is_sent_to_gstreamer(kernel):
    camera = kernel.add({"NV12": [(16, 12)]}, planar=True)
    with pytest.raises(SourceError, match=r"uses the multi-planar API.*gst:v4l2src device="):
        opened(camera)


def test_without_linuxpy_it_says_what_to_install(boson, monkeypatch):
    monkeypatch.setitem(sys.modules, "linuxpy.video.device", None)
    with pytest.raises(SourceError, match=r"pip install linuxpy'.*gst:v4l2src device="):
        opened(boson)


def test_a_missing_device_is_named():
    with pytest.raises(SourceError, match="no camera at /dev/video97: check the cable"):
        open_source("v4l2:///dev/video97?size=1280x720&rate=30&format=mjpeg")


def test_a_device_that_is_no_camera_is_named():
    pytest.importorskip("linuxpy")
    for uri in ("v4l2:///dev/null?size=1280x720", "/dev/null"):
        with pytest.raises(SourceError, match="cannot open camera /dev/null: not a camera"):
            open_source(uri)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("size=big", "size=big is not a valid size"),
        ("size=0x720", "size must be at least 1x1"),
        ("rate=-5", "rate_hz must be above 0"),
        ("format=raw7", "unknown pixel format 'raw7', use one of mjpeg"),
        ("exposure=-1", "exposure_us must be 0 or more"),
        ("gain=nan", "gain must be 0 or more"),
        ("zoom=2", "unknown option 'zoom', use size, rate"),
    ],
)
def test_bad_options_are_named(query, message):
    with pytest.raises(SourceError, match=message):
        open_source(f"v4l2:///dev/null?{query}")


def test_nv12_is_handed_on_unconverted_where_that_is_asked_for(boson):
    source = opened(boson, "?format=nv12&size=16x12", keep_nv12=True)
    data = np.arange(18 * 16, dtype=np.uint16).astype(np.uint8).tobytes()
    with Feeder(boson, lambda n: data):
        frame = next(iter(source))
    source.close()
    assert (frame.encoding, frame.width, frame.height) == ("nv12", 16, 12)
    assert frame.image.tobytes() == data


def test_a_size_that_the_camera_does_not_have_is_replaced_and_reported(boson):
    warnings = []
    source = opened(
        boson, "?format=nv12&size=3840x2160", nearest_size=True, on_warning=warnings.append
    )
    with Feeder(boson, lambda n: bytes(18 * 16)):
        frame = next(iter(source))
    source.close()
    assert (frame.width, frame.height) == (16, 12)
    (warning,) = warnings
    assert "does not give 3840x2160 in nv12: it has 16x12; 16x12 is used" in warning
