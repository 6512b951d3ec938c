"""The released bundles load, and see the people of real frames they were not trained on."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.fixtures import data_folder
from windhover.imaging.agc import percentile_agc
from windhover.model.bundle import Bundle
from windhover.model.detector import Detector
from windhover.types import Frame
from windhover_evaluation.detection.truth_file import load_truth
from windhover_sim import Scene, SceneConfig
from windhover_sim.calibration import true_homography

MODELS = Path(__file__).parents[4] / "models"
# Of flight night-70m-00862, which is held out of training.
FRAMES = range(862, 1060)


def overlaps(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(x[:, 2:] - x[:, :2]).prod(axis=1) for x in (a, b)]
    return shared / (areas[0][:, None] + areas[1][None] - shared)


@pytest.mark.parametrize("folder", sorted(p.parent for p in MODELS.rglob("bundle.yaml")))
def test_every_bundle_is_complete(folder: Path) -> None:
    bundle = Bundle.load(folder)
    assert bundle.name == folder.name.replace("_", "-")
    assert bundle.provenance["licence"].startswith("AGPL-3.0")


@pytest.mark.data
@pytest.mark.parametrize("precision", ["float", "int8"])
def test_thermal_n_finds_people_at_night(precision: str) -> None:
    folder = data_folder() / "hit_uav" / "normal_json" / "test"
    if not (MODELS / "thermal-n" / "bundle.yaml").is_file():
        pytest.skip("models/thermal-n is not in this checkout")
    found = wanted = 0
    with Detector.open(MODELS / "thermal-n", precision=precision, threads=1) as detector:
        truth = load_truth(folder.parent / "annotations" / "test.json", detector.labels)
        person = detector.labels.index("person")
        for row, image in enumerate(truth.images):
            kind, height, *_, number = Path(image.file_name).stem.split("_")
            if (kind, height) != ("1", "70") or int(number) not in FRAMES:
                continue
            pixels = cv2.imread(str(folder / image.file_name), cv2.IMREAD_GRAYSCALE)
            here = truth.boxes_of(row)
            people = here.boxes[(here.label_ids == person) & ~here.ignored]
            seen = detector.detect(Frame(pixels, "mono8", 0))
            boxes = seen.boxes[seen.class_ids == person]
            wanted += len(people)
            if len(boxes) and len(people):
                found += int((overlaps(people, boxes).max(axis=1) > 0.5).sum())
    assert wanted > 20
    assert found > 0.4 * wanted


@pytest.fixture(scope="module")
def rgbt_frame() -> tuple[np.ndarray, np.ndarray]:
    """A rendered night frame as ``rgbt/image`` has it, and its people's boxes."""
    config = SceneConfig(seed=7_001, n_people=24, n_armed=0, altitude_m=36, duration_s=1.0)
    shot = Scene(config).render(0, "both")
    assert shot.rgb is not None
    assert shot.thermal is not None
    thermal = cv2.warpPerspective(
        percentile_agc(shot.thermal),
        true_homography(shot.rgb_camera, shot.thermal_camera),
        config.rgb_size,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    truth = shot.rgb_truth
    clear = (truth.class_ids == 0) & (truth.visibility > 0.8)
    return np.dstack([shot.rgb, thermal]), truth.boxes[clear]


@pytest.mark.parametrize(("blank", "least"), [("none", 0.5), ("rgb", 0.25)])
def test_rgbt_n_finds_people_at_night(
    rgbt_frame: tuple[np.ndarray, np.ndarray], blank: str, least: float
) -> None:
    if not (MODELS / "rgbt-n" / "bundle.yaml").is_file():
        pytest.skip("models/rgbt-n is not in this checkout")
    pixels, people = rgbt_frame
    if blank == "rgb":
        pixels = pixels.copy()
        pixels[..., :3] = 0
    with Detector.open(MODELS / "rgbt-n", "cpu", threads=1) as detector:
        seen = detector.detect(Frame(pixels, "8UC4", 0))
    boxes = seen.boxes[seen.class_ids == detector.labels.index("person")]
    assert len(people) >= 8
    assert len(boxes)
    found = float((overlaps(people, boxes).max(axis=1) > 0.5).mean())
    assert found > least


@pytest.mark.data
def test_rgbt_n_sees_people_and_vehicles_in_real_pictures() -> None:
    folder = data_folder() / "visdrone_val"
    if not (MODELS / "rgbt-n" / "bundle.yaml").is_file():
        pytest.skip("models/rgbt-n is not in this checkout")
    if not (folder / "truth.json").is_file():
        pytest.skip(f"no VisDrone pictures at {folder}")
    truth = json.loads((folder / "truth.json").read_text())
    names = {each["id"]: each["name"] for each in truth["categories"]}
    found = dict.fromkeys(("person", "vehicle"), 0)
    wanted = dict(found)
    with Detector.open(MODELS / "rgbt-n", "cpu", threads=1) as detector:
        for image in truth["images"][::12]:
            colour = cv2.imread(str(folder / "images" / image["file_name"]))
            blank = np.zeros(colour.shape[:2], np.uint8)
            seen = detector.detect(Frame(np.dstack([colour, blank]), "8UC4", 0))
            for label in found:
                xywh = [
                    row["bbox"]
                    for row in truth["annotations"]
                    if row["image_id"] == image["id"]
                    and names[row["category_id"]] == label
                    and not row["iscrowd"]
                ]
                objects = np.array(xywh, np.float32).reshape(-1, 4)
                objects[:, 2:] += objects[:, :2]
                boxes = seen.boxes[seen.class_ids == detector.labels.index(label)]
                wanted[label] += len(objects)
                if len(boxes) and len(objects):
                    found[label] += int((overlaps(objects, boxes).max(axis=1) > 0.5).sum())
    # 0.3.0, which had seen no real RGB picture, found 9 % and 13 % of all of them.
    assert min(wanted.values()) > 40
    assert found["person"] > 0.12 * wanted["person"]
    assert found["vehicle"] > 0.25 * wanted["vehicle"]
