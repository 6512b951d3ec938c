"""Videos play at capture time, and what was written survives errors and kills."""

import signal
import subprocess
import sys

import av
import numpy as np
import pytest

from tests.support.processes import start
from windhover.errors import DataError
from windhover.imaging import video
from windhover.imaging.video import VideoWriter
from windhover.sources import open_source

T0 = 1_700_000_000_000_000_000


def picture(number: int, shape=(96, 128, 3)) -> np.ndarray:
    image = np.full(shape, (40, 90, 200), np.uint8)
    image[:, : 8 * number] = (20, 160, 60)
    return image


def test_the_file_is_h264_for_browsers_with_capture_times(tmp_path):
    path = tmp_path / "new" / "clip.mp4"
    times_ms = [0, 50, 100, 300, 350]
    with VideoWriter(path, 20) as writer:
        for number, time_ms in enumerate(times_ms):
            writer.write(picture(number), T0 + time_ms * 10**6)
        assert not path.exists()
        assert writer.partial_path.exists()
    assert writer.count == 5
    assert list(path.parent.iterdir()) == [path]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.pix_fmt == "yuv420p"
        assert stream.frames == 5
        assert stream.start_time == 0
    source = open_source(path, start_stamp_ns=T0)
    frames = list(source)
    assert [frame.stamp_ns for frame in frames] == [T0 + time_ms * 10**6 for time_ms in times_ms]
    for number, frame in enumerate(frames):
        off = np.abs(frame.image.astype(int) - picture(number))[:, 8 * number + 4 :]
        assert off.max() <= 10, number


def test_without_an_h264_encoder_it_is_mpeg4(tmp_path, monkeypatch):
    monkeypatch.setattr(video, "_CODECS", (("no-such-codec", {}), *video._CODECS[1:]))
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, 20) as writer:
        for number in range(5):
            writer.write(picture(number), T0 + number * 50_000_000)
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    frames = list(open_source(path))
    assert [frame.stamp_ns for frame in frames] == [i * 50_000_000 for i in range(5)]
    assert np.abs(frames[4].image.astype(int) - picture(4))[:, 40:].max() <= 16


def test_the_index_is_complete_so_that_players_can_seek(tmp_path):
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, 10) as writer:
        for number in range(25):
            writer.write(picture(number % 10), T0 + number * 10**8)
    with av.open(str(path)) as container:
        assert container.duration == pytest.approx(2.5e6, rel=0.01)
        container.seek(2_100_000)
        assert 1.0 < next(container.decode(video=0)).time <= 2.1


def test_stamps_that_do_not_advance_are_put_a_period_on(tmp_path):
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, 10) as writer:
        for stamp_ms in (0, 100, 100, 50, 400):
            writer.write(picture(1), T0 + stamp_ms * 10**6)
    stamps = [frame.stamp_ns // 10**6 for frame in open_source(path)]
    assert stamps == [0, 100, 200, 300, 400]


def test_odd_and_changing_sizes_are_fitted(tmp_path):
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, 10) as writer:
        writer.write(picture(2, (95, 127, 3)), T0)
        writer.write(picture(2, (60, 80, 3)), T0 + 10**8)
        writer.write(picture(2, (200, 500, 3))[:, ::2], T0 + 2 * 10**8)
    assert [frame.image.shape for frame in open_source(path)] == [(96, 128, 3)] * 3


def test_an_error_keeps_what_was_written(tmp_path):
    path = tmp_path / "clip.mp4"

    def write_and_fail():
        with VideoWriter(path, 10) as writer:
            for number in range(3):
                writer.write(picture(number), T0 + number * 10**8)
            raise RuntimeError("detector failed")

    with pytest.raises(RuntimeError, match="detector failed"):
        write_and_fail()
    assert len(list(open_source(path))) == 3


KILLED = """
import sys, numpy as np
from windhover.imaging import video
from windhover.imaging.video import VideoWriter
writer = VideoWriter(sys.argv[1], 10)
noise = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
for number in range(65):
    writer.write(np.roll(noise, number, 1), number * 10**8)
print("written", flush=True)
sys.stdin.read()
"""


def test_a_killed_process_leaves_a_playable_file(tmp_path):
    path = tmp_path / "clip.mp4"
    child = start(sys.executable, "-c", KILLED, path, stdin=subprocess.PIPE)
    assert child.stdout.readline() == "written\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert not path.exists()
    kept = list(open_source(tmp_path / "clip.partial.mp4", on_bad="skip"))
    assert len(kept) >= 40


def test_nothing_written_leaves_nothing(tmp_path):
    with VideoWriter(tmp_path / "clip.mp4", 10):
        pass
    assert list(tmp_path.iterdir()) == []


def test_bad_input_is_named(tmp_path):
    with pytest.raises(DataError, match=r"must end in \.mp4"):
        VideoWriter(tmp_path / "clip.gif", 10)
    with pytest.raises(DataError, match="rate 0 is not above 0"):
        VideoWriter(tmp_path / "clip.mp4", 0)
    with (
        VideoWriter(tmp_path / "clip.mp4", 10) as writer,
        pytest.raises(DataError, match=r"takes \(H, W, 3\) uint8"),
    ):
        writer.write(np.zeros((4, 4), np.uint8), 0)
    (tmp_path / "file").write_text("")
    with (
        VideoWriter(tmp_path / "file" / "clip.mp4", 10) as writer,
        pytest.raises(DataError, match="cannot write video"),
    ):
        writer.write(picture(0), 0)
