"""A detector that looks twice: people in the reduced frame, what they carry in the full one."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support.looks_twice import (
    CARRIED,
    CARRIED_BOX,
    HEIGHT,
    PERSON,
    PERSON_BOX,
    SCALE,
    WIDTH,
    build_looks_twice,
    frame_of,
    full_picture,
)
from windhover.errors import BackendError
from windhover.geometry import Lens, down_of_pitch
from windhover.model.bundle import Bundle, file_sha256
from windhover.model.detector import Detector
from windhover.model.signature import load_private_key, sign_manifest
from windhover.second_look.evidence import LookRates
from windhover.second_look.schedule import LookPolicy, LookScheduler
from windhover.second_look.second_pass import CameraPose
from windhover.types import Detections, Frame, FullFrame


@pytest.fixture(scope="module")
def looks_twice(tmp_path_factory):
    """A bundle for RGB with a second graph on chips of 160 px."""
    return build_looks_twice(tmp_path_factory.mktemp("models") / "twice")


def scene(carried=True):
    """A frame with a person, and the same view four times as large with what it carries."""
    return frame_of(full_picture(carried))


def found(detector, frame):
    result = detector.detect(frame)
    return {
        detector.labels[i]: box for i, box in zip(result.class_ids, result.boxes, strict=True)
    }, result


def test_what_is_carried_is_found_in_frame_pixels_with_its_carrier(looks_twice):
    with Detector.open(looks_twice, "cpu") as detector:
        boxes, result = found(detector, scene())
        np.testing.assert_allclose(boxes["person"], PERSON_BOX, atol=0.3)
        np.testing.assert_allclose(boxes["vehicle"], CARRIED_BOX, atol=0.6)
        row = result.class_ids.tolist().index(1)
        np.testing.assert_allclose(result.carriers[row], boxes["person"])
        assert np.isnan(result.carriers[1 - row]).all()
        assert detector.second_pass.looks.found.tolist() == [True]
        assert detector.timings.by_stage()["second_look"] > 0


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


def test_a_scheduler_says_who_is_looked_at(looks_twice):
    # The person is 96 px in the full frame, and 24 in the reduced one.
    for min_side_px, labels in ((95.0, {"person", "vehicle"}), (97.0, {"person"})):
        policy = LookPolicy(budget_ms=0.0, min_side_px=min_side_px)
        with Detector.open(looks_twice, "cpu") as detector:
            detector.second_pass.scheduler = LookScheduler(policy, LookRates())
            boxes, _ = found(detector, scene())
            assert set(boxes) == labels


def test_without_a_scheduler_everybody_is_looked_at(looks_twice):
    full = full_picture(carried=False)
    for index in range(12):
        row, column = divmod(index, 6)
        x, y = 100 + 400 * column, 60 + 900 * row
        full[y : y + 96, x : x + 96, 2] = PERSON
    with Detector.open(looks_twice, "cpu") as detector:
        detector.detect(frame_of(full))
        assert len(detector.second_pass.looks.boxes) == 13
        assert detector.second_pass.looks.dropped == 0


def test_a_budget_that_is_exceeded_drops_looks_and_says_how_many(looks_twice):
    with Detector.open(looks_twice, "cpu") as detector:
        second_pass = detector.second_pass
        second_pass.scheduler = LookScheduler(LookPolicy(budget_ms=1e-6, every=4), LookRates())
        looks = []
        for _ in range(9):
            boxes, _ = found(detector, scene())
            looks.append((len(second_pass.looks.boxes), second_pass.looks.dropped))
            assert "person" in boxes
        assert looks == [*[*[(0, 1)] * 3, (1, 0)] * 2, (0, 1)]


def test_the_full_frame_may_have_another_aspect_ratio_by_a_row(looks_twice):
    frame = scene()
    taller = np.repeat(frame.full.image, 2, axis=0)
    with Detector.open(looks_twice, "cpu") as detector:
        boxes, _ = found(detector, replace(frame, full=FullFrame(taller, "bgr8")))
    # Everything is twice as tall there, so that the chip's scale is between the two.
    np.testing.assert_allclose(boxes["vehicle"], CARRIED_BOX, atol=1.5)


def test_what_both_looks_find_is_one_object_with_its_carrier(looks_twice):
    full = full_picture(carried=False)
    # Large enough for the first look too.
    full[400:480, 900:980, 2] = CARRIED
    with Detector.open(looks_twice, "cpu") as detector:
        result = detector.detect(frame_of(full))
        row = result.class_ids.tolist().index(1)
        assert result.class_ids.tolist().count(1) == 1
        np.testing.assert_allclose(result.carriers[row], PERSON_BOX, atol=0.5)


def test_other_thresholds_leave_the_second_look_open(looks_twice):
    with Detector.open(looks_twice, "cpu") as detector:
        before = detector.second_pass
        detector.use_thresholds(detector.thresholds.model_copy(update={"max_detections": 1}))
        boxes, _ = found(detector, scene())
        assert detector.second_pass is before
        assert len(boxes) == 1


def test_both_graphs_run_with_the_options_of_their_backend(looks_twice):
    with Detector.open(looks_twice, "cpu", threads=1) as detector:
        assert detector.second_pass is not None
        second = detector.second_pass._second.backend
        assert detector.backend.device == second.device
        assert "a thread per core" not in second.device


def test_the_second_look_can_be_left_out(looks_twice):
    with Detector.open(looks_twice, "cpu", second_look=False) as detector:
        boxes, _ = found(detector, scene())
        assert set(boxes) == {"person"}
        assert "second_look" not in detector.timings.by_stage()


def people(*boxes):
    count = len(boxes)
    return Detections(
        np.array(boxes, np.float32), np.linspace(0.9, 0.8, count, dtype=np.float32),
        np.zeros(count, np.int32), labels=("person", "vehicle"),
    )  # fmt: skip


# Others, as large as the one who carries something.
OTHERS = ((300.0, 100.0, 324.0, 124.0), (400.0, 200.0, 424.0, 224.0))


def carried_with(second_pass, *boxes):
    """Boxes of what is carried, where the first look found people at ``boxes``."""
    result = second_pass.add_to(scene(), people(*boxes))
    return result.boxes[result.class_ids == 1]


def spans_of(second_pass, monkeypatch):
    """Sides of all chips that are looked at from now on, pixels of the full frame."""
    spans, look = [], second_pass._second.look

    def record(full, centers, sides):
        spans.extend(sides.tolist())
        return look(full, centers, sides)

    monkeypatch.setattr(second_pass._second, "look", record)
    return spans


def test_the_scale_is_that_of_all_people_whoever_is_looked_at(looks_twice, monkeypatch):
    lying = (200.0, 100.0, 248.0, 124.0)
    with Detector.open(looks_twice, "cpu") as detector:
        second_pass = detector.second_pass
        spans = spans_of(second_pass, monkeypatch)
        policy = LookPolicy(budget_ms=0.0, max_chips=1)
        second_pass.scheduler = LookScheduler(policy, LookRates())
        second_pass.add_to(scene(), people(lying, *OTHERS))
        assert len(second_pass.looks.boxes) == 1
        # 24 px is the median person, 1.2 m; a chip has 4.8 m.
        assert spans == [24 * SCALE * 4.0]


@pytest.mark.parametrize("known", ["pose", "others' boxes"])
@pytest.mark.parametrize("wrong", ["left", "right", "up", "down", "half", "half as large again"])
def test_a_box_that_is_wrong_by_half_its_size_loses_nothing(looks_twice, known, wrong):
    x1, y1, x2, y2 = PERSON_BOX
    box = {
        "left": (x1 - 12, y1, x2 - 12, y2),
        "right": (x1 + 12, y1, x2 + 12, y2),
        "up": (x1, y1 - 12, x2, y2 - 12),
        "down": (x1, y1 + 12, x2, y2 + 12),
        "half": (x1 + 6, y1 + 6, x2 - 6, y2 - 6),
        "half as large again": (x1 - 6, y1 - 6, x2 + 6, y2 + 6),
    }[wrong]
    with Detector.open(looks_twice, "cpu") as detector:
        if known == "pose":
            lens = Lens.from_hfov((WIDTH, HEIGHT), 66.0)
            altitude = 0.9 + 1.2 * lens.matrix[0, 0] / 24.0
            detector.second_pass.pose = CameraPose(lens, altitude, down_of_pitch(90.0))
        boxes = carried_with(detector.second_pass, box, *OTHERS)
        # The blob graph may take blended pixels at the person's edge for something, too.
        off = np.abs(boxes - np.array(CARRIED_BOX)).max(axis=1)
        assert (off < 0.8).sum() == 1


@pytest.mark.parametrize(("x", "y"), [(4, 400), (4, 4), (2430, 400), (2430, 1180), (1200, 1180)])
def test_a_chip_partly_outside_is_looked_at_all_the_same(looks_twice, x, y):
    full = np.full((HEIGHT * SCALE, WIDTH * SCALE, 3), 40, np.uint8)
    full[y : y + 96, x : x + 96, 2] = PERSON
    # What is carried lies on the side that is in the picture.
    side, tall = (x + 98 if x < 2000 else x - 38), (y + 30)
    full[tall : tall + 36, side : side + 36, 2] = CARRIED
    with Detector.open(looks_twice, "cpu") as detector:
        boxes, _ = found(detector, frame_of(full))
    expected = np.array((side, tall, side + 36, tall + 36)) / SCALE
    np.testing.assert_allclose(boxes["vehicle"], expected, atol=0.8)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_lens_may_be_calibrated_at_another_size(looks_twice, monkeypatch, factor):
    lens = Lens.from_hfov((round(WIDTH * factor), round(HEIGHT * factor)), 66.0)
    with Detector.open(looks_twice, "cpu") as detector:
        spans = spans_of(detector.second_pass, monkeypatch)
        detector.second_pass.pose = CameraPose(lens, 20.9, down_of_pitch(90.0))
        boxes, _ = found(detector, scene())
        assert set(boxes) == {"person", "vehicle"}
    # 20 m below the lens, and further away for not being in the middle of the picture.
    focal = Lens.from_hfov((WIDTH, HEIGHT), 66.0).matrix[0, 0]
    x1, y1, x2, y2 = PERSON_BOX
    away = np.hypot((x1 + x2 - WIDTH) / 2, (y1 + y2 - HEIGHT) / 2) / focal
    assert spans == [pytest.approx(SCALE * 4.8 * focal / 20.0 / np.hypot(1.0, away), rel=0.01)]


@pytest.mark.parametrize(("factor", "doubted"), [(0.7, 0), (1.3, 0), (30.0, 1), (1 / 30.0, 1)])
def test_an_altitude_that_is_not_believed_is_counted(looks_twice, factor, doubted):
    lens = Lens.from_hfov((WIDTH, HEIGHT), 66.0)
    altitude = 0.9 + 1.2 * lens.matrix[0, 0] / 24.0
    with Detector.open(looks_twice, "cpu") as detector:
        detector.second_pass.pose = CameraPose(lens, altitude * factor, down_of_pitch(90.0))
        detector.detect(scene())
        assert detector.second_pass.looks.by_boxes == doubted


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


def test_a_second_graph_that_another_signed_is_left_out(looks_twice, tmp_path):
    import shutil

    keys = {}
    for name in ("ours", "another's"):
        (tmp_path / f"{name}.key").write_bytes(name.encode().ljust(32, b"."))
        keys[name] = load_private_key(tmp_path / f"{name}.key")
    public = tmp_path / "ours.pub"
    public.write_bytes(keys["ours"].public_key().public_bytes_raw())
    folder = tmp_path / "twice"
    shutil.copytree(looks_twice, folder)
    sign_manifest(folder / "bundle.yaml", keys["ours"])
    # The signature of the first manifest covers the hash of the second.
    with Detector(Bundle.load(folder, public_key=public), "cpu") as detector:
        assert detector.second_pass is not None
    manifest = folder / "chips" / "bundle.yaml"
    manifest.write_text(manifest.read_text().replace("1.0.0", "1.0.1"))
    sign_manifest(manifest, keys["another's"])
    with Detector(Bundle.load(folder, public_key=public), "cpu") as detector:
        assert detector.second_pass is None
        assert "is not the one" in detector.second_look_problem
        boxes, _ = found(detector, scene())
        assert set(boxes) == {"person"}


def test_the_hash_of_the_second_graph_stands_in_the_first_ones_manifest(looks_twice):
    bundle = Bundle.load(looks_twice)
    assert bundle.load_second_look().labels == ("person", "vehicle")
    assert bundle.second_look.sha256 == file_sha256(looks_twice / "chips" / "bundle.yaml")
