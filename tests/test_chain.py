"""The chain from end to end: ``windhover up`` in one process, a subscriber in another."""

import json
import os
import platform
import re
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from rosbags.highlevel import AnyReader

from tests.support.fixtures import PATIENCE_S, data_folder, wait_for
from tests.support.processes import ROOT, end, finished, start, windhover

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from windhover.errors import DataError
from windhover_bringup.recording.recovery import recover

SUBSCRIBER = Path(__file__).with_name("support") / "subscriber.py"


@pytest.fixture
def subscriber():
    """Starts a process with only rclpy and vision_msgs that waits for tracks."""

    def listen(count):
        child = start(sys.executable, SUBSCRIBER, count)
        assert child.stdout.readline().strip() == "listening"
        return child

    return listen


def received_by(child, chain):
    """What a subscriber received from a chain; where that is nothing, the chain's own output."""
    out, err = finished(child, PATIENCE_S * 3)
    if child.returncode != 0:
        chain.send_signal(signal.SIGINT)
        pytest.fail(f"{err}\nthe chain wrote:\n{finished(chain)[1][-4000:]}")
    return json.loads(out)


def counts_of(bag):
    """Topic to number of messages of a recording."""
    with AnyReader([bag]) as reader:
        return {c.topic: c.msgcount for c in reader.connections}


def wait_for_recorded(bag, topics):
    """Wait until there are images and more on the disk, of a recording that goes on."""

    def enough():
        try:
            saved = recover(bag).path
        except DataError:
            return False
        counts = counts_of(saved)
        shutil.rmtree(saved)
        least = {topic: 4 if "image" in topic else 1 for topic in topics}
        return all(counts.get(f"/{topic}", 0) >= count for topic, count in least.items())

    wait_for(enough, "a recording", pause_s=0.5)


def looping(tmp_path, camera="thermal"):
    config = tmp_path / "loop.yaml"
    config.write_text(f"/**/{camera}_camera:\n  ros__parameters:\n    loop: true\n")
    return config


@pytest.mark.parametrize("mode", [[], ["--node-per-process"]], ids=["composed", "processes"])
def test_it_says_at_its_start_what_runs_and_how_to_look_at_it(blob_folder, blob_bundle, mode):
    given = ["--source", blob_folder, "--model", blob_bundle, "--frames", 3, *mode]
    child = windhover("up", *given)
    _, errors = finished(child)
    assert child.returncode == 0, errors
    for name in ("model", "backend", "topics", "domain"):
        assert re.search(rf"(?m)^{name} +\S", errors), errors
    assert re.search(rf"(?m)^input +{re.escape(str(blob_folder))}$", errors)
    listens = r"ros2 topic echo /tracks|python examples/mission_consumer\.py"
    assert re.search(rf"(?m)^next +({listens});", errors)


@pytest.mark.parametrize("mode", [[], ["--node-per-process"]], ids=["composed", "processes"])
def test_another_process_receives_tracks(subscriber, blob_folder, blob_bundle, tmp_path, mode):
    listener = subscriber(12)
    out = tmp_path / "out"
    chain = windhover(
        "up", "--config", looping(tmp_path), "--source", blob_folder, "--model", blob_bundle,
        "--rate", 0.3, "--out", out, *mode,
    )  # fmt: skip
    heard = received_by(listener, chain)
    # The recorder has its own process in one mode, and discovers the others in its time.
    topics = ["detections", "tracks", "label_info"]
    topics += ["camera/thermal/camera_info", "camera/thermal/image_raw/compressed"]
    wait_for_recorded(out / "bag", topics)
    assert "frames detected and tracked" in end(chain)
    run = json.loads((out / "metrics.json").read_text())["run"]
    assert run["model"] == "blob 1.0.0"
    assert int(run["frames"]) >= 12
    assert heard["labels"] == ["person", "vehicle"]
    full = [array for array in heard["tracks"] if len(array["objects"]) == 2]
    assert len(full) >= 4
    assert {o["label"] for o in full[0]["objects"]} == {"person", "vehicle"}
    # The clip starts again and again, so ids last a while and not for ever.
    times_seen = Counter(o["id"] for array in full for o in array["objects"])
    assert max(times_seen.values()) >= 3
    for array in heard["tracks"]:
        assert array["frame_id"] == "thermal_camera"
        assert all(o["id"].isdecimal() for o in array["objects"])
        for o in array["objects"]:
            wanted = (24, 24) if o["label"] == "person" else (40, 40)
            assert (o["width"], o["height"]) == pytest.approx(wanted, abs=3)
    assert {f"/{topic}" for topic in topics} <= counts_of(out / "bag").keys()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_a_stop_ends_it_well_with_the_recording_closed(
    subscriber, blob_folder, blob_bundle, tmp_path, number
):
    listener = subscriber(3)
    out = tmp_path / "out"
    chain = windhover(
        "up", "--config", looping(tmp_path), "--source", blob_folder, "--model", blob_bundle,
        "--out", out,
    )  # fmt: skip
    received_by(listener, chain)
    end(chain, number)
    assert counts_of(out / "bag")["/tracks"] >= 3
    assert json.loads((out / "metrics.json").read_text())["run"]["model"] == "blob 1.0.0"


