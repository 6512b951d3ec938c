"""Bags play without ROS: raw and compressed topics, both storages, and damage."""

import shutil

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from windhover.errors import SourceError
from windhover.sources import Source, open_source

STORE = get_typestore(Stores.ROS2_JAZZY)
IMAGE = STORE.types["sensor_msgs/msg/Image"]
COMPRESSED = STORE.types["sensor_msgs/msg/CompressedImage"]
HEADER = STORE.types["std_msgs/msg/Header"]
TIME = STORE.types["builtin_interfaces/msg/Time"]
STRING = STORE.types["std_msgs/msg/String"]
T0 = 1_700_000_000_123_456_789


def header(stamp_ns: int, frame_id: str = "thermal_optical"):
    return HEADER(TIME(stamp_ns // 10**9, stamp_ns % 10**9), frame_id)


def raw(stamp_ns: int, array: np.ndarray, encoding: str, **changes):
    step = array.strides[0]
    fields = {
        "header": header(stamp_ns),
        "height": array.shape[0],
        "width": array.shape[1],
        "encoding": encoding,
        "is_bigendian": 0,
        "step": step,
        "data": np.frombuffer(array.tobytes(), np.uint8),
    }
    return IMAGE(**(fields | changes))


def compressed(stamp_ns: int, array: np.ndarray, suffix: str, kind: str):
    return COMPRESSED(header(stamp_ns), kind, cv2.imencode(suffix, array)[1].ravel())


def write(path, topics, storage=StoragePlugin.MCAP):
    """``topics``: name -> list of (log time, message)."""
    with Writer(path, version=9, storage_plugin=storage) as writer:
        for topic, messages in topics.items():
            msgtype = messages[0][1].__msgtype__
            connection = writer.add_connection(topic, msgtype, typestore=STORE)
            for log_ns, message in messages:
                writer.write(connection, log_ns, STORE.serialize_cdr(message, msgtype))
    return path


def thermal(number: int) -> np.ndarray:
    return np.full((12, 16), 7000 + number, np.uint16)


def thermal_bag(path, storage=StoragePlugin.MCAP, count=5):
    messages = [
        (T0 + i * 10**8 + 3_000, raw(T0 + i * 10**8, thermal(i), "mono16")) for i in range(count)
    ]
    words = [(T0 + i * 10**8, STRING("hello")) for i in range(3)]
    return write(path, {"/camera/thermal/image_raw": messages, "/words": words}, storage)


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_the_only_image_topic_plays_with_its_headers(tmp_path, storage):
    bag = thermal_bag(tmp_path / "bag", storage)
    file = next(path for path in bag.iterdir() if path.suffix in {".mcap", ".db3"})
    for uri in (bag, file, f"rosbag:{bag}"):
        source = open_source(uri)
        assert isinstance(source, Source)
        assert source.topic == "/camera/thermal/image_raw"
        assert source.length == 5
        assert source.rate_hz == pytest.approx(10, rel=0.01)
        frames = list(source)
        assert [frame.stamp_ns for frame in frames] == [T0 + i * 10**8 for i in range(5)]
        assert {(frame.encoding, frame.frame_id) for frame in frames} == {
            ("mono16", "thermal_optical")
        }
        for i, frame in enumerate(frames):
            np.testing.assert_array_equal(frame.image, thermal(i))


def test_options_override_the_frame_id_and_loop(tmp_path):
    source = open_source(thermal_bag(tmp_path / "bag"), frame_id="other", loop=True, rate_hz=10)
    frames = [frame for frame, _ in zip(source, range(7), strict=False)]
    assert [frame.stamp_ns for frame in frames] == [T0 + i * 10**8 for i in range(7)]
    assert {frame.frame_id for frame in frames} == {"other"}


def test_compressed_topics_play(tmp_path):
    gray = np.tile(np.arange(16, dtype=np.uint8) * 10, (12, 1))
    colour = np.full((12, 16, 3), (40, 90, 200), np.uint8)
    deep = thermal(9)
    bag = write(
        tmp_path / "bag",
        {
            "/camera/compressed": [
                (T0, compressed(T0, colour, ".png", "rgb8; png compressed bgr8")),
                (T0 + 1, compressed(T0 + 1, gray, ".png", "mono8; png compressed ")),
                (T0 + 2, compressed(T0 + 2, deep, ".png", "mono16; png compressed ")),
                (T0 + 3, compressed(T0 + 3, colour, ".jpg", "jpeg")),
            ]
        },
    )
    frames = list(open_source(bag))
    assert [frame.encoding for frame in frames] == ["bgr8", "mono8", "mono16", "bgr8"]
    for frame, image in zip(frames, (colour, gray, deep), strict=False):
        np.testing.assert_array_equal(frame.image, image)
    assert np.abs(frames[3].image.astype(int) - colour).max() <= 4


def test_alpha_in_a_bag_is_not_taken_for_thermal(tmp_path):
    four = np.full((12, 16, 4), (40, 90, 200, 255), np.uint8)
    bag = write(
        tmp_path / "bag",
        {
            "/camera/compressed": [
                (T0, compressed(T0, four, ".png", "bgra8; png compressed bgra8")),
                (T0 + 1, compressed(T0 + 1, four, ".png", "")),
                (T0 + 2, compressed(T0 + 2, four, ".png", "8UC4; png")),
            ]
        },
    )
    frames = list(open_source(bag))
    assert [frame.encoding for frame in frames] == ["bgr8", "bgr8", "8UC4"]
    np.testing.assert_array_equal(frames[0].image, four[..., :3])
    np.testing.assert_array_equal(frames[2].image, four)


def test_a_header_without_a_stamp_takes_the_bag_time(tmp_path):
    bag = write(tmp_path / "bag", {"/image": [(T0, raw(0, thermal(0), "mono16"))]})
    (frame,) = open_source(bag)
    assert frame.stamp_ns == T0


def test_colour_becomes_gray_when_asked(tmp_path):
    image = np.full((4, 6, 3), 77, np.uint8)
    bag = write(tmp_path / "bag", {"/image": [(T0, raw(T0, image, "rgb8"))]})
    (frame,) = open_source(bag, as_gray=True)
    assert (frame.encoding, frame.image.shape) == ("mono8", (4, 6))


def test_a_colour_palette_in_a_bag_is_refused_until_it_is_named(tmp_path):
    heat = np.tile(np.arange(0, 256, 16, np.uint8), (12, 1))
    image = cv2.applyColorMap(heat, cv2.COLORMAP_INFERNO)
    bag = write(tmp_path / "bag", {"/image": [(T0, raw(T0, image, "bgr8"))]})
    with pytest.raises(SourceError, match=r"message 0 of /image .* is in a colour palette"):
        list(open_source(bag, camera="thermal"))
    (frame,) = open_source(f"rosbag:{bag}?palette=ironbow", camera="thermal")
    assert frame.encoding == "mono8"
    (inverted,) = open_source(f"{bag}?palette=black-hot", camera="thermal")
    np.testing.assert_array_equal(inverted.image, 255 - frame.image)


def test_several_topics_must_be_chosen_from(tmp_path):
    bag = write(
        tmp_path / "bag",
        {
            "/rgb": [(T0, raw(T0, np.zeros((4, 6, 3), np.uint8), "bgr8"))],
            "/thermal": [(T0, raw(T0, thermal(0), "mono16"))],
        },
    )
    with pytest.raises(SourceError, match=r"several image topics \(/rgb, /thermal\).*\?topic=/rgb"):
        open_source(bag)
    with pytest.raises(SourceError, match="no image topic /nir, but: /rgb, /thermal"):
        open_source(bag, topic="/nir")
    assert [frame.encoding for frame in open_source(bag, topic="/thermal")] == ["mono16"]
    assert [frame.encoding for frame in open_source(f"rosbag:{bag}?topic=/rgb")] == ["bgr8"]


def test_a_bag_without_images_lists_what_it_has(tmp_path):
    bag = write(tmp_path / "bag", {"/words": [(T0, STRING("x"))]})
    with pytest.raises(SourceError, match="no image topic, only: /words"):
        open_source(bag)


def test_bad_messages_are_named_or_skipped(tmp_path):
    good = raw(T0, thermal(0), "mono16")
    cut = compressed(T0 + 4, np.zeros((64, 64, 3), np.uint8), ".jpg", "jpeg")
    bag = write(
        tmp_path / "bag",
        {
            "/image": [
                (T0, good),
                (T0 + 1, raw(T0 + 1, thermal(1), "vapour16")),
                (T0 + 2, raw(T0 + 2, thermal(2), "mono16", height=4_000_000_000)),
                (T0 + 3, raw(T0 + 3, thermal(3), "mono16")),
            ],
        },
    )
    with pytest.raises(SourceError, match=r"message 1 of /image.*unknown image encoding"):
        list(open_source(bag))
    source = open_source(bag, on_bad="skip")
    assert [frame.index for frame in source] == [0, 3]
    assert source.skipped == 2
    cut.data = cut.data[: len(cut.data) // 2]
    odd = COMPRESSED(header(T0), "h264", np.zeros(9, np.uint8))
    other = write(tmp_path / "other", {"/c": [(T0, cut), (T0 + 1, odd)]})
    with pytest.raises(SourceError, match=r"message 0 of /c.*truncated"):
        list(open_source(other))
    errors = []
    source = open_source(other, on_bad="skip", on_skip=errors.append)
    with pytest.raises(SourceError, match=r"not one readable frame in it: message 0 of /c.*trunc"):
        list(source)
    assert "compressed as 'h264' can't be decoded: use jpeg, png, tiff or webp" in str(errors[1])


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize("part", [0.0, 0.02, 0.4, 0.9])
def test_empty_and_truncated_bags_are_named(tmp_path, storage, part):
    bag = thermal_bag(tmp_path / "bag", storage, count=400)
    file = next(path for path in bag.iterdir() if path.suffix in {".mcap", ".db3"})
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * part)])
    loose = shutil.copy(file, tmp_path / file.name)
    for uri in (bag, loose):
        with pytest.raises(SourceError, match=r"bag.*(empty|cannot open|damaged)") as caught:
            list(open_source(uri))
        assert "\n" not in str(caught.value)


