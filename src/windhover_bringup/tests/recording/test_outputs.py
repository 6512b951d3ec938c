"""What a run in one process leaves in its folder."""

import json

import numpy as np
import pytest

from windhover.errors import DataError
from windhover.types import Detections, Frame, Tracks

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from mcap.reader import make_reader

from tests.support.fixtures import wait_for
from windhover_bringup.recording import outputs
from windhover_bringup.runtime.composed import Pipeline
from windhover_bringup.runtime.config import Config
from windhover_ros.runner import spin_in_threads

STATUS = {"/diagnostics", "/health", "/heartbeat"}


def run(folder, blob_bundle, blob_folder, rate, keep, until=None):
    """Run the chain once over a clip and write its outputs."""
    config = (
        Config()
        .with_values("detector", model=str(blob_bundle))
        .with_values("thermal_camera", source=str(blob_folder), rate=rate, loop=until is not None)
    )
    pipeline = Pipeline(config)
    written = outputs.RunOutputs(folder, pipeline, keep=keep)
    try:
        pipeline.start()
        with spin_in_threads([*pipeline.nodes, *written.nodes]):
            wait_for((lambda: until(written)) if until else pipeline.finished, "the end")
    finally:
        pipeline.close()
        written.close()
    written.write_metrics()


def topics(bag):
    with (bag / f"{bag.name}.mcap").open("rb") as stream:
        return {channel.topic for channel in make_reader(stream).get_summary().channels.values()}


def test_a_second_run_overwrites_nothing(ros, tmp_path, blob_bundle, blob_folder):
    out = tmp_path / "out"
    for _ in range(2):
        run(out, blob_bundle, blob_folder, 0.0, keep=True)
    assert {p.name for p in out.iterdir()} == {"bag", "bag_1", "metrics.json", "metrics_1.json"}
    first, second = out / "bag" / "bag.mcap", out / "bag_1" / "bag_1.mcap"
    # No frame was lost, so that the same frames give the same bytes but for the stamps of now.
    assert first.stat().st_size == pytest.approx(second.stat().st_size, rel=0.05)
    assert json.loads((out / "metrics_1.json").read_text())["run"]["frames"] == "30"


def test_a_live_run_is_recorded_with_its_health(ros, tmp_path, blob_bundle, blob_folder):
    seen = set()

    def all_recorded(written):
        bag = written.recorder._bag
        seen.update(bag._channels if bag is not None else ())
        return seen >= STATUS

    run(tmp_path, blob_bundle, blob_folder, 0.3, keep=False, until=all_recorded)
    assert STATUS | {"/tracks", "/preview/thermal/compressed"} <= topics(tmp_path / "bag")


def test_a_run_that_loses_no_frame_is_recorded_without_what_depends_on_the_clock(
    ros, tmp_path, blob_bundle, blob_folder
):
    run(tmp_path, blob_bundle, blob_folder, 0.0, keep=False)
    assert not STATUS & topics(tmp_path / "bag")


def test_any_failure_in_drawing_is_raised_at_the_end_and_nothing_waits_for_it(
    tmp_path, monkeypatch
):
    """More frames than may wait to be drawn, and none may be dropped."""

    def broken(*_):
        raise ValueError("no such colour")

    monkeypatch.setattr(outputs, "draw_results", broken)
    video = outputs.OverlayVideoWriter(tmp_path, 30.0)
    for index in range(40):
        frame = Frame(np.zeros((8, 8), np.uint8), "mono8", index, "cam", index)
        video.result(frame, Detections(), Tracks(), ("person",))
    with pytest.raises(DataError, match="the video ended: ValueError: no such colour"):
        video.close()
    assert len(video.results) == 40
