"""``windhover bag recover``: what a person is told."""

import io

from mcap.writer import Writer

from windhover_bringup.cli import main


def interrupted(folder):
    output = io.BytesIO()
    writer = Writer(output)
    writer.start("ros2")
    schema = writer.register_schema("std_msgs/msg/String", "ros2msg", b"string data\n")
    channel = writer.register_channel("/words", "cdr", schema)
    for k in range(3):
        writer.add_message(channel, k, b"\0\1\0\0\2\0\0\0a\0", k)
    writer.flush()
    folder.mkdir()
    (folder / "bag.mcap").write_bytes(output.getvalue() + b"\6")
    return folder


def test_it_says_what_was_saved_and_what_was_not(tmp_path, capsys):
    bag = interrupted(tmp_path / "bag")
    assert main(["bag", "recover", str(bag)]) == 0
    printed = capsys.readouterr()
    assert printed.out == f"3 messages in {tmp_path / 'bag_recovered'}\n"
    assert printed.err.startswith("note: bag.mcap was cut off at byte")
    assert main(["bag", "recover", str(bag)]) == 2
    assert "exists already" in capsys.readouterr().err


def test_its_former_name_works_with_a_warning(tmp_path, capsys):
    assert main(["recover", str(interrupted(tmp_path / "bag"))]) == 0
    assert capsys.readouterr().err.startswith(
        "warning: 'windhover recover' is now 'windhover bag recover'"
    )


def test_a_folder_without_a_recording_is_one_line(tmp_path, capsys):
    assert main(["bag", "recover", str(tmp_path)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
