"""Reading truth files: which categories are mapped, which files refused, which flaws counted."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from windhover.errors import ConfigError, DataError
from windhover_evaluation.detection.groups import altitude_band, image_groups
from windhover_evaluation.detection.truth import ANY_LABEL, NO_TRACK
from windhover_evaluation.detection.truth_file import load_truth

LABELS = ("person", "vehicle", "two-wheeler")
DATA = Path(os.environ.get("WINDHOVER_DATA", Path(__file__).parents[5] / "shared" / "data"))
HIT_UAV = DATA / "hit_uav" / "normal_json" / "annotations" / "test.json"


def coco(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "images": [
            {"id": 7, "file_name": "a.png", "width": 100, "height": 80},
            {"id": 9, "file_name": "b.png", "width": 100, "height": 80},
        ],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "vehicle"}],
        "annotations": [
            {"id": 1, "image_id": 9, "category_id": 2, "bbox": [10, 20, 30, 40]},
            {"id": 2, "image_id": 7, "category_id": 1, "bbox": [1.5, 2.5, 4, 8]},
        ],
    }
    return data | changes


def written(tmp_path: Path, data: Any) -> Path:
    path = tmp_path / "truth.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_boxes_become_corners_with_rows_and_labels(tmp_path: Path) -> None:
    truth = load_truth(written(tmp_path, coco()), LABELS)
    np.testing.assert_allclose(truth.boxes, [[10, 20, 40, 60], [1.5, 2.5, 5.5, 10.5]])
    assert truth.image_rows.tolist() == [1, 0]
    assert truth.label_ids.tolist() == [1, 0]
    assert not truth.ignored.any()
    assert not truth.problems
    assert truth.category_ids == {"person": 1, "vehicle": 2}
    assert len(truth.boxes_of(1)) == 1


def test_hit_uav_keys_merge_and_dont_care(tmp_path: Path) -> None:
    data = {
        "images": [{"filename": "1_60_30_0_00007.jpg", "height": 512, "width": 640, "id": 3}],
        "categories": [
            {"id": i, "name": n}
            for i, n in enumerate(["Person", "Car", "Bicycle", "OtherVehicle", "DontCare"])
        ],
        "annotation": [
            {"id": i, "image_id": 3, "category_id": i, "bbox": [10 * i, 5, 8, 8]} for i in range(5)
        ],
    }
    truth = load_truth(written(tmp_path, data), LABELS)
    assert truth.label_ids.tolist() == [0, 1, 2, 1, ANY_LABEL]
    assert truth.ignored.tolist() == [False, False, False, False, True]
    assert truth.categories["vehicle"] == ("Car", "OtherVehicle")
    assert truth.ignored_categories == ("DontCare",)
    # A bicycle is no motorcycle, and too much like one to be a false alarm.
    rgbt = load_truth(written(tmp_path, data), ("person", "weapon", "motorcycle", "vehicle"))
    assert rgbt.ignored_categories == ("Bicycle", "DontCare")
    assert rgbt.label_ids.tolist() == [0, 3, ANY_LABEL, 3, ANY_LABEL]
    # The first of the merged categories stands for the label in results.
    assert truth.category_ids == {"person": 0, "vehicle": 1, "two-wheeler": 2}
    assert truth.images[0].groups == {"time": "night", "altitude": "50-70 m"}


def test_a_label_of_the_same_name_beats_the_table_and_a_mapping_beats_both(tmp_path: Path) -> None:
    categories = [
        {"id": 4, "name": "Car"},
        {"id": 5, "name": "Vehicle"},
        {"id": 6, "name": "Ranger"},
    ]
    path = written(tmp_path, coco(categories=categories, annotations=[]))
    assert load_truth(path, LABELS).category_ids == {"vehicle": 5}
    # A model that has a label "car" has cars as a class.
    assert load_truth(path, ("car", "vehicle")).category_ids == {"car": 4, "vehicle": 5}
    given = load_truth(path, LABELS, {"ranger": "person", "Car": "two-wheeler"})
    assert given.categories == {
        "person": ("Ranger",),
        "vehicle": ("Vehicle",),
        "two-wheeler": ("Car",),
    }


def test_flawed_boxes_are_left_out_counted_and_named(tmp_path: Path) -> None:
    def box(number: int, **changes: Any) -> dict[str, Any]:
        return {"id": number, "image_id": 7, "category_id": 1, "bbox": [1, 1, 9, 9]} | changes

    annotations = [
        box(1),
        box(2, image_id=8),
        box(3, bbox=[float("nan"), 1, 2, 2]),
        box(4, bbox=[1, 1, 0, 5]),
        box(5, bbox=[1, 1, 5, -5]),
        box(6, bbox=[100, 1, 5, 5]),
        box(7, bbox=[90, 1, 15, 5]),
        box(8, category_id=33),
        box(1, bbox=[20, 20, 9, 9]),
        box(10, bbox=[1, 1, 5]),
        box(11, bbox="1 1 5 5"),
        box(12, image_id=[7]),
    ]
    truth = load_truth(written(tmp_path, coco(annotations=annotations)), LABELS)
    assert truth.boxes.tolist() == [[1, 1, 10, 10], [90, 1, 105, 6], [20, 20, 29, 29]]
    counts = {problem.text.split(" (")[0]: problem.items for problem in truth.problems}
    assert counts == {
        "box of an image that is not in the file": ("2", "12"),
        "box that is not four finite numbers": ("3", "10", "11"),
        "box without area": ("4", "5"),
        "box completely outside its image": ("6",),
        "box that reaches beyond its image": ("7",),
        "box of a category that is not in the file": ("8",),
        "annotation id given twice": ("1 (annotations[0] and annotations[8])",),
    }
    assert "2 x box without area" in " / ".join(map(str, truth.problems))


def test_crowds_and_unknown_categories(tmp_path: Path) -> None:
    categories = [{"id": 1, "name": "person"}, {"id": 2, "name": "zebra"}]
    annotations = [
        {"id": 1, "image_id": 7, "category_id": 1, "bbox": [1, 1, 9, 9], "iscrowd": 1},
        {"id": 2, "image_id": 7, "category_id": 2, "bbox": [1, 1, 9, 9]},
    ]
    truth = load_truth(
        written(tmp_path, coco(categories=categories, annotations=annotations)), LABELS
    )
    assert truth.label_ids.tolist() == [0]
    assert truth.ignored.tolist() == [True]
    assert [str(problem) for problem in truth.problems] == [
        "1 x box of category zebra, which the model does not have (not scored): 2"
    ]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("{", "is not JSON"),
        ([], "holds a list"),
        ({}, "no 'images' list"),
        (coco(annotations=None), "no 'annotations' list"),
        (coco(annotations={}), "'annotations' must be a list"),
        (coco(images=[]), "lists no images"),
        (coco(images=[{"id": 1}]), "'file_name'"),
        (coco(images=[{"id": 1, "file_name": "a", "thermal": None}]), "as its thermal file"),
        (
            coco(images=[{"id": 1, "file_name": "a"}, {"id": "1", "file_name": "b"}]),
            "image id 1 is given twice, in images[0] and images[1]",
        ),
        (
            coco(categories=[{"id": 1, "name": "person"}] * 2),
            "category id 1 is given twice, in categories[0] and categories[1]",
        ),
        (coco(images=[{"id": 1, "file_name": "a", "width": "wide"}]), "size of images[0]: 'wide'"),
        (coco(images=[{"id": True, "file_name": "a"}]), "images[0] needs an 'id'"),
        (coco(images=[{"id": 1, "file_name": "a\0b"}]), "images[0] has a file_name with a NUL"),
        (
            coco(annotations=[coco()["annotations"][0] | {"iscrowd": "maybe"}]),
            "annotations[0]: 'maybe' is neither 0 nor 1",
        ),
        (coco(categories=[{"id": 1, "name": "zebra"}]), "none of its categories (zebra)"),
        (coco(categories=[{"name": "person"}]), "needs an 'id'"),
    ],
)
def test_files_that_mean_nothing_are_refused(tmp_path: Path, data: Any, says: str) -> None:
    path = written(tmp_path, data)
    with pytest.raises(DataError) as caught:
        load_truth(path, LABELS)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_absent_file_and_a_wrong_mapping_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't be read"):
        load_truth(tmp_path / "none.json", LABELS)
    with pytest.raises(ConfigError, match="no label 'boat'"):
        load_truth(written(tmp_path, coco()), LABELS, {"Person": "boat"})
    # A mistyped name must not be passed over.
    with pytest.raises(DataError, match="no category 'persn'; it has person, vehicle"):
        load_truth(written(tmp_path, coco()), LABELS, {"persn": "person"})


def test_groups_come_from_the_record_first() -> None:
    assert image_groups({}, "0_100_30_0_03288.jpg") == {"time": "day", "altitude": "over 90 m"}
    assert image_groups({"altitude": 42.0}, "x.jpg") == {"altitude": "30-50 m"}
    record = {"attributes": {"altitude": 30, "time_of_day": "night"}}
    assert image_groups(record, "0_100_30_0_03288.jpg") == {"time": "night", "altitude": "0-30 m"}
    assert image_groups({"altitude": "high", "time_of_day": 3}, "frame_1_60_30.jpg") == {}
    assert [altitude_band(a) for a in (0.0, 30.0, 30.1, 70.0, 90.5)] == [
        "0-30 m",
        "0-30 m",
        "30-50 m",
        "50-70 m",
        "over 90 m",
    ]


def each(records: str, **changes: Any) -> Callable[[dict[str, Any]], None]:
    """Replaces values of each record by what a function makes of it."""

    def change(data: dict[str, Any]) -> None:
        for record in data[records]:
            record |= {key: value(record) for key, value in changes.items()}

    return change


def polygon(record: dict[str, Any]) -> list[list[float]]:
    x, y, width, height = record["bbox"]
    return [[x, y, x + width, y, x + width, y + height, x, y + height]]


@pytest.mark.parametrize(
    "changes",
    [
        [each("annotations", iscrowd=lambda _: "0")],
        [each("annotations", iscrowd=lambda _: None, ignore=lambda _: "false")],
        [each("annotations", image_id=lambda r: str(r["image_id"]))],
        [each("images", id=lambda r: float(r["id"]))],
        [each("images", id=lambda r: str(r["id"])), each("annotations", id=lambda r: str(r["id"]))],
        [each("annotations", category_id=lambda r: f"{r['category_id']}.0")],
        [each("categories", id=lambda r: str(r["id"]))],
        [each("annotations", segmentation=polygon), each("annotations", bbox=lambda _: None)],
        [each("annotations", bbox=lambda r: [str(value) for value in r["bbox"]])],
        [each("images", width=lambda r: str(r["width"]), height=lambda r: float(r["height"]))],
        [each("categories", name=lambda r: f" {r['name'].upper()}S ")],
        [each("images", file_name=lambda r: r["file_name"].replace("/", "\\"))],
        [each("annotations", area=lambda _: float("nan"))],
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_files_of_annotation_tools_are_read_as_meant(
    tmp_path: Path, changes: list[Callable[[dict[str, Any]], None]], encoding: str
) -> None:
    data = coco()
    for image in data["images"]:
        image["file_name"] = f"night/{image['file_name']}"
    expected = load_truth(written(tmp_path, data), LABELS)
    for change in changes:
        change(data)
    path = tmp_path / "other.json"
    path.write_text(json.dumps(data), encoding=encoding)
    truth = load_truth(path, LABELS)
    assert not truth.problems
    np.testing.assert_array_equal(truth.boxes, expected.boxes)
    np.testing.assert_array_equal(truth.image_rows, expected.image_rows)
    np.testing.assert_array_equal(truth.label_ids, expected.label_ids)
    assert not truth.ignored.any()
    names = [(image.file_name, image.width, image.height) for image in truth.images]
    assert names == [("night/a.png", 100, 80), ("night/b.png", 100, 80)]


def test_results_carry_ids_as_the_file_gives_them(tmp_path: Path) -> None:
    data = coco()
    each("images", id=lambda r: f"{r['id']}")(data)
    each("categories", id=lambda r: f"{r['id']}")(data)
    truth = load_truth(written(tmp_path, data), LABELS)
    assert [image.image_id for image in truth.images] == ["7", "9"]
    assert truth.category_ids == {"person": "1", "vehicle": "2"}
    # "007" is a name and not the number 7.
    data["images"] = [{"id": "007", "file_name": "a.png"}, {"id": 7, "file_name": "b.png"}]
    data["annotations"] = [{"id": 1, "image_id": "007", "category_id": 1, "bbox": [1, 1, 5, 5]}]
    assert load_truth(written(tmp_path, data), LABELS).image_rows.tolist() == [0]


def test_a_truth_of_which_nothing_can_be_scored_is_refused(tmp_path: Path) -> None:
    elsewhere = coco()
    each("annotations", image_id=lambda _: 1234)(elsewhere)
    crowds = coco()
    each("annotations", iscrowd=lambda _: 1)(crowds)
    for data, reason in ((elsewhere, "2 x box of an image"), (crowds, "2 x ignored region")):
        truth = load_truth(written(tmp_path, data), LABELS)
        with pytest.raises(DataError, match=f"none of its 2 annotations .*{reason}"):
            truth.require_objects()
    truth = load_truth(written(tmp_path, coco()), LABELS)
    truth.require_objects()
    truth.require_objects(["person"])
    with pytest.raises(DataError, match="an object of two-wheeler"):
        truth.require_objects(["two-wheeler"])
    # Scenes that are known to be empty: false alarms are scored.
    load_truth(written(tmp_path, coco(annotations=[])), LABELS).require_objects()


def test_track_ids_are_read_where_there_are_some(tmp_path: Path) -> None:
    assert load_truth(written(tmp_path, coco()), LABELS).track_ids is None
    data = coco()
    box = data["annotations"][0]
    names = [None, "31", 31.0, "car_3", 2**64, "car_3"]
    data["annotations"] = [box | {"id": n, "track_id": name} for n, name in enumerate(names)]
    truth = load_truth(written(tmp_path, data), LABELS)
    assert truth.track_ids is not None
    assert truth.track_ids.tolist() == [NO_TRACK, 0, 0, 1, 2, 1]
    assert truth.boxes_of(0).track_ids is not None


@pytest.mark.data
@pytest.mark.skipif(not HIT_UAV.is_file(), reason=f"no HIT-UAV annotations at {HIT_UAV}")
def test_hit_uav_as_published() -> None:
    truth = load_truth(HIT_UAV, LABELS)
    record = json.loads(HIT_UAV.read_text())
    assert len(truth) == len(record["annotation"])
    assert len(truth.images) == len(record["images"])
    assert not truth.problems
    dont_care = sum(a["category_id"] == 4 for a in record["annotation"])
    assert np.count_nonzero(truth.ignored) == dont_care > 0
    vehicles = sum(a["category_id"] in (1, 3) for a in record["annotation"])
    assert np.count_nonzero(truth.label_ids == 1) == vehicles
    assert all(image.groups["time"] in ("day", "night") for image in truth.images)
