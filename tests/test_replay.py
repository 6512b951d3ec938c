"""Replayed recordings: byte-for-byte reproducible, in part, under other names, and scored."""

import filecmp
import json
import shutil

import cv2
import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from windhover_bringup.cli import main

STORE = get_typestore(Stores.ROS2_JAZZY)
T0 = 1_700_000_000_000_000_000
STEP = 66_000_000
FRAMES = 24


def picture(step):
    """A person of 24 px and a vehicle of 40 px on a dark ground, both moving."""
    image = np.full((96, 160), 30, np.uint8)
    image[10:34, 10 + 2 * step : 34 + 2 * step] = 230
    image[50:90, 100 - step : 140 - step] = 140
    return image


def truth(frames=FRAMES):
    boxes = (
        [(10 + 2 * k, 10, 24, 24) for k in range(frames)],
        [(100 - k, 50, 40, 40) for k in range(frames)],
    )
    return {
        "images": [
            {"id": k + 1, "file_name": f"{k:04d}.png", "width": 160, "height": 96}
            for k in range(frames)
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "vehicle"}],
        "annotations": [
            {"id": 2 * k + label, "image_id": k + 1, "category_id": label, "track_id": label,
             "bbox": list(boxes[label - 1][k])}
            for k in range(frames) for label in (1, 2)
        ],
    }  # fmt: skip


