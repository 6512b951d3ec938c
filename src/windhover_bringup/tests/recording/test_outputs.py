import numpy as np
import pytest

from windhover.errors import DataError
from windhover.types import Detections, Frame, Tracks

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from windhover_bringup.recording import outputs


def test_whatever_goes_wrong_in_drawing_is_told_at_the_end_and_nothing_waits_for_it(
    tmp_path, monkeypatch
):
    """More frames than may wait to be drawn, and none must be left out."""

    def broken(*_):
        raise ValueError("no such colour")

    monkeypatch.setattr(outputs, "draw", broken)
    show = outputs.OverlayVideoWriter(tmp_path, 30.0)
    for index in range(40):
        frame = Frame(np.zeros((8, 8), np.uint8), "mono8", index, "cam", index)
        show.result(frame, Detections(), Tracks(), ("person",))
    with pytest.raises(DataError, match="the video ended: ValueError: no such colour"):
        show.close()
    assert len(show.results) == 40
