"""Two cameras, the pairing node, an RGBT detector and the tracker, through real DDS."""

import json
import time

import pytest
from rosbags.highlevel import AnyReader

from test.support.fixtures import PATIENCE_S
from test.test_chain import boxes_of, end, heard_by, stranger, windhover

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

__all__ = ["stranger"]


def config_of(tmp_path, calibration):
    config = tmp_path / "two.yaml"
    config.write_text(
        "/**/rgb_camera:\n  ros__parameters: {loop: true}\n"
        "/**/thermal_camera:\n  ros__parameters: {loop: true}\n"
        f"/**/pairing:\n  ros__parameters: {{calibration: {calibration}, wait_s: 1.0}}\n"
    )
    return config


@pytest.mark.parametrize("mode", [[], ["--node-per-process"]], ids=["composed", "processes"])
def test_another_process_receives_tracks_of_both_cameras(
    stranger, two_cameras, rgbt_bundle, tmp_path, mode
):
    listener = stranger(24)
    out = tmp_path / "out"
    folder = two_cameras.folder
    chain = windhover(
        "up", "--config", config_of(tmp_path, two_cameras.calibration), "--source",
        f"rgb={folder / 'rgb'},thermal={folder / 'thermal'}", "--model", rgbt_bundle,
        "--rate", 0.3, "--out", out, *mode,
    )  # fmt: skip
    try:
        heard = heard_by(listener)
        # The recorder is a process of its own in one mode; it finds both cameras by now.
        time.sleep(2)
    finally:
        end(chain)
    full = [array for array in heard["tracks"] if len(array["objects"]) == 2]
    assert len(full) >= 4
    # The person is in the thermal picture only, the vehicle in RGB only.
    assert {o["label"] for o in full[0]["objects"]} == {"person", "vehicle"}
    assert {array["frame_id"] for array in heard["tracks"]} == {"rgb_camera"}
    with AnyReader([out / "bag"]) as reader:
        recorded = {c.topic: c.msgcount for c in reader.connections}
    for camera in ("rgb", "thermal"):
        assert recorded[f"/camera/{camera}/image_raw/compressed"] > 3
    assert recorded["/tracks"] > 3


def test_a_recorded_run_of_both_can_be_flown_again(two_cameras, rgbt_bundle, tmp_path):
    config = tmp_path / "cal.yaml"
    # Made pictures have no ground by which the camera's motion could be told.
    config.write_text(
        f"/**/pairing:\n  ros__parameters: {{calibration: {two_cameras.calibration}}}\n"
        "/**/tracker:\n  ros__parameters: {bytetrack.camera_motion: false}\n"
    )
    first, second = tmp_path / "first", tmp_path / "second"
    chain = windhover(
        "up", "--config", config, "--source", two_cameras.folder, "--model", rgbt_bundle,
        "--rate", 0, "--out", first,
    )  # fmt: skip
    out, err = chain.communicate(timeout=PATIENCE_S * 2)
    assert (chain.returncode, out.splitlines()[0]) == (0, "12 frames detected and tracked"), err
    again = windhover(
        "replay", first / "bag", "--config", config, "--model", rgbt_bundle, "--out", second
    )
    _, err = again.communicate(timeout=PATIENCE_S * 2)
    assert again.returncode == 0, err
    before, after = (boxes_of(folder / "bag", "/tracks") for folder in (first, second))
    assert before.keys() == after.keys()
    for stamp, rows in before.items():
        assert [row[:2] for row in after[stamp]] == [row[:2] for row in rows]
        for (_, _, x), (_, _, wanted) in zip(after[stamp], rows, strict=True):
            assert x == pytest.approx(wanted, abs=0.6)
    run = json.loads((second / "metrics.json").read_text())["run"]
    assert run["pairs"] == "12"
    assert run["registration"].startswith("fixed homography")
    assert (second / "overlay.mp4").stat().st_size > 1000


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("v4l2:///dev/video0", "the model is for two cameras"),
        ("rgb=scene:empty,thermal=/nowhere/at/all", "/nowhere/at/all"),
    ],
)
def test_a_wrong_source_is_one_line_and_status_2(rgbt_bundle, source, words):
    chain = windhover("up", "--source", source, "--model", rgbt_bundle)
    _, err = chain.communicate(timeout=PATIENCE_S)
    assert chain.returncode == 2
    assert words in err.splitlines()[-1]
    assert "Traceback" not in err
