"""The comparison of trackers on a folder of MOTChallenge files, ours alone."""

import json

import cv2
import numpy as np
import pytest

from bench.peers.run import main

FRAMES = 12


def write_sequence(folder, images=True, rate=10):
    """Two people who cross, their rows the last frame first; a false alarm; flag 0 far off."""
    truth, found = [], []
    for k in range(FRAMES, 0, -1):
        for number, x in ((1, 20 + 8 * k), (2, 200 - 8 * k)):
            truth.append(f"{k},{number},{x},{30 * number},20,40,1,1,1")
            found.append(f"{k},-1,{x},{30 * number},20,40,0.9,-1,-1,-1")
        truth.append(f"{k},3,280,200,10,10,0,1,1")
        found.append(f"{k},-1,280,200,10,10,0.8,-1,-1,-1")
    for name, rows in (("det", found), ("gt", truth)):
        (folder / name).mkdir(parents=True)
        (folder / name / f"{name}.txt").write_text("\n".join(rows) + "\n")
    (folder / "seqinfo.ini").write_text(f"[Sequence]\nname={folder.name}\nframeRate={rate}\n")
    if images:
        (folder / "img1").mkdir()
        for k in range(1, FRAMES + 1):
            cv2.imwrite(str(folder / "img1" / f"{k:06d}.jpg"), np.full((240, 320, 3), 90, np.uint8))


def bench(folder, out):
    return main(["--folder", str(folder), "--only", "Windhover", "--out", str(out)])


@pytest.mark.parametrize("images", [True, False], ids=["images", "no images"])
def test_a_folder_of_sequences_gives_a_table_and_figures(tmp_path, capsys, images):
    folder, out = tmp_path / "MOT", tmp_path / "out"
    write_sequence(folder / "MOT-01", images)
    write_sequence(folder / "MOT-02", images, rate=10)
    assert bench(folder, out) == 0
    ours, still = json.loads((out / "peers.json").read_text())
    assert (ours["kind"], ours["source"], ours["rate_hz"]) == ("MOT", "det.txt", 10)
    for row in (ours, still):
        # All are tracked; a track on a row with flag 0 is no false alarm.
        assert row["HOTA"] > 0.9
        assert (row["MOTA"], row["IDF1"], row["id_switches"]) == (1.0, 1.0, 0)
        assert row["cpu_ms"] > 0
    assert "HOTA / IDF1, det.txt" in capsys.readouterr().out
    table = json.loads((out / "peers-det-txt.json").read_text())
    assert table["format"] == "windhover-table/1"
    assert all(table[key] for key in ("commit", "machine", "command", "release"))
    heads = ["HOTA / IDF1, det.txt", "MOT, 10 Hz", "switches, MOT", "CPU ms"]
    assert table["columns"] == heads
    assert table["rows"][0][0].startswith("Windhover (windhover ")
    assert table["rows"][0][1].endswith("/ **1.000**")
    assert table["rows"][0][2] == "0"


def test_sequences_of_other_rates_have_a_column_each(tmp_path, capsys):
    write_sequence(tmp_path / "MOT" / "a", rate=10)
    write_sequence(tmp_path / "MOT" / "b", rate=25)
    assert bench(tmp_path / "MOT", tmp_path / "out") == 0
    capsys.readouterr()
    table = json.loads((tmp_path / "out" / "peers-det-txt.json").read_text())
    assert table["columns"][1:3] == ["MOT, 10 Hz", "MOT, 25 Hz"]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda seq: (seq / "det" / "det.txt").unlink(), "holds no det/det.txt"),
        (lambda seq: (seq / "gt" / "gt.txt").unlink(), "gt.txt"),
        (lambda seq: (seq / "gt" / "gt.txt").write_text("1,1,2,3,nan,5,1,1,1\n"), "gt.txt"),
        (lambda seq: (seq / "img1" / "000003.jpg").unlink(), "11 images for 12 frames"),
        (lambda seq: (seq / "img1" / "000003.jpg").write_bytes(b""), "000003.jpg"),
        (lambda seq: (seq / "seqinfo.ini").write_text("frameRate=30"), "[Sequence]"),
        (lambda seq: write_sequence(seq / "more", rate=0), "frameRate=30"),
    ],
)
def test_a_folder_that_can_not_be_used_is_one_line(tmp_path, capsys, spoil, reason):
    write_sequence(tmp_path / "seq")
    spoil(tmp_path / "seq")
    assert bench(tmp_path, tmp_path / "out") == 2
    err = capsys.readouterr().err
    assert reason in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
