"""Conversion: what is kept, merged, ignored, and that flaws are counted and not fatal."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from windhover.errors import DataError
from windhover_training.data.convert.summary import Summary
from windhover_training.data.convert.writer import fill_ignored
from windhover_training.data.readers import hit_uav
from windhover_training.data.readers.dataset import load_set
from windhover_training.data.readers.records import IGNORE


def test_classes_are_mapped_and_ignored_regions_kept(tiny: Path, convert, tmp_path: Path) -> None:
    summary = convert(tiny, tmp_path / "out", {"test": ["day-60m-00100"]})
    assert summary.counts["kept", "image"] == 12
    assert summary.counts["kept", "box: vehicle"] == 24
    assert summary.counts["merged", "box: OtherVehicle -> vehicle"] == 12
    truth = json.loads((tmp_path / "out/truth/test.json").read_text())
    assert [c["name"] for c in truth["categories"]] == ["person", "vehicle", "two-wheeler"]
    first = [a for a in truth["annotations"] if a["image_id"] == 1]
    assert sorted(a["category_id"] for a in first if not a["iscrowd"]) == [0, 1, 1, 2]
    ignored = [a for a in first if a["iscrowd"]]
    assert [a["category_id"] for a in ignored] == [0, 1, 2]
    assert {tuple(a["bbox"]) for a in ignored} == {(60.0, 5.0, 30.0, 20.0)}


def test_yolo_labels_give_the_same_boxes_as_the_truth(tiny: Path, convert, tmp_path: Path) -> None:
    convert(tiny, tmp_path / "out", {"test": ["day-60m-00100"]})
    truth = json.loads((tmp_path / "out/truth/test.json").read_text())
    stem = Path(truth["images"][0]["file_name"]).stem
    lines = (tmp_path / f"out/labels/test/thermal/{stem}.txt").read_text().splitlines()
    rows = np.array([[float(v) for v in line.split()] for line in lines])
    expected = [
        (a["category_id"], *a["bbox"])
        for a in truth["annotations"]
        if a["image_id"] == 1 and not a["iscrowd"]
    ]
    size = np.array([160, 128])
    xy = rows[:, 1:3] * size - rows[:, 3:] * size / 2
    found = np.column_stack([rows[:, 0], xy, rows[:, 3:] * size])
    np.testing.assert_allclose(found, np.array(expected), atol=1e-3)


def test_training_images_lose_ignored_regions_but_keep_objects_in_them() -> None:
    pixels = np.full((100, 100), 50, np.uint8)
    pixels[40:60, 40:60] = 250  # an unlabelled crowd
    pixels[44:50, 44:50] = 10  # a labelled object inside the region
    boxes = np.array([(35.0, 35, 30, 30), (44, 44, 6, 6)])
    filled = fill_ignored(pixels, boxes, np.array([IGNORE, 0]))
    assert filled[55, 55] < 150
    assert (filled[44:50, 44:50] == 10).all()
    assert (filled[:30] == 50).all()


def test_bad_input_is_counted_and_the_rest_is_kept(publish, convert, tmp_path: Path) -> None:
    boxes = [
        (0, [20.0, 30, 10, 20]),
        (0, [float("nan"), 30, 10, 20]),
        (0, [400.0, 30, 10, 20]),
        (0, [155.0, 30, 20, 20]),
        (0, [50.0, 30, 0, 20]),
        (9, [20.0, 30, 10, 20]),
    ]
    root = publish(
        tmp_path / "p",
        {
            "1_60_30_0_00001.jpg": boxes,
            "1_60_30_0_00002.jpg": [(0, [5.0, 5, 9, 9])],
            "odd name.jpg": [(0, [5.0, 5, 9, 9])],
        },
    )
    (root / "val/1_60_30_0_00002.jpg").write_bytes(b"\xff\xd8 cut off")
    summary = convert(root, tmp_path / "out", {"val": []})
    frames = load_set(tmp_path / "out").frames
    assert [frame.name for frame in frames] == ["1_60_30_0_00001"]
    assert frames[0].boxes.tolist() == [[20, 30, 10, 20], [155, 30, 5, 20]]
    assert summary.counts == {
        ("kept", "image"): 1,
        ("dropped", "image: damaged"): 1,
        ("dropped", "image: name is not T_altitude_angle_weather_frame"): 1,
        ("kept", "box: person"): 2,
        ("dropped", "box: not finite"): 1,
        ("dropped", "box: outside its image"): 1,
        ("dropped", "box: no area"): 1,
        ("changed", "box: clipped to its image"): 1,
        ("dropped", "box: unknown class 9"): 1,
        ("missing", "split: val is empty"): 1,
    }
    report = yaml.safe_load((tmp_path / "out/conversion.yaml").read_text())
    damaged = report["summary"]["dropped"]["image: damaged"]
    assert damaged == {"count": 1, "first": ["1_60_30_0_00002"]}


def test_a_folder_without_annotations_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="annotations"):
        list(hit_uav.read(tmp_path, Summary()))


def test_time_of_day_is_read_the_way_the_pictures_show_it() -> None:
    assert hit_uav.parse_name("0_60_30_0_01609.jpg") == (True, 60, 30, 1609)
    assert hit_uav.parse_name("1_130_90_0_10152.jpg") == (False, 130, 90, 10152)
    assert hit_uav.parse_name("60_30_0_01609.jpg") is None


def test_images_without_an_ignored_region_to_blur_are_the_published_files(
    tiny: Path, convert, tmp_path: Path
) -> None:
    convert(tiny, tmp_path / "out", {"test": ["day-60m-00100"]})
    path = next((tmp_path / "out/images/test/thermal").glob("*.jpg"))
    source = next(tiny.rglob(f"{path.stem}.jpg"))
    written = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(written, cv2.imread(str(source), cv2.IMREAD_GRAYSCALE))
    blurred = next((tmp_path / "out/images/train/thermal").iterdir())
    assert blurred.suffix == ".png"
    assert cv2.imread(str(blurred), cv2.IMREAD_UNCHANGED).shape == written.shape
