import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from windhover.boxes import clip_results
from windhover.types import Detections
from windhover_bringup.prediction.labels import CocoDetections, yolo_text

WIDTH, HEIGHT = 200, 100


def detections(*boxes):
    count = len(boxes)
    scores = np.linspace(0.9, 0.5, count).astype(np.float32)
    return Detections(
        np.array(boxes, np.float32).reshape(-1, 4), scores, np.arange(count, dtype=np.int32)
    )


def test_yolo_text_is_a_share_of_the_pictures_size():
    found = detections([50, 25, 150, 75], [0, 0, 20, 10])
    assert yolo_text(found, WIDTH, HEIGHT) == (
        "0 0.500000 0.500000 0.500000 0.500000\n1 0.050000 0.050000 0.100000 0.100000\n"
    )
    assert yolo_text(found, WIDTH, HEIGHT, scores=True) == (
        "0 0.500000 0.500000 0.500000 0.500000 0.9000\n"
        "1 0.050000 0.050000 0.100000 0.100000 0.5000\n"
    )


def test_boxes_are_clipped_and_those_outside_left_out():
    found = clip_results(
        detections([-10, 20, 30, 120], [200, 0, 220, 50], [5, 5, 6, 6]), WIDTH, HEIGHT
    )
    np.testing.assert_array_equal(found.boxes, [[0, 20, 30, 100], [5, 5, 6, 6]])
    assert found.class_ids.tolist() == [0, 2]


@given(arrays(np.float32, (5, 4), elements=st.floats(-400, 400, width=32)))
def test_clipped_boxes_have_area_inside_the_picture(boxes):
    found = clip_results(detections(*boxes), WIDTH, HEIGHT)
    assert (found.boxes[:, :2] >= 0).all()
    assert (found.boxes[:, 2:] <= [WIDTH, HEIGHT]).all()
    assert (found.boxes[:, 2:] > found.boxes[:, :2]).all()


def test_coco_is_what_pycocotools_reads(tmp_path, capsys):
    coco = CocoDetections(["person", "vehicle"])
    coco.add("a.jpg", detections([1, 2, 11, 22], [0, 0, 4, 4]), WIDTH, HEIGHT)
    coco.add("b.jpg", detections(), WIDTH, HEIGHT)
    coco.write(tmp_path / "c.json")
    document = json.loads((tmp_path / "c.json").read_text())
    assert [image["file_name"] for image in document["images"]] == ["a.jpg", "b.jpg"]
    assert document["annotations"][0]["bbox"] == [1, 2, 10, 20]
    assert document["annotations"][1]["category_id"] == 2
    tool = pytest.importorskip("pycocotools.coco").COCO(str(tmp_path / "c.json"))
    loaded = tool.loadRes(document["annotations"])
    assert [a["score"] for a in loaded.loadAnns(loaded.getAnnIds(imgIds=[1]))] == pytest.approx(
        [0.9, 0.5]
    )
    assert loaded.getAnnIds(imgIds=[2]) == []
    capsys.readouterr()
