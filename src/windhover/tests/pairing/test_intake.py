import threading

import numpy as np

from tests.support.fixtures import wait_for
from windhover.pairing.intake import LIVE_CAPACITY, Intake
from windhover.types import Frame

IMAGE = np.zeros((1, 1), np.uint8)


def frame(stamp):
    return Frame(IMAGE, "mono8", stamp, "x", 0)


def test_live_frames_come_as_they_arrive_and_the_oldest_are_dropped():
    intake = Intake()
    intake.thermal.put(frame(9))
    intake.rgb.put(frame(1))
    assert [intake.take(0).frame.stamp_ns for _ in range(2)] == [9, 1]
    assert intake.take(0) is None
    for stamp in range(LIVE_CAPACITY + 3):
        intake.rgb.put(frame(stamp))
    assert intake.dropped == 3
    assert intake.take(0).frame.stamp_ns == 3


def test_lossless_frames_come_in_the_order_of_their_stamps():
    """However late one camera's thread is."""
    intake = Intake(lossless=True)
    given = {"rgb": [5, 15, 25, 35], "thermal": [0, 10, 20, 30]}

    def give(modality, link):
        for stamp in given[modality]:
            link.put(frame(stamp))
        link.close()

    threads = [
        threading.Thread(target=give, args=(modality, link))
        for modality, link in (("rgb", intake.rgb), ("thermal", intake.thermal))
    ]
    threads[0].start()
    wait_for(lambda: len(intake.rgb.waiting) == 2, "a full queue")
    assert intake.take(0) is None
    threads[1].start()
    taken = []
    while arrival := intake.take(5):
        taken.append((arrival.modality, arrival.frame.stamp_ns))
    for thread in threads:
        thread.join(5)
    assert [stamp for _, stamp in taken] == [0, 5, 10, 15, 20, 25, 30, 35]
    assert [modality for modality, _ in taken] == ["thermal", "rgb"] * 4
    assert intake.dropped == 0


def test_after_close_no_frame_is_accepted():
    intake = Intake(lossless=True)
    intake.thermal.close()
    assert not intake.thermal.put(frame(1))
    intake.rgb.put(frame(2))
    assert intake.take(0).frame.stamp_ns == 2
    assert intake.thermal.ended
    assert not intake.rgb.ended
