import sys
import tracemalloc

import numpy as np
import pytest

from windhover.errors import ConfigError
from windhover.types import Detections, Frame, Tracks

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from mcap.reader import make_reader
from rosbags.highlevel import AnyReader

from tests.support.processes import start
from windhover_bringup.recording.bag import BagWriter, Topic
from windhover_bringup.recording.recovery import recover
from windhover_bringup.recording.run_recorder import WAITING, RunRecorder
from windhover_bringup.recording.topics import RunTopics

LABELS = ("person", "vehicle")
STAMP = 1_700_000_000_000_000_000


def frame(index, encoding="mono16"):
    rng = np.random.default_rng(index)
    if encoding == "mono16":
        image = rng.integers(20000, 40000, (64, 80), np.uint16)
    else:
        image = np.full((64, 80, 3), index, np.uint8)
    return Frame(image, encoding, STAMP + index * 40_000_000, "cam", index)


def found(index):
    boxes = np.array([[index, 1, index + 10.25, 21]], np.float32)
    return (
        Detections(boxes, np.array([0.75], np.float32), np.array([1], np.int32)),
        Tracks(
            boxes, np.array([0.75], np.float32), np.array([1], np.int32), np.array([7], np.int64)
        ),
    )


def no_lens(_frame):
    return None


def record(path, count=5, camera="thermal", encoding="mono16", namespace=""):
    topics = RunTopics.by_contract([camera], namespace)
    recorder = RunRecorder(path, {camera: no_lens}, topics, threshold=0.25, lossless=True)
    for index in range(count):
        recorder.result(frame(index, encoding), *found(index), LABELS)
    recorder.close()
    assert recorder.error is None


def read(path):
    topics = {}
    with AnyReader([path]) as reader:
        for connection, stamp, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            topics.setdefault(connection.topic, []).append((stamp, message))
        digests = {c.topic: c.digest for c in reader.connections}
    return topics, digests


def test_a_recording_reads_back_with_the_images_stamps(tmp_path):
    record(tmp_path / "bag")
    topics, digests = read(tmp_path / "bag")
    assert set(topics) == {
        "/detections", "/tracks", "/label_info", "/camera/thermal/camera_info",
        "/camera/thermal/image_raw/compressed", "/preview/thermal/compressed",
    }  # fmt: skip
    for name in set(topics) - {"/label_info"}:
        assert [stamp for stamp, _ in topics[name]] == [STAMP + i * 40_000_000 for i in range(5)]
        for stamp, message in topics[name]:
            header = message.header
            assert header.stamp.sec * 10**9 + header.stamp.nanosec == stamp
            assert header.frame_id == "cam"
    track = topics["/tracks"][3][1].detections[0]
    assert (track.id, track.results[0].hypothesis.class_id) == ("7", "vehicle")
    assert (track.bbox.center.position.x, track.bbox.size_x) == (8.125, 10.25)
    assert topics["/detections"][3][1].detections[0].id == ""
    (labels,) = topics["/label_info"]
    assert [c.class_name for c in labels[1].class_map] == list(LABELS)
    # The type hash of upstream's vision_msgs 4.1: a Jazzy machine plays this.
    assert digests["/tracks"] == (
        "RIHS01_214274120007f4a683866481336b70310268cfa107aebe9d594a6acf75bda968"
    )


