"""Two cameras, the pairing node, an RGBT detector and the tracker, through real DDS."""

import json

import pytest

from tests.support.processes import end, finished, windhover
from tests.test_chain import boxes_of, received_by, subscriber, wait_for_recorded

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

__all__ = ["subscriber"]


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
    subscriber, two_cameras, rgbt_bundle, tmp_path, mode
):
    listener = subscriber(12)
    out = tmp_path / "out"
    folder = two_cameras.folder
    chain = windhover(
        "up", "--config", config_of(tmp_path, two_cameras.calibration), "--source",
        f"rgb={folder / 'rgb'},thermal={folder / 'thermal'}", "--model", rgbt_bundle,
        "--rate", 0.3, "--out", out, *mode,
    )  # fmt: skip
    heard = received_by(listener, chain)
    images = [f"camera/{camera}/image_raw/compressed" for camera in ("rgb", "thermal")]
    wait_for_recorded(out / "bag", ["tracks", *images])
    end(chain)
    full = [array for array in heard["tracks"] if len(array["objects"]) == 2]
    assert len(full) >= 4
    # The person is in the thermal picture only, the vehicle in RGB only.
    assert {o["label"] for o in full[0]["objects"]} == {"person", "vehicle"}
    assert {array["frame_id"] for array in heard["tracks"]} == {"rgb_camera"}


def test_a_recorded_run_of_both_can_be_replayed(two_cameras, rgbt_bundle, tmp_path):
    config = tmp_path / "cal.yaml"
    # Drawn pictures have no ground by which to measure the camera's motion.
    config.write_text(
        f"/**/pairing:\n  ros__parameters: {{calibration: {two_cameras.calibration}}}\n"
        "/**/tracker:\n  ros__parameters: {bytetrack.camera_motion: false}\n"
    )
    first, second = tmp_path / "first", tmp_path / "second"
    chain = windhover(
        "up", "--config", config, "--source", two_cameras.folder, "--model", rgbt_bundle,
        "--rate", 0, "--out", first,
    )  # fmt: skip
    out, err = finished(chain)
    assert chain.returncode == 0, err
    assert out.splitlines()[0] == "12 frames detected and tracked, none dropped"
    again = windhover(
        "replay", first / "bag", "--config", config, "--model", rgbt_bundle, "--out", second
    )
    _, err = finished(again)
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
    _, err = finished(chain)
    assert chain.returncode == 2
    assert words in err.splitlines()[-1]
    assert "Traceback" not in err
