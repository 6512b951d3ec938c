"""Recovery of interrupted recordings, whoever wrote them."""

import hashlib
import io

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader
from mcap.writer import CompressionType, Writer
from rosbags.highlevel import AnyReader

from windhover.errors import ConfigError, DataError
from windhover_bringup.recording.recovery import recover

T0 = 10**18
STRING = "string data\n"
QOS = "- {history: keep_last, depth: 7, reliability: reliable, durability: volatile, deadline: " + (
    "{sec: 1, nsec: 0}, lifespan: {sec: 0, nsec: 0}, liveliness: automatic, "
    "liveliness_lease_duration: {sec: 0, nsec: 0}, avoid_ros_namespace_conventions: false}\n"
)


def text(number):
    """Something of 268 characters that does not compress to nothing."""
    digests = (hashlib.sha256(f"{number} {k}".encode()).hexdigest() for k in range(4))
    return f"message {number:04d}" + "".join(digests)


def text_message(number):
    """CDR of a std_msgs/String."""
    data = text(number).encode() + b"\0"
    return b"\0\1\0\0" + len(data).to_bytes(4, "little") + data


def foreign(compression="ZSTD", count=40, chunk_size=2_000, first=0, finish=True):
    """What another writer makes: String on a topic whose name is one of ours, and JSON."""
    output = io.BytesIO()
    writer = Writer(output, chunk_size=chunk_size, compression=CompressionType[compression])
    writer.start("ros2", "someone else's")
    writer.add_metadata("flight", {"pilot": "A"})
    schema = writer.register_schema("std_msgs/msg/String", "ros2msg", STRING.encode())
    other = writer.register_schema("thing", "jsonschema", b"{}")
    words = writer.register_channel(
        "/words/compressed", "cdr", schema, {"offered_qos_profiles": QOS, "note": "kept"}
    )
    things = writer.register_channel("/things", "json", other)
    for k in range(first, first + count):
        writer.add_message(words, T0 + k, text_message(k), T0 + k - 5, sequence=k)
        if k % 4 == 0:
            writer.add_message(things, T0 + k, b"{}", 0)
    if finish:
        writer.finish()
    return output.getvalue()


def write(folder, **files):
    folder.mkdir()
    for name, data in files.items():
        (folder / f"{name}.mcap").write_bytes(data)
    return folder


def without_checksum(data):
    """A file of one chunk, as of a writer that writes none."""
    # Header and metadata records come before it.
    at = 8
    while data[at] != 6:
        at += 9 + int.from_bytes(data[at + 1 : at + 9], "little")
    crc = at + 9 + 24
    return bytes(data[:crc] + bytes(4) + data[crc + 4 :])


def messages(path):
    with path.open("rb") as stream:
        return [
            (channel.topic, schema and schema.name, m.log_time, m.publish_time, m.sequence, m.data)
            for schema, channel, m in make_reader(stream).iter_messages()
        ]


@pytest.mark.parametrize("compression", ["NONE", "ZSTD", "LZ4"])
def test_every_message_keeps_its_type_times_and_place(tmp_path, compression):
    data = foreign(compression)
    bag = write(tmp_path / "bag", bag=data[:-30])
    whole = tmp_path / "whole.mcap"
    whole.write_bytes(data)
    saved = recover(bag)
    assert saved.path == tmp_path / "bag_recovered"
    assert messages(saved.path / "bag.mcap") == messages(whole)
    assert (saved.messages, saved.notes) == (50, ())
    with (saved.path / "bag.mcap").open("rb") as stream:
        reader = make_reader(stream)
        assert reader.get_header().profile == "ros2"
        assert [(m.name, m.metadata) for m in reader.iter_metadata()] == [
            ("flight", {"pilot": "A"})
        ]
        channels = reader.get_summary().channels.values()
        assert [c.metadata.get("note") for c in channels] == ["kept", None]
    about = yaml.safe_load((saved.path / "metadata.yaml").read_text())
    about = about["rosbag2_bagfile_information"]
    assert about["starting_time"]["nanoseconds_since_epoch"] == T0
    assert about["duration"]["nanoseconds"] == 39
    counts = {
        each["topic_metadata"]["name"]: (each["topic_metadata"]["type"], each["message_count"])
        for each in about["topics_with_message_count"]
    }
    assert counts == {"/words/compressed": ("std_msgs/msg/String", 40), "/things": ("thing", 10)}


