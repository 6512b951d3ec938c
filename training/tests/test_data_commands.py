"""The data commands at their edges: nothing overwritten, nothing half written, one line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from windhover_training.cli import main
from windhover_training.data.augment.samples import load_samples
from windhover_training.data.readers.dataset import load_set

SPLIT = "test: [day-60m-00100]\nval: [night-60m-00110]\n"


@pytest.fixture
def held_out(tmp_path: Path) -> Path:
    file = tmp_path / "split.yaml"
    file.write_text(SPLIT)
    return file


def convert(root: Path, out: Path, *options: str) -> int:
    return main(["data", "convert", "hit-uav", str(root), "--out", str(out), *options])


def test_hit_uav_converts_into_what_training_and_ultralytics_read(
    tiny: Path, held_out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(tiny, tmp_path / "out", "--split", str(held_out)) == 0
    said = capsys.readouterr().out
    assert "OtherVehicle -> vehicle" in said
    samples = load_samples(tmp_path / "out", ["train", "val", "test"])
    assert len(samples) == 12
    assert all(sample.pixels.shape == (128, 160) for sample in samples)
    assert {s.flight for s in load_samples(tmp_path / "out", ["test"])} == {"day-60m-00100"}
    document = yaml.safe_load((tmp_path / "out/thermal.yaml").read_text())
    assert document["names"] == {0: "person", 1: "vehicle", 2: "two-wheeler"}
    images = list((tmp_path / "out" / document["train"]).iterdir())
    assert len(images) == 4
    # Ultralytics finds labels by putting "labels" for "images" in the path.
    for image in images:
        label = Path(str(image).replace("/images/", "/labels/")).with_suffix(".txt")
        assert len(label.read_text().splitlines()) == 4
    report = yaml.safe_load((tmp_path / "out/conversion.yaml").read_text())
    assert report["flights"]["val"] == ["night-60m-00110"]
    assert report["credit"].startswith("HIT-UAV")


def test_an_output_is_replaced_only_with_force(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert convert(tiny, out) == 0
    before = (out / "conversion.yaml").stat().st_ino
    assert convert(tiny, out) == 2
    assert "--force" in capsys.readouterr().err
    assert (out / "conversion.yaml").stat().st_ino == before
    assert convert(tiny, out, "--force") == 0
    assert (out / "conversion.yaml").stat().st_ino != before


def test_a_set_with_nothing_usable_left_says_why_and_leaves_nothing(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for image in tiny.rglob("*.jpg"):
        image.write_bytes(b"not an image")
    assert convert(tiny, tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "12 x image: damaged" in error
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["convert", "hit-vau", "{root}"], "hit-uav"),
        (["convert", "hit-uav", "{root}/train"], "annotations"),
        (["convert", "hit-uav", "{root}", "--split", "{root}/none.yaml"], "none.yaml"),
        (["convert", "hit-uav", "{root}", "--labels", "{bad}"], "none of"),
        (["convert", "hit-uav", "{root}", "--shares", "train=0.8,val"], "--shares"),
        (["convert", "coco", "{root}", "--modality", "sonar"], "sonar"),
        (["split", "{root}"], "truth"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    arguments, said, tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("labels: [person]\nclasses: {Person: people}\n")
    filled = [a.format(root=tiny, bad=bad) for a in arguments]
    assert main(["data", *filled, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error
    assert not (tmp_path / "out").exists()


def test_flights_are_listed(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "flights", "hit-uav", str(tiny)]) == 0
    said = capsys.readouterr().out
    assert "night-80m-00120" in said
    assert "Person 4" in said


def test_splitting_anew_keeps_boxes_links_and_what_is_ignored(
    tiny: Path, held_out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(tiny, tmp_path / "one", "--split", str(held_out)) == 0
    swapped = tmp_path / "swapped.yaml"
    swapped.write_text("test: [night-80m-00120]\n")
    options = ["--out", str(tmp_path / "two"), "--split", str(swapped)]
    assert main(["data", "split", str(tmp_path / "one"), *options]) == 0
    one, two = load_set(tmp_path / "one"), load_set(tmp_path / "two")
    assert {f.flight for f in two.splits["test"]} == {"night-80m-00120"}
    before = {f.name: (f.boxes.tolist(), f.class_ids.tolist()) for f in one.frames}
    after = {f.name: (f.boxes.tolist(), f.class_ids.tolist()) for f in two.frames}
    assert before == after
    # Frames that now train are blurred where they are ignored, those that no longer do stay so.
    assert {p.suffix for f in two.splits["train"] for p in f.images.values()} == {".png"}
    moved = two.splits["test"][0].images["thermal"]
    kept = next(f for f in one.frames if f.name == moved.stem).images["thermal"]
    assert moved.stat().st_ino == kept.stat().st_ino


def test_an_empty_split_is_told_and_does_not_stop_anything(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "split.yaml"
    file.write_text("test: []\n")
    assert convert(tiny, tmp_path / "out", "--split", str(file)) == 0
    assert "split: test is empty" in capsys.readouterr().out
    assert json.loads((tmp_path / "out/truth/test.json").read_text())["images"] == []
    assert main(["data", "stats", str(tmp_path / "out"), "--out", str(tmp_path / "s")]) == 0


def test_nothing_can_be_written_is_one_line(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if os.geteuid() == 0:
        blocked = tmp_path / "file"
        blocked.touch()
    else:
        blocked = tmp_path / "closed"
        blocked.mkdir(mode=0o500)
    assert convert(tiny, blocked / "out") == 2
    assert capsys.readouterr().err.count("\n") == 1