def messages(kind="sensor_msgs/msg/Image", suffix=".png"):
    """Stamp and serialised message of each frame, raw or compressed by OpenCV."""
    header, time = STORE.types["std_msgs/msg/Header"], STORE.types["builtin_interfaces/msg/Time"]
    for k in range(FRAMES):
        stamp, image = T0 + k * STEP, picture(k)
        head = header(time(stamp // 10**9, stamp % 10**9), "cam")
        if kind == "sensor_msgs/msg/Image":
            data = np.frombuffer(image.tobytes(), np.uint8)
            message = STORE.types[kind](head, 96, 160, "mono8", 0, 160, data)
        else:
            data = cv2.imencode(suffix, image)[1].ravel()
            message = STORE.types[kind](head, f"mono8; {suffix[1:]} compressed ", data)
        yield stamp, STORE.serialize_cdr(message, kind)


def write_bag(
    path,
    topics=("/camera/thermal/image_raw",),
    storage=StoragePlugin.MCAP,
    kind="sensor_msgs/msg/Image",
    suffix=".png",
    compression=None,
):
    writer = Writer(path, version=9, storage_plugin=storage)
    if compression is not None:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    with writer:
        for topic in topics:
            connection = writer.add_connection(topic, kind, typestore=STORE)
            for stamp, message in messages(kind, suffix):
                writer.write(connection, stamp, message)
    return path


def write_mcap(path, compression):
    """The flight as MCAP's own library writes it, in many chunks."""
    from mcap.writer import CompressionType, Writer

    kind = "sensor_msgs/msg/Image"
    with path.open("wb") as file:
        writer = Writer(file, chunk_size=40_000, compression=CompressionType[compression])
        writer.start(profile="ros2")
        layout = STORE.generate_msgdef(kind)[0].encode()
        schema = writer.register_schema(kind, "ros2msg", layout)
        channel = writer.register_channel("/camera/thermal/image_raw", "cdr", schema)
        for stamp, message in messages():
            writer.add_message(channel, stamp, message, stamp)
        writer.finish()
    return path


def replay(bag, out, *more):
    return main(["replay", str(bag), "--out", str(out), *map(str, more)])


def stamps(out):
    with AnyReader([out / "bag"]) as reader:
        tracks = [c for c in reader.connections if c.topic == "/tracks"]
        return [(stamp - T0) // STEP for _, stamp, _ in reader.messages(connections=tracks)]


WRITTEN = ["tracks.txt", "detections.txt", "bag/bag.mcap", "bag/metadata.yaml"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory, blob_bundle):
    """What replay makes of the flight in an uncompressed bag."""
    folder = tmp_path_factory.mktemp("plain")
    bag = write_bag(folder / "flight")
    assert replay(bag, folder / "out", "--model", blob_bundle, "--rate", 0) == 0
    return folder / "out"


@pytest.mark.slow
def test_two_runs_as_fast_as_possible_give_the_same_bytes(tmp_path, blob_bundle, plain):
    bag = write_bag(tmp_path / "flight")
    assert replay(bag, tmp_path / "again", "--model", blob_bundle, "--rate", 0) == 0
    compared = filecmp.cmpfiles(plain, tmp_path / "again", WRITTEN, shallow=False)
    assert compared == (WRITTEN, [], [])
    assert stamps(plain) == list(range(FRAMES))
    rows = np.loadtxt(plain / "tracks.txt", delimiter=",")
    assert set(rows[:, 1]) == {1, 2}
    assert set(rows[:, 7]) == {0, 1}
    assert set(np.loadtxt(plain / "detections.txt", delimiter=",")[:, 1]) == {-1}


COMPRESSED_BAGS = {
    "sqlite3, a file": lambda path: write_bag(
        path, storage=StoragePlugin.SQLITE3, compression=CompressionMode.FILE
    ),
    "sqlite3, a message": lambda path: write_bag(
        path, storage=StoragePlugin.SQLITE3, compression=CompressionMode.MESSAGE
    ),
    "mcap, zstd chunks, rosbags": lambda path: write_bag(path, compression=CompressionMode.STORAGE),
    "mcap, zstd chunks": lambda path: write_mcap(path.with_suffix(".mcap"), "ZSTD"),
    "mcap, lz4 chunks": lambda path: write_mcap(path.with_suffix(".mcap"), "LZ4"),
    "png": lambda path: write_bag(
        path, ["/camera/thermal/image_raw/compressed"], kind="sensor_msgs/msg/CompressedImage"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", COMPRESSED_BAGS)
def test_compressed_without_loss_gives_the_same_bytes(tmp_path, blob_bundle, plain, how):
    bag = COMPRESSED_BAGS[how](tmp_path / "flight")
    assert replay(bag, tmp_path / "out", "--model", blob_bundle, "--rate", 0) == 0
    compared = filecmp.cmpfiles(plain, tmp_path / "out", WRITTEN, shallow=False)
    assert compared == (WRITTEN, [], [])


@pytest.mark.slow
def test_jpeg_is_replayed_too(tmp_path, blob_bundle):
    kind = "sensor_msgs/msg/CompressedImage"
    bag = write_bag(tmp_path / "flight", ["/thermal/compressed"], kind=kind, suffix=".jpeg")
    assert replay(bag, tmp_path / "out", "--model", blob_bundle, "--rate", 0) == 0
    assert stamps(tmp_path / "out") == list(range(FRAMES))
    assert set(np.loadtxt(tmp_path / "out" / "tracks.txt", delimiter=",")[:, 1]) == {1, 2}


@pytest.mark.slow
def test_a_part_of_a_topic_of_another_name_is_scored_alone(tmp_path, blob_bundle, capsys):
    bag = write_bag(tmp_path / "flight", ("/other", "/flir/image"), StoragePlugin.SQLITE3)
    (tmp_path / "truth.json").write_text(json.dumps(truth()))
    out = tmp_path / "out"
    given = ["--model", blob_bundle, "--truth", tmp_path / "truth.json"]
    remap = ["--remap", "/flir/image:=camera/thermal/image_raw"]
    part = ["--start", 5 * STEP / 1e9 - 0.01, "--duration", 10 * STEP / 1e9]
    assert replay(bag, out, *given, *remap, *part) == 0
    assert stamps(out) == list(range(5, 15))
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["detection"]["images"] == 10
    assert metrics["detection"]["overall"]["recall"] == 1.0
    assert metrics["tracking"]["overall"]["IDF1"] == pytest.approx(1.0)
    # Its own recording must not be removed to make room for a new one.
    shutil.copytree(out / "bag", tmp_path / "keep" / "bag")
    again = replay(tmp_path / "keep" / "bag", tmp_path / "keep", "--start", 0.1, *given[:2])
    assert again == 2
    assert "choose another --out" in capsys.readouterr().err
    assert (tmp_path / "keep" / "bag" / "metadata.yaml").is_file()


@pytest.mark.slow
def test_a_bag_is_evaluated_live_with_latency_and_against_a_baseline(tmp_path, blob_bundle, capsys):
    bag = write_bag(tmp_path / "flight")
    (tmp_path / "truth.json").write_text(json.dumps(truth()))
    out = tmp_path / "out"
    # On a busy machine a stage may be silent for longer than a monitor lets pass.
    (tmp_path / "config.yaml").write_text("/**/bringup:\n  ros__parameters: {monitor: false}\n")
    given = ["evaluate", "bag", bag, "--model", blob_bundle, "--truth", tmp_path / "truth.json"]
    given += ["--config", tmp_path / "config.yaml"]
    assert main([*map(str, given), "--out", str(out)]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    dropped, frames = int(metrics["run"]["frames_dropped"]), int(metrics["run"]["frames"])
    assert dropped + frames == FRAMES
    live = metrics["latency_ms"]["capture_to_tracks"]
    assert live["count"] == frames
    assert 0 < live["p50"] <= live["p99"] <= live["worst"]
    assert metrics["detection"]["overall"]["precision"] == 1.0
    assert "tracking" in metrics
    page = (out / "report.html").read_text()
    assert "capture_to_tracks" in page
    capsys.readouterr()
    # A run of the same on no more than a few frames is worse: the gate closes.
    shorter = [*given, "--duration", 8 * STEP / 1e9, "--rate", 0, "--out", tmp_path / "short"]
    compared = ["--baseline", str(out), "--ratio", "1e6", "--latency"]
    code = main([*map(str, shorter), *compared])
    said = capsys.readouterr().out
    assert code == 1
    assert "gone" in said
    assert "latency_ms.capture_to_tracks.p50" in said


@pytest.mark.parametrize(
    ("topics", "more", "reason"),
    [
        (("/words",), [], "no image topic"),
        (("/a", "/b"), [], "several image topics (/a, /b)"),
        (("/a",), ["--start", "60"], "beyond it"),
        (("/a",), ["--remap", "nonsense"], "write /topic/in/the/bag:="),
        (("/a",), ["--remap", "/none:=camera/thermal/image_raw"], "no image topic /none"),
    ],
)
def test_bags_and_options_that_can_not_be_played_are_one_line(
    tmp_path, blob_bundle, capsys, topics, more, reason
):
    if topics == ("/words",):
        with Writer(tmp_path / "bag", version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            kind = "std_msgs/msg/String"
            connection = writer.add_connection("/words", kind, typestore=STORE)
            word = STORE.serialize_cdr(STORE.types[kind]("hello"), kind)
            writer.write(connection, T0, word)
    else:
        write_bag(tmp_path / "bag", topics)
    assert replay(tmp_path / "bag", tmp_path / "out", "--model", blob_bundle, *more) == 2
    err = capsys.readouterr().err
    assert reason in err
    assert err.count("\n") == 1


def test_options_of_a_bag_are_refused_for_what_is_none(tmp_path, blob_bundle, capsys):
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), picture(0))
    assert replay(tmp_path / "images", tmp_path / "out", "--model", blob_bundle, "--start", 1) == 2
    assert "is no rosbag2" in capsys.readouterr().err


@pytest.mark.slow
def test_several_bags_are_scored_alike_by_any_number_of_workers(tmp_path, blob_bundle, capsys):
    pytest.importorskip("distributed")
    flights = [str(write_bag(tmp_path / name)) for name in ("one", "two")]
    (tmp_path / "one.json").write_text(json.dumps(truth()))
    (tmp_path / "two.json").write_text(json.dumps(truth()))
    (tmp_path / "broken.mcap").write_bytes(b"no bag")
    given = ["--model", str(blob_bundle), "--rate", "0", "--truth", str(tmp_path / "{bag}.json")]

    def evaluate(bags, out, *more):
        status = main(["evaluate", "bag", *bags, *given, "--out", str(tmp_path / out), *more])
        return status, capsys.readouterr()

    status, said = evaluate(flights, "both", "--workers", "2")
    assert status == 0, said.err
    scores = json.loads((tmp_path / "both" / "scores.json").read_text())
    assert list(scores["bags"]) == ["one", "two"]
    everything = scores["all"]
    assert everything["frames"] == 2 * FRAMES
    assert everything["detection"]["true_positives"] == 4 * FRAMES
    assert everything["tracking"]["MOTA"] == pytest.approx(1.0)
    assert scores["mean"]["detection"]["mAP50"] == pytest.approx(
        scores["bags"]["one"]["detection"]["mAP50"]
    )
    assert f"{'two':<28}{FRAMES:>8}" in said.out
    # One after the other, without Dask; and one that can't be read stops no other.
    (tmp_path / "broken.json").write_text(json.dumps(truth()))
    status, said = evaluate([*flights, str(tmp_path / "broken.mcap")], "again")
    assert status == 2
    # On a slow machine there are lines of progress before it.
    last = said.err.splitlines()[-1]
    assert last.startswith("error: 1 of 3 recordings could not be scored; the first is broken: ")
    again = json.loads((tmp_path / "again" / "scores.json").read_text())
    assert "failure" in again["bags"].pop("broken")
    assert again["bags"] == scores["bags"]
    for name in ("one", "two"):
        written = [*WRITTEN, "predictions.json"]
        folders = tmp_path / "both" / name, tmp_path / "again" / name
        assert filecmp.cmpfiles(*folders, written, shallow=False) == (written, [], [])
    assert not list(tmp_path.glob("*/.*"))


@pytest.mark.parametrize(
    ("bags", "more", "reason"),
    [
        (["a/x", "b/x"], [], "two recordings are called x"),
        (["a/x", "b/y"], ["--truth", "t.json"], "several recordings have a truth each"),
        (["a/x", "b/y"], ["--truth", "{bag}.json"], "y.json: there is no such truth"),
        (["a/x", "."], [], ". is no rosbag2"),
        (["a/x", "b/y"], ["--rate", "1", "--workers", "2"], "give --rate 0"),
        (["a/x"], ["--cluster", "here:1"], "is not such as tcp://"),
    ],
)
def test_several_bags_that_can_not_be_scored_are_one_line(
    tmp_path, blob_bundle, capsys, monkeypatch, bags, more, reason
):
    monkeypatch.chdir(tmp_path)
    for folder in ("a/x", "b/x", "b/y"):
        (tmp_path / folder).parent.mkdir(exist_ok=True)
        write_bag(tmp_path / folder)
    (tmp_path / "x.json").write_text(json.dumps(truth()))
    given = ["--model", str(blob_bundle), "--out", "out", "--rate", "0", *more]
    assert main(["evaluate", "bag", *bags, *given]) == 2
    err = capsys.readouterr().err
    assert reason in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()
