"""Keeping frames of an altitude range: from records, tables and estimates, whole or resumed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from windhover_training.cli import main
from windhover_training.data.convert import altitude
from windhover_training.data.convert.altitude_estimate import CameraView, estimate_altitude
from windhover_training.data.convert.summary import Summary
from windhover_training.data.readers import hit_uav
from windhover_training.data.readers.dataset import load_set
from windhover_training.data.readers.metadata import FILTERED

DATA = Path(os.environ.get("WINDHOVER_DATA", Path(__file__).parents[3] / "shared" / "data"))


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((48, 64, 3), 120, np.uint8))


def run(root: Path, out: Path, *options: str) -> int:
    return main(["data", "filter-altitude", "--input", str(root), "--output", str(out), *options])


def result(out: Path) -> dict:
    return json.loads((out / FILTERED).read_text())


@pytest.fixture
def guide(tmp_path: Path) -> Path:
    """A folder as the training guide has it, flaws included."""
    root = tmp_path / "raw"
    frames = []
    for number, metres in enumerate([29.9, 30, 41.5, 50, 50.1, None, "40", float("nan")]):
        image, text = f"images/{number}.jpg", f"annotations/{number}.txt"
        picture(root / image)
        (root / "annotations").mkdir(exist_ok=True)
        (root / text).write_text(f"0 0.5 0.5 0.{number + 1} 0.1\n")
        frames.append({"image_path": image, "annotation_path": text, "altitude": metres, "x": 1})
    frames += [{"image_path": "images/9.jpg", "annotation_path": "a/9.txt", "altitude": 40}]
    frames += [frames[1], {"altitude": 40}, "odd"]
    frames += [{"image_path": "../secret.jpg", "altitude": 40}]
    (root / "metadata.json").write_text(json.dumps({"frames": frames}))
    return root


def test_the_guides_metadata(guide: Path, tmp_path: Path) -> None:
    assert run(guide, tmp_path / "out") == 0
    found = result(tmp_path / "out")
    assert found["altitude_range"] == [30, 50]
    assert found["count"] == 3
    assert [f["image_path"] for f in found["frames"]] == [f"images/{n}.jpg" for n in (1, 2, 3)]
    assert {f["altitude_source"] for f in found["frames"]} == {"measured"}
    assert all(f["x"] == 1 for f in found["frames"])
    dropped = {what: row["count"] for what, row in found["summary"]["dropped"].items()}
    assert dropped == {
        "frame: a file of it is missing": 1,
        "frame: a path leads out of the folder": 1,
        "frame: above 30-50 m": 1,
        "frame: below 30-50 m": 1,
        "frame: has no image_path": 1,
        "frame: listed twice": 1,
        "frame: record is no JSON object": 1,
        "frame: without altitude": 3,
    }
    nameless = found["summary"]["dropped"]["frame: without altitude"]["first"]
    assert nameless == [f"images/{n}.jpg" for n in (5, 6, 7)]
    files = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.*"))
    assert [f for f in files if not f.startswith(".")] == sorted(
        [FILTERED, *(f"images/{n}.jpg" for n in (1, 2, 3))]
        + [f"annotations/{n}.txt" for n in (1, 2, 3)]
    )


def test_links_save_space_and_copies_do_not_share(guide: Path, tmp_path: Path) -> None:
    assert run(guide, tmp_path / "linked") == 0
    assert run(guide, tmp_path / "copied", "--copy") == 0
    source = (guide / "images/2.jpg").stat().st_ino
    assert (tmp_path / "linked/images/2.jpg").stat().st_ino == source
    assert (tmp_path / "copied/images/2.jpg").stat().st_ino != source


def test_an_interrupted_run_goes_on_and_another_filter_begins_anew(
    guide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = altitude.link_or_copy, []

    def stops(source: Path, target: Path, *, copy: bool = False) -> None:
        if len(calls) == 3:
            raise KeyboardInterrupt
        calls.append(target)
        real(source, target, copy=copy)

    monkeypatch.setattr(altitude, "link_or_copy", stops)
    assert run(guide, tmp_path / "out") == 130
    assert not (tmp_path / "out").exists()

    again: list[Path] = []

    def counts(source: Path, target: Path, *, copy: bool = False) -> None:
        again.append(target)
        real(source, target, copy=copy)

    monkeypatch.setattr(altitude, "link_or_copy", counts)
    assert run(guide, tmp_path / "out") == 0
    assert not {t.name for t in again} & {t.name for t in calls}
    assert result(tmp_path / "out")["count"] == 3
    assert not list(tmp_path.glob(".out*"))

    monkeypatch.setattr(altitude, "link_or_copy", stops)
    calls.clear()
    assert run(guide, tmp_path / "other") == 130
    monkeypatch.setattr(altitude, "link_or_copy", real)
    assert run(guide, tmp_path / "other", "--max-altitude", "30") == 0
    assert [p.name for p in (tmp_path / "other/images").iterdir()] == ["1.jpg"]


def test_what_is_in_the_way_or_wrong_is_one_line_and_status_2(
    guide: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "t.csv"
    table.write_text("sequence,altitude\na,high\n")
    assert run(guide, tmp_path / "out") == 0
    for options, said in (
        ([], "--force"),
        (["--min-altitude", "60"], "above"),
        (["--estimate"], "--hfov"),
        (["--table", str(table)], "t.csv:2"),
        (["--table", str(guide)], "can't be read"),
    ):
        capsys.readouterr()
        assert run(guide, tmp_path / "out", *options) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert said in error
    nothing = ["--min-altitude", "300", "--max-altitude", "400"]
    assert run(guide, tmp_path / "none", *nothing) == 2
    assert "nothing usable is left" in capsys.readouterr().err
    assert not list(tmp_path.glob("*none*"))
    assert run(guide, tmp_path / "out", "--force", "--max-altitude", "30") == 0
    assert result(tmp_path / "out")["count"] == 1


def vt_mot(root: Path, sequences: dict[str, float | None]) -> Path:
    frames = []
    for name, metres in sequences.items():
        lines = []
        for number in range(1, 7):
            for kind in ("visible", "infrared"):
                picture(root / "train" / name / kind / f"{number:07d}.jpg")
            lines.append(f"{number},1,{20 + number},12,4,9,1,1\n")
            record = {"image_path": f"train/{name}/visible/{number:07d}.jpg"}
            if metres is not None:
                frames.append(record | {"altitude": metres + 10 * number})
        (root / "train" / name / "gt").mkdir()
        (root / "train" / name / "gt/gt.txt").write_text("".join(lines))
    if frames:
        (root / "metadata.json").write_text(json.dumps({"frames": frames}))
    return root


def test_vt_mot_filtered_by_frame_keeps_boxes_on_their_frames(tmp_path: Path) -> None:
    root = vt_mot(tmp_path / "raw", {"s": 5.0})  # 15, 25, 35, 45, 55, 65 m
    assert run(root, tmp_path / "out") == 0
    assert [(f["frame"], f["altitude"]) for f in result(tmp_path / "out")["frames"]] == [
        (3, 35), (4, 45),
    ]  # fmt: skip
    kept = sorted((tmp_path / "out/train/s").glob("*/*.jpg"))
    assert [f"{p.parent.name}/{p.stem[-1]}" for p in kept] == [
        "infrared/3", "infrared/4", "visible/3", "visible/4",
    ]  # fmt: skip
    # And the converter understands what is left, though the third image is now the first.
    assert (
        main(["data", "convert", "vt-mot", str(tmp_path / "out"), "--out", str(tmp_path / "c")])
        == 0
    )
    converted = load_set(tmp_path / "c")
    lefts = {f.name: (f.boxes[0, 0], f.altitude) for f in converted.frames}
    assert lefts == {"s-0000003": (23, 35), "s-0000004": (24, 45)}


def test_a_table_of_sequences(tmp_path: Path) -> None:
    root = vt_mot(tmp_path / "raw", {"low": None, "mid": None, "unknown": None})
    table = tmp_path / "table.csv"
    table.write_text("sequence,altitude\nlow,20\nmid,40\nmidd,40\n")
    assert run(root, tmp_path / "out", "--table", str(table)) == 0
    found = result(tmp_path / "out")
    assert {(f["sequence"], f["altitude"], f["altitude_source"]) for f in found["frames"]} == {
        ("mid", 40.0, "table")
    }
    assert found["summary"]["dropped"]["frame: without altitude"]["count"] == 6
    misspelt = found["summary"]["missing"]["table: names a flight that is not in the set"]
    assert misspelt == {"count": 1, "first": ["midd"]}


def test_an_estimate_is_marked_as_one(tmp_path: Path) -> None:
    root = vt_mot(tmp_path / "raw", {"s": None})
    assert run(root, tmp_path / "out", "--estimate", "--hfov", "60", "--pitch", "45",
               "--min-altitude", "1", "--max-altitude", "20") == 0  # fmt: skip
    frames = result(tmp_path / "out")["frames"]
    assert {f["altitude_source"] for f in frames} == {"estimate"}
    assert len({f["altitude"] for f in frames}) == 1  # one for the whole flight


@given(
    st.floats(15, 120), st.floats(30, 90), st.floats(25, 80), st.integers(0, 1000), st.booleans()
)
def test_an_estimate_finds_the_height_that_boxes_were_made_for(
    height, pitch, hfov, seed, people
) -> None:
    rng = np.random.default_rng(seed)
    size, lens = (640, 512), CameraView(hfov, pitch)
    focal = 320 / np.tan(np.deg2rad(hfov) / 2)
    rows = rng.uniform(60, 450, 40)
    down = np.deg2rad(pitch) + np.arctan((rows - 256) / focal)
    away = height / np.sin(down)
    sine, cosine = np.sin(down), np.abs(np.cos(down))
    across = 6.3 * 2 / np.pi
    metres = 1.7 * cosine + 0.5 * sine
    if not people:
        metres = np.sqrt(across * (across * sine + 1.5 * cosine))
    seen = focal * metres / away
    keep = (down > 0.2) & (down < np.pi - 0.2) & (seen > 1) & (seen < 50)
    boxes = np.stack([np.full(40, 300.0), rows - seen / 2, seen, seen], axis=1)[keep]
    found = estimate_altitude(boxes, np.full(len(boxes), people), size, lens)
    if len(boxes) < 5:
        assert found is None
    else:
        assert found is not None
        assert found[0] == pytest.approx(height, rel=0.02)


def test_flights_of_real_data_agree_to_a_third() -> None:
    root = DATA / "hit_uav/normal_json"
    if not root.is_dir():
        pytest.skip(f"HIT-UAV is not at {root}")
    flights: dict[str, list] = {}
    for frame in hit_uav.read(root, Summary()):
        rows = flights.setdefault(frame.flight, [])
        wanted = [box for box in frame.boxes if box.category in ("Person", "Car")]
        rows += [
            (box.bbox, box.category == "Person", frame.extra["angle"], frame.altitude)
            for box in wanted
        ]
    ratios = []
    for rows in flights.values():
        boxes, people, pitch, heights = (
            np.array(column, float) for column in zip(*rows, strict=True)
        )
        found = estimate_altitude(boxes, people > 0, (640, 512), CameraView(21.0, 45), pitch)
        if found is not None:
            ratios.append(found[0] / heights[0])
    # HIT-UAV does not say its lens, so what is tested is that flights agree with each other.
    low, high = np.percentile(np.array(ratios) / np.median(ratios), (10, 90))
    assert len(ratios) > 25
    assert 0.67 < low < high < 1.33