def test_thermal_images_are_recorded_without_loss(tmp_path):
    import cv2

    record(tmp_path / "bag")
    topics, _ = read(tmp_path / "bag")
    for index, (_, message) in enumerate(topics["/camera/thermal/image_raw/compressed"]):
        assert message.format.startswith("mono16; png")
        image = cv2.imdecode(np.asarray(message.data), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(image, frame(index).image)


def test_colour_is_recorded_as_jpeg_and_a_namespace_is_kept(tmp_path):
    record(tmp_path / "bag", 2, "rgb", "bgr8", namespace="/drone1/")
    topics, _ = read(tmp_path / "bag")
    assert "/drone1/tracks" in topics
    (_, message), _ = topics["/drone1/camera/rgb/image_raw/compressed"]
    assert message.format == "bgr8; jpeg compressed bgr8"


def test_an_earlier_recording_is_never_overwritten(tmp_path):
    record(tmp_path / "bag")
    before = (tmp_path / "bag" / "bag.mcap").read_bytes()
    with pytest.raises(ConfigError, match="exists already"):
        BagWriter(tmp_path / "bag")
    record(tmp_path / "bag")
    assert (tmp_path / "bag" / "bag.mcap").read_bytes() == before
    assert len(read(tmp_path / "bag_1")[0]["/tracks"]) == len(read(tmp_path / "bag")[0]["/tracks"])


def test_any_failure_in_recording_is_reported_and_nothing_waits_for_it(tmp_path):
    """More frames than may wait to be compressed, and none may be dropped."""
    reports = []

    def broken(_frame):
        raise ValueError("no such lens")

    recorder = RunRecorder(
        tmp_path / "bag",
        {"thermal": broken},
        lossless=True,
        report=lambda *given: reports.append(given),
    )
    for index in range(WAITING + 2):
        recorder.result(frame(index), *found(index), LABELS)
    recorder.close()
    assert recorder.error == "recording stopped: no such lens"
    assert reports[0] == (recorder.error, True)
    assert read(tmp_path / "bag")


def test_what_was_recorded_before_kill_9_is_recovered(tmp_path):
    bag = tmp_path / "bag"
    script = tmp_path / "killed.py"
    script.write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from windhover.types import Detections, Frame, Tracks\n"
        "from windhover_bringup.recording.run_recorder import RunRecorder\n"
        "recorder = RunRecorder(Path(sys.argv[1]), {'thermal': lambda _: None}, lossless=True)\n"
        "for i in range(10**6):\n"
        "    image = np.random.default_rng(i).integers(0, 65535, (512, 640), np.uint16)\n"
        "    frame = Frame(image, 'mono16', 10**18 + i, 'cam', i)\n"
        "    recorder.result(frame, Detections(), Tracks(), ('person',))\n"
        "    print(i, flush=True)\n"
    )
    child = start(sys.executable, script, bag, stderr=None)
    # A frame is more than half a MiB, so chunks are written all the time.
    while (bag / "bag.mcap").exists() is False or (bag / "bag.mcap").stat().st_size < 3 << 20:
        assert child.poll() is None
        child.stdout.readline()
    child.kill()
    child.wait()
    assert not (bag / "metadata.yaml").exists()
    saved = recover(bag)
    topics, _ = read(saved.path)
    assert len(topics["/tracks"]) >= 3
    assert sum(len(messages) for messages in topics.values()) == saved.messages
    images = topics["/camera/thermal/image_raw/compressed"]
    assert [stamp for stamp, _ in images] == [10**18 + i for i in range(len(images))]
    assert next(c for c in _connections(saved.path) if c.topic == "/label_info")


def _connections(path):
    with AnyReader([path]) as reader:
        return list(reader.connections)


def test_thermal_has_a_preview_that_a_person_can_read(tmp_path):
    import cv2

    record(tmp_path / "bag")
    topics, _ = read(tmp_path / "bag")
    for _, message in topics["/preview/thermal/compressed"]:
        assert message.format == "mono8; jpeg compressed mono8"
        picture = cv2.imdecode(np.asarray(message.data), cv2.IMREAD_UNCHANGED)
        assert (picture.shape, picture.dtype) == ((64, 80), np.uint8)
        # Noise over 20,000 counts fills the range of 8 bits.
        assert picture.min() < 20
        assert picture.max() > 235


