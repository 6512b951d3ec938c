"""Every set in its publisher's own layout, with its quirks and with flaws."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from windhover_training.cli import main
from windhover_training.data.readers.dataset import ConvertedSet, load_set

DATA = Path(os.environ.get("WINDHOVER_DATA", Path(__file__).parents[3] / "shared" / "data"))


def picture(path: Path, size: tuple[int, int] = (64, 48), channels: int = 3, level: int = 120):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (size[1], size[0], 3) if channels == 3 else (size[1], size[0])
    cv2.imwrite(str(path), np.full(shape, level, np.uint8))


def convert(name: str, root: Path, out: Path, *options: str) -> tuple[ConvertedSet, dict]:
    assert main(["data", "convert", name, str(root), "--out", str(out), *options]) == 0
    report = yaml.safe_load((out / "conversion.yaml").read_text())
    return load_set(out), report["summary"]


def counts(part: dict) -> dict[str, int]:
    return {what: row["count"] for what, row in part.items()}


def boxes(converted: ConvertedSet) -> dict[str, list]:
    return {
        f.name: [
            (converted.labels[c] if c >= 0 else "ignore", *b)
            for c, b in zip(f.class_ids, f.boxes.tolist(), strict=True)
        ]
        for f in converted.frames
    }


GT = """1,7,10,10,8,20,1,1
1,8,30,10,20,10,1,2
1,8,30,10,20,10,1,2
2,7,11.5,10,8,20,1,1

