"""Bags as recorders leave them: without metadata.yaml, split, interrupted, with previews."""

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from windhover.errors import SourceError
from windhover.sources import open_source

STORE = get_typestore(Stores.ROS2_JAZZY)
T0 = 1_700_000_000_000_000_000
KIND = "sensor_msgs/msg/Image"


def image(number):
    time, header = STORE.types["builtin_interfaces/msg/Time"], STORE.types["std_msgs/msg/Header"]
    data = np.full(16, number, np.uint8)
    stamp = header(time(T0 // 10**9, number), "cam")
    return STORE.serialize_cdr(STORE.types[KIND](stamp, 4, 4, "mono8", 0, 4, data), KIND)


def bag(path, numbers=range(4), storage=StoragePlugin.MCAP, topics=("/camera/image_raw",)):
    with Writer(path, version=9, storage_plugin=storage) as writer:
        for topic in topics:
            connection = writer.add_connection(topic, KIND, typestore=STORE)
            for number in numbers:
                writer.write(connection, T0 + number, image(number))
    return path


def numbers_of(uri, **options):
    return [int(frame.image[0, 0]) for frame in open_source(uri, **options)]


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_a_bag_without_metadata_is_opened(tmp_path, storage):
    folder = bag(tmp_path / "bag", storage=storage)
    (folder / "metadata.yaml").unlink()
    assert numbers_of(folder) == [0, 1, 2, 3]


@pytest.mark.parametrize("value", ["''", '""', "", "~"])
def test_a_bag_with_an_empty_storage_id_is_opened(tmp_path, value):
    folder = bag(tmp_path / "bag")
    metadata = folder / "metadata.yaml"
    text = metadata.read_text().replace("storage_identifier: mcap", f"storage_identifier: {value}")
    assert text != metadata.read_text()
    metadata.write_text(text)
    assert numbers_of(folder) == [0, 1, 2, 3]


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_all_files_of_a_bag_without_metadata_are_played_in_order(tmp_path, storage):
    folder = tmp_path / "split"
    folder.mkdir()
    suffix = "mcap" if storage == StoragePlugin.MCAP else "db3"
    for part in range(11):
        made = bag(tmp_path / f"p{part}", range(2 * part, 2 * part + 2), storage)
        (made / f"p{part}.{suffix}").rename(folder / f"split_{part}.{suffix}")
    assert numbers_of(folder) == list(range(22))
    source = open_source(folder)
    assert source.length == 22


def test_a_missing_file_is_refused_although_the_others_are_there(tmp_path):
    folder = bag(tmp_path / "bag")
    (folder / "bag.mcap").rename(folder / "other.mcap")
    with pytest.raises(SourceError, match="missing"):
        open_source(folder)


def test_an_interrupted_recording_is_told_how_to_be_recovered(tmp_path):
    folder = bag(tmp_path / "bag")
    (folder / "metadata.yaml").unlink()
    file = folder / "bag.mcap"
    file.write_bytes(file.read_bytes()[:-40])
    for place in (folder, file):
        with pytest.raises(SourceError) as refused:
            open_source(place)
        assert f"run 'windhover bag recover {place}'" in str(refused.value)
        assert "reindex" not in str(refused.value)
    (folder / "bag_1.mcap").touch()
    with pytest.raises(SourceError, match=r"bag_1.mcap is empty \(0 bytes\): run 'windhover bag"):
        open_source(folder)


def test_previews_and_overlays_are_not_what_the_camera_gave(tmp_path):
    own = ("/preview/thermal/compressed", "/camera/thermal/image_raw", "/overlay/image")
    assert open_source(bag(tmp_path / "a", topics=own)).topic == own[1]
    assert open_source(tmp_path / "a", camera="thermal").topic == own[1]
    both = ("/camera/rgb/image_raw", "/camera/thermal/image_raw", "/camera/thermal/image_rect")
    assert open_source(bag(tmp_path / "b", topics=both), camera="thermal").topic == both[1]
    with pytest.raises(SourceError, match="several image topics"):
        open_source(tmp_path / "b")
