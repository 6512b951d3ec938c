"""A detector that looks twice: people in the reduced frame, what they carry in the full one."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import yaml

from windhover.errors import BackendError
from windhover.geometry import Lens, down_of_pitch
from windhover.model.bundle import Bundle, file_sha256
from windhover.model.detector import Detector
from windhover.second_look.second_pass import CameraPose
from windhover.types import Frame, FullFrame
from windhover_sim.blob_bundle import build_blob_bundle

# The blob graph calls what is bright a person and what is half as bright a vehicle: here a
# vehicle is carried by a person.
PERSON, CARRIED = 230, 150
WIDTH, HEIGHT = 640, 320
SCALE = 4


@pytest.fixture(scope="module")
def looks_twice(tmp_path_factory):
    """A bundle for RGB with a second graph on chips of 160 px."""
    folder = tmp_path_factory.mktemp("models") / "twice"
    build_blob_bundle(folder, height=HEIGHT, width=WIDTH, channels="rgb")
    build_blob_bundle(folder / "chips", height=160, width=160, channels="rgb", batch=4)
    declare(folder)
    return folder


def declare(folder):
    manifest = yaml.safe_load((folder / "bundle.yaml").read_text())
    manifest["second_look"] = {
        "bundle": "chips",
        "sha256": file_sha256(folder / "chips" / "bundle.yaml"),
        "span_m": 4.8,
        "look_at": ["person"],
    }
    (folder / "bundle.yaml").write_text(yaml.safe_dump(manifest))


def scene(carried=True):
    """A frame with a person, and the same view four times as large with what it carries."""
    full = np.full((HEIGHT * SCALE, WIDTH * SCALE, 3), 40, np.uint8)
    full[400:496, 800:896, 2] = PERSON
    if carried:
        # Beside the person and too small to be seen in the reduced frame.
        full[430:466, 898:934, 2] = CARRIED
    small = cv2.resize(full, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return Frame(small, "bgr8", 0, full=FullFrame(full, "bgr8"))


def found(detector, frame):
    result = detector.detect(frame)
    return {
        detector.labels[i]: box for i, box in zip(result.class_ids, result.boxes, strict=True)
    }, result


def test_what_is_carried_is_found_in_frame_pixels_with_its_carrier(looks_twice):
    with Detector.open(looks_twice, "cpu") as detector:
        boxes, result = found(detector, scene())
        np.testing.assert_allclose(boxes["person"], (200, 100, 224, 124), atol=0.3)
        np.testing.assert_allclose(boxes["vehicle"], (224.5, 107.5, 233.5, 116.5), atol=0.6)
        row = result.class_ids.tolist().index(1)
        np.testing.assert_allclose(result.carriers[row], boxes["person"])
        assert np.isnan(result.carriers[1 - row]).all()
        assert detector.second_pass.looks.found.tolist() == [True]
        assert detector.timings.second_look_ns > 0


def test_without_a_full_frame_chips_come_from_the_image(looks_twice):
    frame = scene()
    with Detector.open(looks_twice, "cpu") as detector:
        boxes, _ = found(detector, Frame(frame.full.image, "bgr8", 0))
        np.testing.assert_allclose(boxes["person"], (800, 400, 896, 496), atol=1.5)
        np.testing.assert_allclose(boxes["vehicle"], (898, 430, 934, 466), atol=2.5)


def test_nothing_carried_is_a_look_that_found_nothing(looks_twice):
    with Detector.open(looks_twice, "cpu") as detector:
        boxes, result = found(detector, scene(carried=False))
        assert set(boxes) == {"person"}
        assert result.carriers is None
        assert detector.second_pass.looks.found.tolist() == [False]


def test_a_chooser_says_who_is_looked_at(looks_twice):
    with Detector.open(looks_twice, "cpu") as detector:
        views = []
        detector.second_pass.chooser = lambda boxes, view: views.append(view) or np.empty(0, int)
        boxes, _ = found(detector, scene())
        assert set(boxes) == {"person"}
        assert views[0].scale == SCALE
        assert views[0].size == (WIDTH, HEIGHT)


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.3, 30.0, 1 / 30.0])
def test_an_altitude_that_is_wrong_loses_nothing(looks_twice, factor):
    # By its box the person is 1.6 m; the pose that agrees with that, and wrong ones.
    lens = Lens.from_hfov((WIDTH, HEIGHT), 66.0)
    altitude = 0.9 + 1.6 * lens.matrix[0, 0] / 24.0
    with Detector.open(looks_twice, "cpu") as detector:
        detector.second_pass.pose = CameraPose(lens, altitude * factor, down_of_pitch(90.0))
        boxes, _ = found(detector, scene())
        assert set(boxes) == {"person", "vehicle"}


def test_a_second_look_that_fails_leaves_the_first(looks_twice, monkeypatch):
    with Detector.open(looks_twice, "cpu") as detector:

        def fail(*_):
            raise BackendError("the graph did not run")

        monkeypatch.setattr(detector.second_pass._second, "look", fail)
        boxes, _ = found(detector, scene())
        assert set(boxes) == {"person"}
        assert detector.second_pass.looks.problem == "the graph did not run"


def test_a_frame_that_no_chips_are_cut_from_is_looked_at_once(looks_twice):
    frame = scene()
    with Detector.open(looks_twice, "cpu") as detector:
        odd = replace(frame, full=FullFrame(np.zeros((9, 9), np.uint16), "mono16"))
        boxes, _ = found(detector, odd)
        assert set(boxes) == {"person"}
        assert "mono16" in detector.second_pass.looks.problem


@pytest.mark.parametrize("fault", ["missing", "broken", "of another release"])
def test_a_second_graph_that_cannot_be_trusted_is_left_out(looks_twice, tmp_path, fault):
    import shutil

    folder = tmp_path / "twice"
    shutil.copytree(looks_twice, folder)
    manifest = folder / "chips" / "bundle.yaml"
    if fault == "missing":
        shutil.rmtree(folder / "chips")
    elif fault == "broken":
        (folder / "chips" / "float.onnx").write_bytes(b"no graph")
    else:
        manifest.write_text(manifest.read_text().replace("1.0.0", "1.0.1"))
    with Detector.open(folder, "cpu") as detector:
        assert detector.second_pass is None
        assert str(folder) in detector.second_look_problem
        boxes, _ = found(detector, scene())
        assert set(boxes) == {"person"}


def test_the_hash_of_the_second_graph_stands_in_the_first_ones_manifest(looks_twice):
    bundle = Bundle.load(looks_twice)
    assert bundle.load_second_look().labels == ("person", "vehicle")
    assert bundle.second_look.sha256 == file_sha256(looks_twice / "chips" / "bundle.yaml")