2,9,1,1,5,5,0,1
3,7,60,40,20,20,1,1
3,9,5,5,nan,9,1,1
3,4,5,5,9,9,1,6
x,y
9,7,10,10,8,20,1,1
"""


def test_vt_mot(tmp_path: Path) -> None:
    root = tmp_path / "VTMOT"
    for split, sequence in (("train", "baby"), ("test", "car1")):
        for number in (1, 2, 3):
            for kind, channels in (("visible", 3), ("infrared", 3)):
                picture(root / split / sequence / kind / f"{number:07d}.jpg", channels=channels)
        gt = root / split / sequence / "gt" / "gt.txt"
        gt.parent.mkdir()
        gt.write_text(GT if split == "train" else "1,1,5,5,9,9,1,2\n")
    (root / "test/car1/infrared/0000002.jpg").unlink()
    (root / "test/car1/visible/0000003.jpg").write_bytes(b"\xff\xd8\xff")
    table = tmp_path / "table.csv"
    table.write_text("sequence,altitude,time_of_day\nbaby,40,night\n")

    converted, said = convert("vt-mot", root, tmp_path / "out", "--table", str(table))
    assert boxes(converted) == {
        "baby-0000001": [("person", 10, 10, 8, 20), ("vehicle", 30, 10, 20, 10)],
        "baby-0000002": [("person", 11.5, 10, 8, 20)],
        "baby-0000003": [("person", 60, 40, 4, 8)],
        "car1-0000001": [("vehicle", 5, 5, 9, 9)],
    }
    assert [f.flight for f in converted.splits["test"]] == ["car1"]  # as published
    first = converted.splits["train"][0]
    assert (first.altitude, first.altitude_source, first.time_of_day) == (40, "table", "night")
    assert first.tracks.tolist() == [7, 8]
    assert [path.parts[-3:-1] for path in first.images.values()] == [
        ("train", "rgb"), ("train", "thermal"),
    ]  # fmt: skip
    for kind in ("rgb", "thermal"):
        label = tmp_path / f"out/labels/train/{kind}/baby-0000001.txt"
        assert label.read_text().startswith("0 0.218750 0.416667 0.125000 0.416667\n3 ")
    assert counts(said["dropped"]) == {
        "box: flag 0": 1,
        "box: not finite": 1,
        "box: of a frame that has no image": 1,
        "box: track id twice in one frame": 1,
        "box: unknown class 6": 1,
        "image: visible without a thermal twin": 1,
        "line: not frame,id,x,y,w,h,flag,class": 1,
        "rgb image of a pair: damaged": 1,
    }
    assert counts(said["missing"]) == {
        "image: without altitude": 1,
        "image: time of day judged from brightness": 1,
    }


def test_vt_mot_sequence_with_lost_files_keeps_boxes_on_their_frames(tmp_path: Path) -> None:
    root = tmp_path / "VTMOT"
    for number in (1, 2, 5):
        for kind in ("visible", "infrared"):
            picture(root / "train/s" / kind / f"{number:07d}.jpg")
    (root / "train/s/gt").mkdir()
    (root / "train/s/gt/gt.txt").write_text("".join(f"{n},1,{n},5,9,9,1,1\n" for n in range(1, 6)))
    converted, said = convert("vt-mot", root, tmp_path / "out")
    lefts = {name: rows[0][1] for name, rows in boxes(converted).items()}
    assert lefts == {"s-0000001": 1, "s-0000002": 2, "s-0000005": 5}
    assert said["dropped"]["box: of a frame that has no image"]["count"] == 2


def test_kust4k(tmp_path: Path) -> None:
    root = tmp_path / "Kust4K"
    for stem in ("00001D", "00002D", "00150N", "00151N", "00152N"):
        picture(root / "RGB" / f"{stem}.png")
        picture(root / "TIR" / f"{stem}.png", channels=1)
        mask = np.zeros((48, 64), np.uint8)
        mask[2:10, 2:8] = 4  # a car
        mask[20:28, 2:8] = 4  # another
        mask[30:33, 30:45] = 7  # a person
        mask[40, 40] = 7  # a speck
        mask[15:20, 50:60] = 2  # a building is no object
        if stem == "00002D":
            mask[10:26, 2:8] = 4  # and now both cars and more are one component
        (root / "Seg_annos").mkdir(exist_ok=True)
        cv2.imwrite(str(root / "Seg_annos" / f"{stem}.png"), mask)
    (root / "TIR/00150N.png").unlink()
    picture(root / "TIR/00151N.png", size=(32, 24), channels=1)
    cv2.imwrite(str(root / "Seg_annos/00152N.png"), np.full((48, 64), 200, np.uint8))

    converted, said = convert("kust4k", root, tmp_path / "out")
    assert boxes(converted) == {
        "00001D": [
            ("vehicle", 2, 2, 6, 8), ("vehicle", 2, 20, 6, 8), ("person", 30, 30, 15, 3),
        ],
        "00002D": [("ignore", 2, 2, 6, 26), ("person", 30, 30, 15, 3)],
    }  # fmt: skip
    assert {(f.flight, f.time_of_day) for f in converted.frames} == {("day-00000", "day")}
    assert counts(said["dropped"]) == {
        "box: human of under 12 pixels": 3,
        "image: mask holds other values than 0..8": 1,
        "image: visible and thermal differ in size": 1,
        "image: visible without a thermal twin": 1,
    }
    touching = "box: cars that touch, now one ignore region"
    assert said["merged"][touching] == {"count": 1, "first": ["00002D"]}
    # What can't be distinguished is blurred where a model trains, in both pictures.
    for image in converted.frames[1].images.values():
        assert image.stem == "00002D"
        assert converted.frames[1].extra["filled"]


def au_air(root: Path, **changed) -> Path:
    row = {
        "image_name": "frame_20190829091111_x_0001973.jpg", "image_width": 64.0,
        "image_height": 48.0, "longtitude": 10.1, "latitude": 56.2, "altitude": 19921.6,
        "time": {"year": 2019, "hour": 9, "min": 1},
        "bbox": [{"top": 10, "left": 20, "height": 8, "width": 16, "class": 1}],
    }  # fmt: skip
    other = {**row, "image_name": "frame_20190905_xx_0000001.jpg", **changed}
    for each in (row, other):
        picture(root / "images" / str(each["image_name"]))
    document = {"categories": ["Human", "Car", "Bicycle"], "annotations": [row, other, row, 5]}
    (root / "annotations.json").write_text(json.dumps(document))
    return root


def test_au_air(tmp_path: Path) -> None:
    bad = [{"top": 1, "left": 2, "height": 9, "width": 9, "class": 7}, {"class": 0}]
    bad += [{"top": 1, "left": 2, "height": 9, "width": 9, "class": 2}]
    root = au_air(tmp_path / "auair", altitude=None, bbox=bad)
    converted, said = convert("au-air", root, tmp_path / "out")
    first, second = sorted(converted.frames, key=lambda f: f.name)
    assert first.altitude == pytest.approx(19.9216)  # metres from millimetres
    assert (first.altitude_source, first.time_of_day) == ("measured", "day")
    assert first.boxes.tolist() == [[20, 10, 16, 8]]  # from top, left, height, width
    assert (first.flight, second.flight) == ("20190829091111", "20190905")
    assert boxes(converted)[second.name] == [("ignore", 2, 1, 9, 9)]
    assert counts(said["dropped"]) == {
        "box: not four numbers": 1,
        "box: unknown class class 7": 1,
        "image: listed twice": 1,
        "image: record is no JSON object": 1,
    }
    assert said["missing"]["image: without altitude"]["first"] == [second.name]


def test_visdrone_pictures(tmp_path: Path) -> None:
    part = tmp_path / "VisDrone2019-DET-train"
    text = "5,6,10,12,1,1,0,0,\n20,20,8,8,1,10,0,1\n30,5,20,20,0,0,0,0\n40,30,9,9,1,11,0,0\n1,2,3\n"
    for name in ("0000001_02999_d_0000005", "0000001_03499_d_0000006", "9999999_00002_d_0000007"):
        picture(part / "images" / f"{name}.jpg")
        (part / "annotations").mkdir(exist_ok=True)
        (part / "annotations" / f"{name}.txt").write_text(text)
    (part / "annotations/9999999_00002_d_0000007.txt").unlink()
    converted, said = convert("visdrone", part, tmp_path / "out")
    assert boxes(converted)["0000001_02999_d_0000005"] == [
        ("person", 5, 6, 10, 12), ("motorcycle", 20, 20, 8, 8),
        ("ignore", 30, 5, 20, 20), ("ignore", 40, 30, 9, 9),
    ]  # fmt: skip
    assert {f.flight for f in converted.splits["train"]} == {"0000001", "9999999_00002"}
    assert counts(said["dropped"]) == {"line: not 8 numbers": 2}
    assert said["missing"]["image: no annotation file (No such file or directory)"]["count"] == 1


def test_visdrone_videos(tmp_path: Path) -> None:
    root = tmp_path / "VisDrone"
    for split in ("train", "val"):
        part = root / f"VisDrone2019-VID-{split}"
        for number in (1, 2):
            picture(part / f"sequences/uav_{split}/{number:07d}.jpg")
        (part / "annotations").mkdir()
        lines = "1,3,5,6,10,12,1,4,0,0\n2,3,6,6,10,12,1,4,0,0\n2,-1,30,5,20,20,0,0,0,0\n"
        (part / f"annotations/uav_{split}.txt").write_text(lines + "3,3,7,6,10,12,1,4,0,0\n")
    converted, said = convert("visdrone", root, tmp_path / "out")
    assert {split: len(frames) for split, frames in converted.splits.items()} == {
        "train": 2, "val": 2,
    }  # fmt: skip
    assert boxes(converted)["uav_val-0000002"] == [
        ("vehicle", 6, 6, 10, 12), ("ignore", 30, 5, 20, 20),
    ]  # fmt: skip
    assert converted.splits["val"][0].tracks.tolist() == [3]
    assert said["dropped"]["box: of a frame that has no image"]["count"] == 2


def test_pictures_with_a_text_file_each(tmp_path: Path) -> None:
    names = ("1_people_0007_10", "1_people_0007_64", "2_ppl_3_crop.rf.a", "2_ppl_3_crop.rf.b")
    (tmp_path / "soap/labels").mkdir(parents=True)
    for name in names:
        picture(tmp_path / f"soap/images/{name}.png")
    text = "0 0.5 0.5 0.25 0.5\n7 0.5 0.5 0.1 0.1\n0 0.5\n"
    (tmp_path / f"soap/labels/{names[0]}.txt").write_text(text)
    converted, said = convert("soap", tmp_path / "soap", tmp_path / "out")
    height, width = cv2.imread(str(tmp_path / f"soap/images/{names[0]}.png")).shape[:2]
    assert boxes(converted)[names[0]] == [
        ("person", 0.375 * width, 0.25 * height, 0.25 * width, 0.5 * height)
    ]
    assert boxes(converted)[names[1]] == []
    assert {frame.flight for frame in converted.frames} == {"1_people_0007", "2_ppl"}
    assert counts(said["dropped"]) == {
        "box: unknown class 7": 1, "line: not a class and four numbers": 1,
    }  # fmt: skip


def test_coco_with_pairs_and_ids_given_twice(tmp_path: Path) -> None:
    picture(tmp_path / "c/a/1.png")
    picture(tmp_path / "c/a/1t.png", channels=1)
    picture(tmp_path / "c/a/2.png", level=20)
    document = {
        "categories": [{"id": 3, "name": "dog"}, {"id": 4, "name": "cat"}],
        "images": [
            {"id": 1, "file_name": "a/1.png", "ir_file_name": "a/1t.png", "altitude": 33,
             "flight": "x", "time_of_day": "dusk"},
            {"id": 2, "file_name": "a/2.png", "flight": "y", "width": 64, "height": 48},
            {"id": 2, "file_name": "a/3.png"}, {"id": 5}, 7,
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 2, 10, 11]},
            {"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 2, 10, 11]},
            {"id": 1, "image_id": 2, "category_id": 4, "bbox": [3, 2, 10, 11]},
            {"id": 4, "image_id": 2, "category_id": 4, "bbox": [3, 20, 10, 11], "iscrowd": 1},
            {"id": 5, "image_id": 99, "category_id": 4, "bbox": [3, 20, 10, 11]},
            {"id": 6, "image_id": [1], "category_id": None, "bbox": None},
        ],
    }  # fmt: skip
    (tmp_path / "c/labels.json").write_text(json.dumps(document))
    (tmp_path / "c/broken.json").write_text('{"images": [')
    converted, said = convert("coco", tmp_path / "c", tmp_path / "out")
    assert converted.labels == ("cat", "dog")
    assert boxes(converted) == {
        "a-1": [("dog", 1, 2, 10, 11)],
        "a-2": [("cat", 3, 2, 10, 11), ("ignore", 3, 20, 10, 11)],
    }
    by_flight = {f.flight: f for f in converted.frames}
    assert set(by_flight["x"].images) == {"rgb", "thermal"}
    assert (by_flight["x"].altitude, by_flight["x"].time_of_day) == (33, "dusk")
    assert (by_flight["y"].time_of_day, by_flight["y"].time_source) == ("night", "estimate")
    assert counts(said["dropped"]) == {
        "box: given twice": 1,
        "box: of an image that is not listed": 2,
        "file: not JSON": 1,
        "image: has no file name": 1,
        "image: id given twice": 1,
        "image: record is no JSON object": 1,
    }
    assert counts(said["changed"]) == {"box: id given twice, renumbered": 1}


@pytest.mark.skipif(not (DATA / "auair").is_dir(), reason=f"AU-AIR's sample is not at {DATA}")
def test_the_real_sample_of_au_air_converts_whole(tmp_path: Path) -> None:
    converted, said = convert("au-air", DATA / "auair", tmp_path / "out")
    assert "dropped" not in said
    assert counts(said["kept"]) == {"box: person": 9, "box: vehicle": 138, "image": 40}
    altitudes = [f.altitude for f in converted.frames]
    assert 4 < min(altitudes) < max(altitudes) < 31
    assert all((f.width, f.height) == (1920, 1080) for f in converted.frames)
    assert all(sum(1 for _ in frames) for frames in converted.splits.values())


@pytest.mark.skipif(not (DATA / "cgi_weapons").is_dir(), reason=f"no weapons at {DATA}")
def test_the_real_sample_of_weapons_converts_with_one_label(tmp_path: Path) -> None:
    labels = Path(__file__).parents[1] / "configs/labels/weapons.yaml"
    root = DATA / "cgi_weapons/train"
    _, said = convert("coco", root, tmp_path / "out", "--labels", str(labels))
    assert said["kept"]["box: weapon"]["count"] == 210
    assert "dropped" not in said


def _write_coco(root: Path, change: Callable[[dict], object] = lambda _: None) -> Path:
    """Two pictures with a person and a motor each, one of them a crowd."""
    images = root / "images"
    images.mkdir(parents=True)
    document: dict = {
        "images": [], "annotations": [],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "motor"}],
    }  # fmt: skip
    for number in (1, 2):
        cv2.imwrite(str(images / f"{number}.png"), np.full((64, 80, 3), 40 * number, np.uint8))
        record = {"id": number, "file_name": f"{number}.png", "width": 80, "height": 64}
        document["images"].append(record)
        for kind, box in ((1, [4, 6, 10, 20]), (2, [30, 12, 16, 8])):
            crowd = int(number == 2 and kind == 2)
            row = {"id": 2 * number + kind, "image_id": number, "category_id": kind}
            document["annotations"].append(row | {"bbox": box, "iscrowd": crowd})
    change(document)
    (root / "set.json").write_bytes(document.pop("bytes", None) or json.dumps(document).encode())
    return root / "set.json"


def _each(part: str, **changes: Callable[[dict], object]) -> Callable[[dict], None]:
    def change(document: dict) -> None:
        for row in document[part]:
            row |= {key: make(row) for key, make in changes.items()}

    return change


ODD = {
    "plain": lambda _: None,
    "crowd as text": _each("annotations", iscrowd=lambda r: str(r["iscrowd"])),
    "ids as text": _each("annotations", image_id=lambda r: str(r["image_id"])),
    "ids as floats": _each("annotations", image_id=lambda r: float(r["image_id"])),
    "category as text": _each("annotations", category_id=lambda r: f"{r['category_id']}.0"),
    "image ids as text": _each("images", id=lambda r: str(r["id"])),
    "sizes as text": _each("images", width=lambda _: "80", height=lambda _: "64.0"),
    "boxes as text": _each("annotations", bbox=lambda r: [str(v) for v in r["bbox"]]),
    "polygons": _each(
        "annotations",
        segmentation=lambda r: [[
            r["bbox"][0], r["bbox"][1], r["bbox"][0] + r["bbox"][2], r["bbox"][1],
            r["bbox"][0] + r["bbox"][2], r["bbox"][1] + r["bbox"][3],
        ]],
        bbox=lambda _: None,
    ),
    "backslashes": _each("images", file_name=lambda r: "night\\" + r["file_name"]),
    "absolute": _each("images", file_name=lambda r: "/home/someone/" + r["file_name"]),
    "address": _each("images", file_name=lambda r: "http://x/1/" + r["file_name"] + "?d=1"),
    "names apart": _each("categories", name=lambda r: f" {r['name'].upper()}S "),
    "byte order mark": lambda d: d.update(bytes=b"\xef\xbb\xbf" + json.dumps(d).encode()),
    "UTF-16": lambda d: d.update(bytes=json.dumps(d).encode("utf-16")),
}  # fmt: skip


@pytest.mark.parametrize("odd", list(ODD))
def test_odd_coco_is_read_as_it_is_meant(odd: str, tmp_path: Path) -> None:
    root = _write_coco(tmp_path / "raw", ODD[odd])
    (tmp_path / "map.yaml").write_text(
        "labels: [person, motorcycle]\n"
        "classes: {person: person, motor: motorcycle, crowd: ignore}\n"
    )
    command = ["data", "convert", "coco", str(root), "--images", str(root.parent / "images")]
    command += ["--labels", str(tmp_path / "map.yaml"), "--out", str(tmp_path / "out")]
    assert main([*command, "--shares", "train=1.0"]) == 0
    document = json.loads((tmp_path / "out/truth/train.json").read_text())
    rows = sorted(
        (row["category_id"], tuple(row["bbox"]), row["iscrowd"])
        for row in document["annotations"]
        if not row["iscrowd"]
    )
    person, motor = (4.0, 6.0, 10.0, 20.0), (30.0, 12.0, 16.0, 8.0)
    assert rows == [(0, person, 0), (0, person, 0), (1, motor, 0)]
    assert any(row["iscrowd"] for row in document["annotations"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_each("annotations", iscrowd=lambda _: "perhaps"), "neither 0 nor 1"),
        (_each("annotations", image_id=lambda _: 99), "not listed"),
        (_each("annotations", bbox=lambda _: [1, 2]), "box"),
        (_each("categories", id=lambda _: 1), "is both person and motor"),
        (lambda d: d.update(bytes=b"{\x00"), "not JSON"),
    ],
)
def test_coco_of_which_nothing_can_be_used_is_status_2(
    change: Callable[[dict], object], words: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    root = _write_coco(tmp_path / "raw", change)
    command = ["data", "convert", "coco", str(root), "--images", str(root.parent / "images")]
    assert main([*command, "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err.splitlines()
    assert words in error[-1]
    assert not (tmp_path / "out").exists()
