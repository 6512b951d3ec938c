"""A real bundle over real image files, from truth file to report."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from windhover.errors import ConfigError, DataError
from windhover.model.detector import Detector
from windhover_evaluation.detection.frames import SizeMismatchError
from windhover_evaluation.detection.model_evaluation import evaluate_model, open_for_evaluation
from windhover_sim.blob_bundle import build_blob_bundle

Rectangle = tuple[int, int, int, int, int]
# x1, y1, x2, y2, grey level: what the bundle takes for a person or a vehicle.
PERSONS: list[Rectangle] = [(20, 30, 44, 78, 230), (200, 100, 216, 140, 210)]
VEHICLE: Rectangle = (300, 300, 360, 330, 150)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    folder = tmp_path_factory.mktemp("models") / "blobs"
    build_blob_bundle(folder)
    return open_for_evaluation(folder, "cpu", threads=1)


def draw(path: Path, rectangles: list[Rectangle]) -> None:
    image = np.full((512, 640), 60, np.uint8)
    for x1, y1, x2, y2, level in rectangles:
        image[y1:y2, x1:x2] = level
    assert cv2.imwrite(str(path), image)


def box(rectangle: Rectangle, dx: int = 0) -> list[int]:
    x1, y1, x2, y2, _ = rectangle
    return [x1 + dx, y1, x2 - x1, y2 - y1]


@pytest.fixture
def case(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """Images, and truth in which one person is 2 px off and one vehicle is not there."""
    images = tmp_path / "images"
    images.mkdir()
    draw(images / "a.png", [*PERSONS, VEHICLE])
    draw(images / "b.png", [PERSONS[0]])
    draw(images / "c.png", [])
    truth = {
        "images": [
            {"id": 40 + n, "file_name": f"{name}.png", "width": 640, "height": 512}
            for n, name in enumerate("abc")
        ],
        "categories": [{"id": 3, "name": "person"}, {"id": 8, "name": "vehicle"}],
        "annotations": [
            {"id": 1, "image_id": 40, "category_id": 3, "bbox": box(PERSONS[0])},
            {"id": 2, "image_id": 40, "category_id": 3, "bbox": box(PERSONS[1], dx=2)},
            {"id": 3, "image_id": 40, "category_id": 8, "bbox": box(VEHICLE)},
            {"id": 4, "image_id": 41, "category_id": 3, "bbox": box(PERSONS[0])},
            {"id": 5, "image_id": 41, "category_id": 8, "bbox": box(VEHICLE)},
        ],
    }
    for annotation in truth["annotations"]:
        annotation |= {"iscrowd": 0, "area": annotation["bbox"][2] * annotation["bbox"][3]}
    return tmp_path, truth


def write(folder: Path, truth: dict[str, Any]) -> Path:
    path = folder / "truth.json"
    path.write_text(json.dumps(truth))
    return path


def reference_ap(truth: Path, predictions: Path, category: int) -> tuple[float, float]:
    """AP50 and AP50-95 as anybody gets them from the two files."""
    with contextlib.redirect_stdout(io.StringIO()):
        there = COCO(str(truth))
        evaluation = COCOeval(there, there.loadRes(str(predictions)), "bbox")
        evaluation.params.catIds = [category]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[1]), float(evaluation.stats[0])


def test_files_that_are_written(detector: Detector, case: tuple[Path, dict[str, Any]]) -> None:
    folder, truth = case
    path = write(folder, truth)
    calls: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        calls.append((done, total))

    result = evaluate_model(detector, folder / "images", path, folder / "out", progress=progress)
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert sorted(p.name for p in (folder / "out").iterdir()) == [
        "confusion.png",
        "metrics.json",
        "precision_recall.png",
        "predictions.json",
        "report.html",
    ]
    metrics = json.loads((folder / "out" / "metrics.json").read_text())
    person, vehicle = (metrics["detection"]["classes"][n] for n in ("person", "vehicle"))
    assert person["precision"] == person["recall"] == 1.0
    assert (vehicle["precision"], vehicle["recall"]) == (1.0, 0.5)
    assert person["score_threshold"] == detector.bundle.thresholds.score
    for category, scores in ((3, person), (8, vehicle)):
        ap50, ap = reference_ap(path, folder / "out" / "predictions.json", category)
        assert scores["AP50"] == pytest.approx(ap50, abs=1e-6)
        assert scores["AP50-95"] == pytest.approx(ap, abs=1e-6)
    assert person["AP50"] > 0.99 > person["AP50-95"] > 0.5
    assert metrics["detection"]["empty_images"] == {
        "images": 1,
        "with_detections": 0,
        "false_positives": 0,
        "false_positives_per_image": 0.0,
    }
    assert metrics["run"]["backend"] == "cpu"
    assert metrics["run"]["digest"] == detector.bundle.digest
    assert metrics["latency_ms"]["inference"]["count"] == 3
    assert metrics["images"] == {"total": 3, "unreadable": []}
    assert not result.warnings

    rows = json.loads((folder / "out" / "predictions.json").read_text())
    strong = [row for row in rows if row["score"] > 0.5]
    assert sorted((row["image_id"], row["category_id"]) for row in strong) == [
        (40, 3),
        (40, 3),
        (40, 8),
        (41, 3),
    ]
    np.testing.assert_allclose(
        next(row["bbox"] for row in strong if row["category_id"] == 8), box(VEHICLE), atol=0.05
    )
    report = (folder / "out" / "report.html").read_text()
    assert report.count("<img ") == 3
    assert "1 of 2 objects found, 1 missed, 0 false" in report
    assert (folder / "out" / "precision_recall.png").read_bytes()[1:4] == b"PNG"


def test_labels_that_are_asked_for(detector: Detector, case: tuple[Path, dict[str, Any]]) -> None:
    folder, truth = case
    path = write(folder, truth)
    result = evaluate_model(detector, folder / "images", path, folder / "out", ["vehicle"])
    assert [each.label for each in result.scores.classes] == ["vehicle"]
    rows = json.loads((folder / "out" / "predictions.json").read_text())
    assert {row["category_id"] for row in rows} == {8}
    with pytest.raises(ConfigError, match="boat"):
        evaluate_model(detector, folder / "images", path, folder / "none", ["boat"])
    assert not (folder / "none").exists()


def test_unreadable_images_are_named_and_count_as_missed(
    detector: Detector, case: tuple[Path, dict[str, Any]]
) -> None:
    folder, truth = case
    names = ["absent.png", "cut.png", "nothing.png", "text.jpg"]
    for n, name in enumerate(names):
        truth["images"].append({"id": 50 + n, "file_name": name, "width": 640, "height": 512})
        truth["annotations"].append(
            {"id": 50 + n, "image_id": 50 + n, "category_id": 3, "bbox": box(PERSONS[0])}
        )
    content = (folder / "images" / "a.png").read_bytes()
    (folder / "images" / "cut.png").write_bytes(content[: len(content) // 2])
    (folder / "images" / "nothing.png").write_bytes(b"")
    (folder / "images" / "text.jpg").write_text("not a picture")
    result = evaluate_model(detector, folder / "images", write(folder, truth), folder / "out")
    assert [each.file_name for each in result.unreadable] == names
    assert all(name in result.warnings[0] for name in names)
    metrics = json.loads((folder / "out" / "metrics.json").read_text())
    assert [each["file_name"] for each in metrics["images"]["unreadable"]] == names
    assert metrics["detection"]["classes"]["person"]["recall"] == pytest.approx(3 / 7, abs=1e-6)
    assert "absent.png" in (folder / "out" / "report.html").read_text()


def test_no_image_at_all_is_an_error(detector: Detector, case: tuple[Path, dict[str, Any]]) -> None:
    folder, truth = case
    with pytest.raises(DataError, match="none of the 3 images"):
        evaluate_model(detector, folder / "nowhere", write(folder, truth), folder / "out")
    assert not (folder / "out").exists()


def test_images_are_found_by_the_last_part_of_their_name(
    detector: Detector, case: tuple[Path, dict[str, Any]]
) -> None:
    folder, truth = case
    for image in truth["images"]:
        image["file_name"] = f"set/val/{image['file_name']}"
    result = evaluate_model(detector, folder / "images", write(folder, truth), folder / "out")
    assert not result.unreadable


def test_a_detector_with_high_thresholds_is_warned_of(
    detector: Detector, case: tuple[Path, dict[str, Any]]
) -> None:
    folder, truth = case
    with Detector(detector.bundle, "cpu", threads=1) as strict:
        result = evaluate_model(strict, folder / "images", write(folder, truth), folder / "out")
    assert any("AP is too low" in warning for warning in result.warnings)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """Two pairs on one grid: RGB shows a person, thermal another one."""
    for camera, rectangles in (("rgb", [PERSONS[0]]), ("thermal", [PERSONS[1]])):
        (tmp_path / "images" / camera).mkdir(parents=True)
        for number in (0, 1):
            draw(tmp_path / "images" / camera / f"{number}.png", rectangles)
    names = [{camera: f"{camera}/{n}.png" for camera in ("rgb", "thermal")} for n in (0, 1)]
    return tmp_path, {
        "images": [{"id": n, "file_name": each["rgb"], **each} for n, each in enumerate(names)],
        "categories": [{"id": 3, "name": "person"}],
        "annotations": [
            {"id": 2 * n + k, "image_id": n, "category_id": 3, "bbox": box(person)}
            for n in (0, 1)
            for k, person in enumerate(PERSONS)
        ],
    }


@pytest.fixture(scope="module")
def detectors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Detector]:
    folder = tmp_path_factory.mktemp("kinds")
    for channels in ("rgb", "thermal", "rgbt"):
        build_blob_bundle(folder / channels, channels=channels)
    return {each.name: open_for_evaluation(each, "cpu", threads=1) for each in folder.iterdir()}


def test_both_files_of_a_pair_are_looked_at(
    detectors: dict[str, Detector], pair: tuple[Path, dict[str, Any]]
) -> None:
    folder, truth = pair
    path = write(folder, truth)
    for channels, recall in (("rgbt", 1.0), ("rgb", 0.5), ("thermal", 0.5)):
        result = evaluate_model(detectors[channels], folder / "images", path, folder / channels)
        assert result.scores.classes[0].at_threshold.recall == recall
        assert not any("picture" in warning for warning in result.warnings)
    for image in truth["images"]:
        del image["thermal"]
    path = write(folder, truth)
    result = evaluate_model(detectors["rgbt"], folder / "images", path, folder / "rgb_alone")
    assert result.scores.classes[0].at_threshold.recall == 0.5
    warning = "2 of 2 images have no thermal picture: the model saw black there"
    assert warning in result.warnings
    assert warning in json.loads((folder / "rgb_alone" / "metrics.json").read_text())["warnings"]


def test_a_missing_or_unfitting_half_of_a_pair_is_reported(
    detectors: dict[str, Detector], pair: tuple[Path, dict[str, Any]]
) -> None:
    folder, truth = pair
    (folder / "images" / "thermal" / "0.png").unlink()
    small = np.zeros((256, 320), np.uint8)
    assert cv2.imwrite(str(folder / "images" / "thermal" / "1.png"), small)
    path = write(folder, truth)
    with pytest.raises(DataError, match=r"none of the 2 images .*thermal/0\.png"):
        evaluate_model(detectors["rgbt"], folder / "images", path, folder / "out")
    draw(folder / "images" / "thermal" / "0.png", [PERSONS[1]])
    result = evaluate_model(detectors["rgbt"], folder / "images", path, folder / "out")
    (bad,) = result.unreadable
    assert bad.file_name == "rgb/1.png"
    assert "are not of one size (640x512 and 320x256)" in bad.reason
    assert result.scores.classes[0].at_threshold.recall == 0.5
    # RGB alone is read where the model looks at nothing else.
    result = evaluate_model(detectors["rgb"], folder / "images", path, folder / "colour")
    assert not result.unreadable


def test_pictures_of_another_size_than_the_truth_are_refused(
    detector: Detector, case: tuple[Path, dict[str, Any]]
) -> None:
    folder, truth = case
    for image in truth["images"]:
        path = folder / "images" / image["file_name"]
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        assert cv2.imwrite(str(path), cv2.resize(pixels, (320, 256)))
    with pytest.raises(SizeMismatchError, match=r"a\.png is 320x256 pixels .* gives 640x512"):
        evaluate_model(detector, folder / "images", write(folder, truth), folder / "out")
    # A truth that gives no size is known by its boxes.
    for image in truth["images"]:
        del image["width"], image["height"]
    with pytest.raises(SizeMismatchError, match=r"has a box of it at 300,300 to 360,330, outside"):
        evaluate_model(detector, folder / "images", write(folder, truth), folder / "out")
    assert not (folder / "out").exists()


def test_a_picture_that_lies_on_its_side_is_named(
    detector: Detector, case: tuple[Path, dict[str, Any]]
) -> None:
    folder, truth = case
    for image in truth["images"]:
        image["width"], image["height"] = image["height"], image["width"]
    truth["annotations"] = truth["annotations"][:1]
    with pytest.raises(SizeMismatchError, match=r"640x512 pixels .* 512x640 .*EXIF orientation"):
        evaluate_model(detector, folder / "images", write(folder, truth), folder / "out")


def test_an_exif_rotated_picture_is_scored_upright(
    detector: Detector, case: tuple[Path, dict[str, Any]]
) -> None:
    folder, truth = case
    for image in truth["images"]:
        upright = Image.open(folder / "images" / image["file_name"]).convert("RGB")
        image["file_name"] = image["file_name"].replace(".png", ".jpg")
        exif = upright.getexif()
        exif[0x0112] = 6  # to be turned by 90 degrees clockwise
        turned = upright.transpose(Image.Transpose.ROTATE_90)
        turned.save(folder / "images" / image["file_name"], quality=98, exif=exif)
    result = evaluate_model(detector, folder / "images", write(folder, truth), folder / "out")
    assert result.scores.classes[0].at_threshold.recall == 1.0


def test_a_truth_without_an_object_to_score_is_refused(
    detector: Detector, case: tuple[Path, dict[str, Any]]
) -> None:
    folder, truth = case
    for annotation in truth["annotations"]:
        annotation["iscrowd"] = 1
    with pytest.raises(DataError, match="none of its 5 annotations"):
        evaluate_model(detector, folder / "images", write(folder, truth), folder / "out")
    truth["annotations"] = []
    empty = evaluate_model(detector, folder / "images", write(folder, truth), folder / "empty")
    assert empty.scores.empty_images == 3
    assert empty.scores.empty_images_false_positives == 4