def test_chunks_are_compressed_and_metadata_is_in_the_file_and_beside_it(tmp_path):
    import yaml
    from mcap.reader import make_reader

    record(tmp_path / "bag")
    with (tmp_path / "bag" / "bag.mcap").open("rb") as stream:
        reader = make_reader(stream)
        assert {c.compression for c in reader.get_summary().chunk_indexes} == {"zstd"}
        (inside,) = [m.metadata for m in reader.iter_metadata() if m.name == "rosbag2"]
        for _, channel, message in reader.iter_messages():
            assert message.publish_time == message.log_time >= STAMP
            assert channel.metadata["topic_type_hash"].startswith("RIHS01_")
    beside = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())
    beside = beside["rosbag2_bagfile_information"]
    assert yaml.safe_load(inside["serialized_metadata"]) == beside
    assert (beside["ros_distro"], beside["storage_identifier"]) == ("jazzy", "mcap")
    qos = {
        each["topic_metadata"]["name"]: each["topic_metadata"]["offered_qos_profiles"][0]
        for each in beside["topics_with_message_count"]
    }
    image = qos["/camera/thermal/image_raw/compressed"]
    assert (image["depth"], image["reliability"]) == (1, "best_effort")
    assert (qos["/label_info"]["depth"], qos["/label_info"]["durability"]) == (1, "transient_local")
    assert (qos["/tracks"]["depth"], qos["/tracks"]["reliability"]) == (10, "reliable")


def test_live_messages_have_the_time_of_recording_as_log_time(tmp_path):
    """So that a player keeps their order and pace whatever their stamps are."""
    import time

    from mcap.reader import make_reader

    before = time.time_ns()
    recorder = RunRecorder(tmp_path / "bag", {"thermal": no_lens})
    recorder.result(frame(0), *found(0), LABELS)
    recorder.close()
    with (tmp_path / "bag" / "bag.mcap").open("rb") as stream:
        times = [(m.log_time, m.publish_time) for *_, m in make_reader(stream).iter_messages()]
    assert {publish for _, publish in times} == {STAMP}
    assert all(before <= log <= time.time_ns() for log, _ in times)


def test_a_file_that_could_not_be_written_gets_no_index(tmp_path, monkeypatch):
    writer = BagWriter(tmp_path / "bag")
    topic = RunTopics.by_contract([]).tracks
    monkeypatch.setattr(writer, "_file", _Refusing(writer._file))
    monkeypatch.setattr(writer._writer, "_Writer__stream", writer._file)
    with pytest.raises(OSError, match="No space"):
        writer.write(topic, 1, 1, bytes(2 << 20))
    with pytest.raises(OSError, match="could not be written"):
        writer.close()
    assert not (tmp_path / "bag" / "metadata.yaml").exists()
    assert writer._file.closed


class _Refusing:
    """A file of which the disk is full."""

    def __init__(self, file):
        self._file = file

    def write(self, _data):
        raise OSError(28, "No space left on device")

    def __getattr__(self, name):
        return getattr(self._file, name)


def bag_of_chunks(path, count, packed=True):
    """A recording whose messages are two seconds apart: a chunk each."""
    bag = BagWriter(path)
    if not packed:
        bag._writer._Writer__chunk_indices = []
    topics = [Topic(f"/camera_{i}/camera_info", "sensor_msgs/msg/CameraInfo") for i in range(8)]
    for index in range(count):
        for topic in topics:
            bag.write(topic, STAMP + index * 2 * 10**9, STAMP, bytes(40))
    return bag


def test_packed_indices_give_the_same_file(tmp_path):
    for name in ("packed", "plain"):
        bag_of_chunks(tmp_path / name / "bag", 20, name == "packed").close()
    packed, plain = (tmp_path / name / "bag/bag.mcap" for name in ("packed", "plain"))
    assert packed.read_bytes() == plain.read_bytes()
    with packed.open("rb") as file:
        summary = make_reader(file).get_summary()
    assert len(summary.chunk_indexes) >= 20


def test_a_long_recording_holds_little_memory(tmp_path):
    """A chunk a second, eight topics: 150 bytes of index each, not two KiB of objects."""
    bag = bag_of_chunks(tmp_path / "bag", 1)
    topic = Topic("/camera_0/camera_info", "sensor_msgs/msg/CameraInfo")
    tracemalloc.start()
    try:
        for index in range(1, 1001):
            bag.write(topic, STAMP + index * 2 * 10**9, STAMP, bytes(40))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    bag.close()
    assert kept / 1000 < 300