def test_a_folder_that_only_looks_like_a_bag_is_named(tmp_path):
    (tmp_path / "metadata.yaml").write_text("what: ever\n")
    with pytest.raises(SourceError, match="cannot open bag"):
        open_source(tmp_path)
    with pytest.raises(SourceError, match="no such bag"):
        open_source(f"rosbag:{tmp_path}/nowhere")


def window(bag, query):
    return [(f.index, (f.stamp_ns - T0) // 10**8) for f in open_source(f"rosbag:{bag}?{query}")]


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_a_part_of_a_bag_plays_and_frames_keep_their_numbers(tmp_path, storage):
    bag = thermal_bag(tmp_path / "bag", storage, count=10)
    assert window(bag, "start=0.25") == [(k, k) for k in range(3, 10)]
    assert window(bag, "duration=0.25") == [(0, 0), (1, 1), (2, 2)]
    assert window(bag, "start=0.35&duration=0.2") == [(4, 4), (5, 5)]
    assert open_source(f"rosbag:{bag}?start=0.25").length is None


def test_a_part_without_frames_or_beyond_the_end_is_an_error(tmp_path):
    bag = thermal_bag(tmp_path / "bag")
    with pytest.raises(SourceError, match=r"lasts 0.4 s: start at 7 s is beyond it"):
        open_source(f"rosbag:{bag}?start=7")
    with pytest.raises(SourceError, match=r"no.* readable frame in the part from 0.11 s to 0.02 s"):
        list(open_source(f"rosbag:{bag}?start=0.11&duration=0.02"))
    for bad in ("start=-1", "duration=0", "duration=nan", "start=soon"):
        with pytest.raises(SourceError):
            open_source(f"rosbag:{bag}?{bad}")


@pytest.mark.parametrize("mode", ["file", "message"])
def test_compressed_storage_plays(tmp_path, mode):
    from rosbags.rosbag2 import CompressionFormat, CompressionMode

    path = tmp_path / "bag"
    writer = Writer(path, version=9, storage_plugin=StoragePlugin.SQLITE3)
    writer.set_compression(CompressionMode[mode.upper()], CompressionFormat.ZSTD)
    with writer:
        connection = writer.add_connection("/t", IMAGE.__msgtype__, typestore=STORE)
        for k in range(5):
            message = raw(T0 + k * 10**8, thermal(k), "mono16")
            writer.write(connection, T0 + k * 10**8,
                         STORE.serialize_cdr(message, IMAGE.__msgtype__))  # fmt: skip
    frames = list(open_source(path))
    assert [int(frame.image[0, 0]) for frame in frames] == [7000 + k for k in range(5)]