def test_a_recorded_run_holds_every_frame_and_can_be_replayed(blob_folder, blob_bundle, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    chain = windhover(
        "up", "--source", blob_folder, "--model", blob_bundle, "--out", first, "--rate", 0
    )
    out, err = finished(chain)
    assert (chain.returncode, out.splitlines()[0]) == (
        0,
        "30 frames detected and tracked, none dropped",
    ), err
    recorded = boxes_of(first / "bag", "/tracks")
    assert len(recorded) == 30
    again = windhover(
        "replay", first / "bag", "--model", blob_bundle, "--out", second,
        "--truth", truth_of(blob_folder, tmp_path),
    )  # fmt: skip
    _, err = finished(again)
    assert again.returncode == 0, err
    assert boxes_of(second / "bag", "/tracks") == recorded
    metrics = json.loads((second / "metrics.json").read_text())
    assert metrics["detection"]["overall"]["recall"] == 1.0
    assert metrics["detection"]["overall"]["precision"] == 1.0
    assert metrics["tracking"]["overall"]["IDF1"] == 1.0
    assert metrics["run"]["frames"] == "30"
    assert (second / "overlay.mp4").stat().st_size > 1000
    page = (second / "report.html").read_text()
    assert 'src="http' not in page
    assert "HOTA" in page


def boxes_of(bag, topic):
    """Stamp to (id, label, centre) of every message."""
    found = {}
    with AnyReader([bag]) as reader:
        connections = [c for c in reader.connections if c.topic == topic]
        for connection, stamp, data in reader.messages(connections):
            message = reader.deserialize(data, connection.msgtype)
            found[stamp] = [
                (d.id, d.results[0].hypothesis.class_id, d.bbox.center.position.x)
                for d in message.detections
            ]
    return found


def truth_of(folder, tmp_path):
    """What is in the blob folder, as COCO with track ids."""
    names = sorted(path.name for path in folder.iterdir())
    annotations = []
    for step, _ in enumerate(names):
        for track, box in ((1, [20 + 3 * step, 60, 24, 24]), (2, [240 - 3 * step, 150, 40, 40])):
            annotations.append(
                {"id": len(annotations) + 1, "image_id": step, "category_id": track, "bbox": box,
                 "track_id": track}
            )  # fmt: skip
    document = {
        "images": [
            {"id": i, "file_name": name, "width": 320, "height": 256}
            for i, name in enumerate(names)
        ],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "vehicle"}],
    }
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(document))
    return path


def test_evaluate_scores_a_folder_without_ros(blob_folder, blob_bundle, tmp_path):
    out = tmp_path / "scores"
    # A module that fails to import stands for a machine without ROS.
    (tmp_path / "noros").mkdir()
    (tmp_path / "noros" / "rclpy.py").write_text("raise ModuleNotFoundError(name='rclpy')\n")
    environ = {**os.environ, "PYTHONPATH": str(tmp_path / "noros")}
    done = windhover(
        "evaluate", "detections", "--model", blob_bundle, "--images", blob_folder,
        "--truth", truth_of(blob_folder, tmp_path), "--out", out, env=environ,
    )  # fmt: skip
    _, err = finished(done)
    assert done.returncode == 0, err
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["detection"]["overall"]["mAP50"] == pytest.approx(1.0)
    assert metrics["images"] == {"total": 30, "unreadable": []}
    rows = json.loads((out / "predictions.json").read_text())
    assert {row["category_id"] for row in rows} == {1, 2}
    assert (out / "report.html").is_file()


@pytest.mark.data
def test_real_thermal_frames_give_tracks_of_the_released_model(subscriber, tmp_path):
    model = ROOT / "models" / "thermal-n"
    if not (model / "bundle.yaml").is_file():
        pytest.skip("models/thermal-n is not there: train it, or fetch the release")
    images = data_folder() / "hit_uav" / "normal_json"
    flight = tmp_path / "flight"
    flight.mkdir()
    # One low flight by day; its frames are dealt out over the three splits.
    for path in images.glob("*/1_60_30_*.jpg"):
        (flight / path.name).symlink_to(path)
    listener = subscriber(6)
    chain = windhover(
        "up", "--config", looping(tmp_path), "--source", flight, "--model", model,
        "--rate", 0.15,
    )  # fmt: skip
    heard = received_by(listener, chain)
    end(chain)
    labels = {o["label"] for array in heard["tracks"] for o in array["objects"]}
    assert labels & {"person", "vehicle"}
    assert set(heard["labels"]) >= labels
    for array in heard["tracks"]:
        for o in array["objects"]:
            assert 0 < o["width"] < 640
            assert 0 < o["height"] < 512


@pytest.mark.slow
def test_the_released_dlc_runs_on_the_emulator_and_says_what_it_is(tmp_path):
    if platform.machine() != "x86_64":
        pytest.skip("the HTP emulator exists for x86_64 only")
    pytest.importorskip("onnxruntime_qnn", reason="there is no HTP emulator without it")
    out = tmp_path / "out"
    chain = windhover(
        "up", "--source", "scene:demo?seed=1&altitude=40&time=night", "--model", "thermal-n",
        "--backend", "dlc", "--frames", 2, "--out", out,
    )  # fmt: skip
    # It ends by itself; two frames take seconds, or a minute where the machine is full.
    printed, err = finished(chain, 5 * PATIENCE_S)
    assert chain.returncode == 0, err
    assert "2 frames detected and tracked" in printed
    assert "no health monitor, and no frame is skipped" in err
    assert "seconds a frame, for checks and not for flights" in err
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["run"]["device"].startswith("HTP emulator")
    assert metrics["emulator_host_ms"]["inference"]["count"] == 2
    assert "latency_ms" not in metrics
    with AnyReader([out / "bag"]) as reader:
        seen = [raw for c, _, raw in reader.messages() if c.topic == "/detections"]
    assert len(seen) == 2
    # People and cars of the scene; an array of none takes a few dozen bytes.
    assert min(map(len, seen)) > 1000
