"""The worker ends when it is stopped, when its link ends and when its work fails."""

import threading

import numpy as np
import pytest

from windhover.errors import BackendError
from windhover.types import Frame
from windhover_ros.links import BlockingSlot

pytest.importorskip("rclpy")

from windhover_detector.worker import FrameWorker

FRAME = Frame(np.zeros((4, 4), np.uint8), "mono8", 1)
PATIENCE_S = 30.0


class Recorder:
    """What a worker calls."""

    def __init__(self) -> None:
        self.frames: list[Frame] = []
        self.ended = threading.Event()
        self.failed = threading.Event()
        self.error: Exception | None = None

    def process(self, frame, taken_ns, watchdog):
        assert taken_ns > 0
        with watchdog.run():
            self.frames.append(frame)

    def fail(self, error):
        self.error = error
        self.failed.set()


def worker_of(link, recorder, process=None):
    return FrameWorker(
        link, process or recorder.process, recorder.ended.set, recorder.fail, PATIENCE_S
    )


def test_it_works_through_a_link_that_ends():
    link, recorder = BlockingSlot(), Recorder()
    worker = worker_of(link, recorder)
    for _ in range(3):
        link.put(FRAME)
    link.close()
    assert recorder.ended.wait(PATIENCE_S)
    assert len(recorder.frames) == 3
    assert worker.stop(0.0)
    assert recorder.error is None


def test_it_stops_while_nothing_comes():
    assert worker_of(BlockingSlot(), Recorder()).stop(0.0)


def test_an_error_ends_it_and_is_handed_on():
    link, recorder = BlockingSlot(), Recorder()

    def process(frame, taken_ns, watchdog):
        raise BackendError("the DSP went away")

    worker = worker_of(link, recorder, process)
    link.put(FRAME)
    assert recorder.failed.wait(PATIENCE_S)
    assert str(recorder.error) == "the DSP went away"
    assert worker.stop(0.0)


def test_a_worker_that_hangs_is_abandoned_and_its_late_error_ignored():
    link, recorder = BlockingSlot(), Recorder()
    begun, release = threading.Event(), threading.Event()

    def process(frame, taken_ns, watchdog):
        with watchdog.run():
            begun.set()
            release.wait(PATIENCE_S)
            raise BackendError("late")

    worker = FrameWorker(link, process, recorder.ended.set, recorder.fail, patience_s=0.01)
    link.put(FRAME)
    assert begun.wait(PATIENCE_S)
    assert not worker.stop(slowest_s=0.001)
    release.set()
    assert worker.stop(0.0)
    assert recorder.error is None
