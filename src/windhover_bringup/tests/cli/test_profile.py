"""The archive of ``windhover profile``: whole, readable, and without pictures."""

import json
import tarfile

import pytest

pytest.importorskip("rclpy")

from windhover_bringup.cli import main


@pytest.fixture
def only_cpu(monkeypatch):
    """An emulator takes seconds a frame."""
    from windhover import inference
    from windhover_bringup.diary import collect

    cpu = {"cpu": inference.BACKENDS["cpu"]}
    monkeypatch.setattr(inference, "BACKENDS", cpu)
    monkeypatch.setattr(collect, "BACKENDS", cpu)


def read(path):
    with tarfile.open(path) as archive:
        return {
            member.name.partition("/")[2]: archive.extractfile(member).read()
            for member in archive.getmembers()
        }


def test_one_archive_holds_what_a_board_is_and_does(blob_bundle, tmp_path, only_cpu, capsys):
    out = tmp_path / "board.tar.gz"
    asked = ["profile", "--model", str(blob_bundle), "--frames", "3", "--out", str(out)]
    assert main(asked) == 0
    files = read(out)
    assert list(files) == [
        "machine.json", "versions.json", "doctor.json", "backends/cpu.json", "samples.json",
    ]  # fmt: skip
    found = {name: json.loads(data) for name, data in files.items()}
    assert found["machine.json"]["format"] == "windhover-diary/1"
    assert found["versions.json"]["numpy"]
    assert any(each["name"] == "python" for each in found["doctor.json"])
    cpu = found["backends/cpu.json"]
    assert cpu["latency_ms"]["inference"]["count"] == 3
    assert cpu["latency_ms"]["total"]["p50_ms"] > 0
    assert cpu["facts"]["backend"] == "cpu"
    assert len(cpu["results"]) == 10
    assert found["samples.json"][0]["memory_free_mib"] > 0
    # Never over an earlier one.
    assert main(asked) == 2
    assert "choose another --out" in capsys.readouterr().err
    assert read(out) == files


def test_pictures_are_kept_only_where_that_is_asked_for(
    blob_bundle, blob_folder, tmp_path, only_cpu
):
    out = tmp_path / "board.tar.gz"
    given = ["--source", str(blob_folder), "--frames", "1", "--out", str(out), "--pictures"]
    assert main(["profile", "--model", str(blob_bundle), *given]) == 0
    files = read(out)
    pictures = [name for name in files if name.startswith("pictures/")]
    results = json.loads(files["backends/cpu.json"])["results"]
    assert len(pictures) == len(results) > 1
    # A person and a vehicle in each picture.
    assert [sorted(each["label"] for each in one) for one in results] == (
        [["person", "vehicle"]] * len(results)
    )


def test_a_model_that_is_missing_leaves_no_archive(tmp_path, capsys):
    out = tmp_path / "board.tar.gz"
    assert main(["profile", "--model", str(tmp_path / "none"), "--out", str(out)]) == 2
    assert not out.exists()
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