@pytest.mark.parametrize("compression", ["NONE", "ZSTD", "LZ4"])
def test_of_a_chunk_that_was_cut_off_the_complete_messages_are_kept(tmp_path, compression):
    # One chunk of 400 kB: LZ4 and zstd give it back in blocks of 64 and 128 KiB.
    data = foreign(compression, count=1_500, chunk_size=1 << 20)
    saved = recover(write(tmp_path / "bag", bag=data[: len(data) * 6 // 10]))
    words = [m for m in messages(saved.path / "bag.mcap") if m[0] == "/words/compressed"]
    assert [m[-1] for m in words] == [text_message(k) for k in range(len(words))]
    assert 300 < len(words) < 1_500
    (note,) = saved.notes
    assert "was cut off in a record" in note


def test_all_files_of_a_bag_are_saved_in_their_order(tmp_path):
    files = {f"bag_{k}": foreign(count=4, first=4 * k) for k in range(11)}
    files["bag_10"] = files["bag_10"][:-9]
    files["bag_11"] = b""
    saved = recover(write(tmp_path / "bag", **files))
    assert saved.messages == 11 * 5
    assert "bag_11.mcap is not MCAP" in saved.notes[0]
    about = yaml.safe_load((saved.path / "metadata.yaml").read_text())
    about = about["rosbag2_bagfile_information"]
    assert about["relative_file_paths"] == [f"bag_{k}.mcap" for k in range(11)]
    assert [f["message_count"] for f in about["files"]] == [5] * 11
    assert [t["message_count"] for t in about["topics_with_message_count"]] == [44, 11]
    assert sorted(p.name for p in saved.path.iterdir()) == sorted(
        ["metadata.yaml", *about["relative_file_paths"]]
    )


def test_rosbags_reads_what_was_recovered(tmp_path):
    output = io.BytesIO()
    writer = Writer(output)
    writer.start("ros2")
    schema = writer.register_schema("std_msgs/msg/String", "ros2msg", STRING.encode())
    channel = writer.register_channel("/w", "cdr", schema, {"offered_qos_profiles": QOS})
    for k in range(3):
        writer.add_message(channel, T0 + k, text_message(k), T0 + k)
    writer.flush()
    saved = recover(write(tmp_path / "bag", bag=output.getvalue()))
    with AnyReader([saved.path]) as reader:
        assert [c.ext.offered_qos_profiles[0].depth for c in reader.connections] == [7]
        texts = [reader.deserialize(raw, c.msgtype).data for c, _, raw in reader.messages()]
    assert texts == [text(k) for k in range(3)]


def test_a_single_file_is_saved_beside_it(tmp_path):
    file = tmp_path / "flight.mcap"
    file.write_bytes(foreign()[:-30])
    assert recover(file).path == tmp_path / "flight_recovered"


def test_a_damaged_chunk_is_left_out_and_the_next_one_is_not(tmp_path):
    data = bytearray(foreign("NONE", count=40))
    data[data.index(b"message 0020")] ^= 1
    saved = recover(write(tmp_path / "bag", bag=bytes(data)))
    (note,) = saved.notes
    assert "is damaged: its checksum does not match" in note
    texts = [m[-1] for m in messages(saved.path / "bag.mcap") if m[0] == "/words/compressed"]
    assert text_message(0) in texts
    assert text_message(39) in texts
    assert text_message(20) not in texts


def test_messages_of_an_unknown_schema_are_counted_as_lost(tmp_path):
    data = bytearray(foreign("NONE", count=8, chunk_size=1 << 20))
    # The second schema's name, so that its record is damaged and its number is another.
    at = data.index(b"\5\0\0\0thing") - 2
    data[at : at + 2] = b"\x63\0"
    saved = recover(write(tmp_path / "bag", bag=without_checksum(data)))
    assert {m[0] for m in messages(saved.path / "bag.mcap")} == {"/words/compressed"}
    assert saved.notes == ("bag.mcap: 2 messages of channels that it does not describe are lost",)


def test_an_existing_folder_is_left_alone(tmp_path):
    bag = write(tmp_path / "bag", bag=foreign())
    first = recover(bag)
    before = (first.path / "bag.mcap").read_bytes()
    with pytest.raises(ConfigError, match="bag_recovered exists already"):
        recover(bag)
    assert (first.path / "bag.mcap").read_bytes() == before


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, r"no \.mcap file in"),
        ({"x.mcap": b""}, "holds no complete message; x.mcap is not MCAP"),
        ({"x.mcap": b"SQLite format 3\0"}, "is not MCAP"),
        ({"x.mcap": foreign()[:20]}, "holds no complete message; x.mcap was cut off"),
        ({"x.mcap": foreign()[:8] + bytes(100)}, "was cut off at byte 8 of 108"),
        ({"x.db3": b"SQLite format 3\0"}, "needs no recovery"),
    ],
)
def test_what_can_not_be_recovered_is_refused_and_leaves_nothing(tmp_path, content, reason):
    bag = tmp_path / "bag"
    bag.mkdir()
    for name, data in content.items():
        (bag / name).write_bytes(data)
    with pytest.raises(DataError, match=reason):
        recover(bag)
    assert list(tmp_path.iterdir()) == [bag]
    assert sorted(p.name for p in bag.iterdir()) == sorted(content)


def test_an_error_on_the_way_leaves_nothing(tmp_path, monkeypatch):
    bag = write(tmp_path / "bag", bag=foreign())

    def full(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Writer, "finish", full)
    with pytest.raises(DataError, match="No space left"):
        recover(bag)
    assert list(tmp_path.iterdir()) == [bag]


WHOLE = foreign(count=20, chunk_size=500)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, len(WHOLE)),
    st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=4),
)
def test_any_damage_gives_a_readable_bag_or_an_error(tmp_path_factory, length, changes):
    data = bytearray(WHOLE)
    for at, value in changes:
        data[at] = value
    folder = tmp_path_factory.mktemp("damaged")
    bag = write(folder / "bag", bag=bytes(data[:length]))
    try:
        saved = recover(bag)
    except DataError:
        assert list(folder.iterdir()) == [bag]
    else:
        assert len(messages(saved.path / "bag.mcap")) == saved.messages > 0
