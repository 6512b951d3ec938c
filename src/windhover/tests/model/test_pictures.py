"""A picture at hand goes into the detector as it is: a path, an array or a frame."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from windhover.errors import ConfigError, EncodingError, SourceError
from windhover.imaging.agc import ToneConfig
from windhover.model.bundle import Bundle
from windhover.model.detector import Detector
from windhover.model.pictures import ModelInput, to_frame
from windhover.tracking import make_tracker
from windhover.types import Detections, Frame, Tracks
from windhover_sim.blob_bundle import build_blob_bundle


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    build_blob_bundle(folder / "thermal")
    build_blob_bundle(folder / "rgb", channels="rgb", height=384, width=640)
    build_blob_bundle(folder / "rgbt", channels="rgbt", height=512, width=640)
    return folder


def blob(*size: int, dtype: Any = np.uint8) -> np.ndarray:
    """A person's rectangle of 40 x 60 pixels on grey."""
    image = np.full(size, 60, dtype)
    image[100:160, 200:240] = 230
    return image


BOX = [200.0, 100.0, 240.0, 160.0]


def check_person(found: Detections) -> None:
    assert found.names == ["person"]
    np.testing.assert_allclose(found.boxes[0], BOX, atol=0.5)


def test_one_line_takes_a_file_to_names_and_boxes(models: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "picture.png"), blob(512, 640))
    found = Detector.open(models / "thermal").detect(tmp_path / "picture.png").to_dict()
    assert json.loads(json.dumps(found)) == found
    (person,) = found
    assert set(person) == {"name", "class_id", "score", "box"}
    assert (person["name"], person["class_id"]) == ("person", 0)
    np.testing.assert_allclose(person["box"], BOX, atol=0.5)


@pytest.mark.parametrize(
    ("bundle", "image", "encoding"),
    [
        ("thermal", blob(512, 640), None),
        ("thermal", blob(512, 640, 1), None),
        ("thermal", np.asfortranarray(blob(512, 640)), None),
        ("thermal", blob(512, 640)[::1, ::1], "mono8"),
        ("thermal", blob(512, 640, 3), None),
        ("rgb", blob(384, 640, 3), None),
        ("rgb", blob(384, 640, 3), "rgb8"),
        ("rgb", blob(384, 640, 4), None),
        ("rgbt", blob(512, 640, 4), None),
    ],
)
def test_an_array_is_taken_as_opencv_reads_it(
    models: Path, bundle: str, image: np.ndarray, encoding: str | None
) -> None:
    with Detector.open(models / bundle) as detector:
        check_person(detector.detect(image, encoding))


def test_colour_arrays_are_blue_green_red(models: Path) -> None:
    blue = np.zeros((384, 640, 3), np.uint8)
    blue[..., 0] = 200
    assert to_frame(blue, "rgb").encoding == "bgr8"
    with Detector.open(models / "rgb") as detector:
        drawn = detector.draw(blue, Detections())
        swapped = detector.draw(blue, Detections(), "rgb8")
    assert drawn[0, 0].tolist() == [200, 0, 0]
    assert swapped[0, 0].tolist() == [0, 0, 200]


@pytest.mark.parametrize("image", [blob(512, 640), blob(512, 640, dtype=np.uint16)])
def test_a_model_of_both_cameras_takes_thermal_alone(models: Path, image: np.ndarray) -> None:
    model_input = ModelInput(Bundle.load(models / "rgbt"))
    frame = model_input.of(to_frame(image, "rgbt"))
    assert frame.encoding == "8UC4"
    assert not frame.image[..., :3].any()
    assert frame.image[130, 220, 3] > frame.image[10, 10, 3]


def test_a_model_of_both_cameras_takes_a_photograph(models: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "picture.png"), blob(512, 640, 3))
    with Detector.open(models / "rgbt") as detector:
        from_file = detector.detect(str(tmp_path / "picture.png"))
        from_array = detector.detect(blob(512, 640, 3))
        with pytest.raises(ConfigError, match="rgbt images"):
            detector.detect(Frame(blob(512, 640, 3), "bgr8", 0))
    np.testing.assert_array_equal(from_file.boxes, from_array.boxes)


def test_pictures_do_not_smooth_each_other(models: Path) -> None:
    tone = ToneConfig(smoothing_s=10.0)
    bundle = Bundle.load(models / "thermal").model_copy(update={"tone": tone})
    wide = np.linspace(0, 4000, 512 * 640).astype(np.uint16).reshape(512, 640)
    narrow = wide // 3 + 1000
    with Detector(bundle, "cpu", threads=1) as detector:
        detector.detect(narrow)
        alone = detector._input.copy()
        detector.detect(wide)
        detector.detect(narrow)
        np.testing.assert_array_equal(detector._input, alone)


@pytest.mark.parametrize(
    "image",
    [
        blob(512, 640).astype(np.float32),
        blob(512, 640).astype(np.int64),
        blob(512, 640, 2),
        blob(512, 640, 3, dtype=np.uint16),
        np.zeros(7, np.uint8),
        np.zeros((1, 512, 640, 3), np.uint8),
    ],
)
def test_an_array_of_another_kind_is_refused(models: Path, image: np.ndarray) -> None:
    with (
        Detector.open(models / "thermal") as detector,
        pytest.raises(EncodingError, match="is no picture"),
    ):
        detector.detect(image)


def test_what_is_no_picture_is_refused_in_a_line(models: Path, tmp_path: Path) -> None:
    with Detector.open(models / "thermal") as detector:
        with pytest.raises(SourceError, match=r"nothing\.png"):
            detector.detect(tmp_path / "nothing.png")
        with pytest.raises(ConfigError, match="is for arrays"):
            detector.detect(Frame(blob(512, 640), "mono8", 0), "mono8")
        with pytest.raises(ConfigError, match="alpha"):
            detector.detect(blob(512, 640, 4))


def test_a_drawn_picture_shows_what_was_found(models: Path) -> None:
    image = blob(512, 640)
    with Detector.open(models / "thermal") as detector:
        found = detector.detect(image)
        drawn = detector.draw(image, found)
    assert (drawn[:512] != detector.draw(image, Detections())[:512]).any()
    assert drawn[130, 198].tolist() != [60, 60, 60]
    assert drawn[130, 220].tolist() == [230, 230, 230]


def test_tracks_hold_names_and_ids(models: Path) -> None:
    tracker = make_tracker()
    with Detector.open(models / "thermal") as detector:
        tracks = Tracks()
        for number in range(5):
            tracks = tracker.update(detector.detect(blob(512, 640)), number * 33_000_000)
        drawn = detector.draw(blob(512, 640), tracks)
    (track,) = tracks.to_dict()
    assert track["name"] == "person"
    assert track["track_id"] == tracks.track_ids[0]
    assert track["carried_by"] is None
    assert tracks[:0].labels == tracks.labels
    assert drawn.shape[1] == 640


def test_carried_objects_say_by_whom() -> None:
    tracks = Tracks(
        np.zeros((2, 4), np.float32),
        np.ones(2, np.float32),
        np.array([0, 9], np.int32),
        np.array([4, 5]),
        np.array([0, 4]),
        np.array([0.0, 0.75], np.float32),
        labels=("person",),
    )
    assert [(t["name"], t["carried_by"]) for t in tracks.to_dict()] == [
        ("person", None),
        ("class 9", 4),
    ]
