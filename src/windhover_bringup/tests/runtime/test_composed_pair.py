import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from tests.support.fixtures import Collector, run_to_end
from windhover.errors import SourceError
from windhover_bringup.recording.outputs import RunOutputs
from windhover_bringup.runtime.composed import Pipeline
from windhover_bringup.runtime.settings import settings_of


@pytest.fixture
def make_pipeline(ros, rgbt_bundle):
    """Builds a pipeline for two cameras; closed after the test."""
    built = []

    def build(source, **pairing):
        config = settings_of(None, source, str(rgbt_bundle), rate=0.0)
        built.append(Pipeline(config.with_values("pairing", **pairing)))
        return built[-1]

    yield build
    for pipeline in built:
        pipeline.close()


def by_label(detections):
    return {int(c): b for c, b in zip(detections.class_ids, detections.boxes, strict=True)}


def test_people_of_the_thermal_picture_are_found_where_rgb_has_them(make_pipeline, two_cameras):
    """The bundle sees a person in T and a vehicle in R; T lies 24 pixels to the left."""
    pipeline = make_pipeline(str(two_cameras.folder), calibration=str(two_cameras.calibration))
    handed = Collector()
    pipeline.pairing.outputs.append(handed)
    seen = run_to_end(pipeline)
    assert len(seen) == len(handed.frames) == two_cameras.count
    for index, (frame, detections, _) in enumerate(seen):
        # The very array that the pairing node made: no copy between the stages.
        assert frame is handed.frames[index]
        assert frame.encoding == "8UC4"
        found = by_label(detections)
        np.testing.assert_allclose(found[0], two_cameras.person(index), atol=0.6)
        np.testing.assert_allclose(found[1], two_cameras.vehicle(index), atol=0.6)
    counts = pipeline.pairing.facts()
    assert counts["pairs"] == str(two_cameras.count)
    assert float(counts["pairing_error_worst_ms"]) < 0.001


def test_a_thermal_recording_that_ends_leaves_rgb_alone_and_is_reported(make_pipeline, two_cameras):
    for path in sorted((two_cameras.folder / "thermal").iterdir())[4:]:
        path.unlink()
    pipeline = make_pipeline(str(two_cameras.folder), calibration=str(two_cameras.calibration))
    seen = run_to_end(pipeline)
    assert [len(detections) for _, detections, _ in seen] == [2] * 4 + [1] * 8
    assert all(1 in by_label(detections) for _, detections, _ in seen)
    assert pipeline.detector.health.counter("frames_without_thermal") == 8
    assert "no thermal in the picture" in str(pipeline.detector.health.report().values)


@pytest.mark.parametrize(("camera", "label"), [("rgb", 1), ("thermal", 0)])
def test_one_camera_alone_finds_what_it_sees(make_pipeline, two_cameras, camera, label):
    """The other's part of the picture is blank: no person without thermal."""
    source = f"{camera}={two_cameras.folder / camera}"
    pipeline = make_pipeline(source, calibration=str(two_cameras.calibration))
    seen = run_to_end(pipeline)
    assert len(seen) == two_cameras.count
    assert all(frame.encoding == "8UC4" for frame, _, _ in seen)
    assert all(set(by_label(detections)) == {label} for _, detections, _ in seen)
    pipeline.check_lost_frames()


def test_thermal_pictures_of_another_size_are_reported_at_the_end(make_pipeline, two_cameras):
    for path in (two_cameras.folder / "thermal").iterdir():
        cv2.imwrite(str(path), np.zeros((100, 100), np.uint8))
    pipeline = make_pipeline(str(two_cameras.folder), calibration=str(two_cameras.calibration))
    seen = run_to_end(pipeline)
    assert len(seen) == two_cameras.count
    with pytest.raises(SourceError, match="thermal pictures are 100x100"):
        pipeline.check_lost_frames()


def test_a_recording_of_both_is_paired_again_the_same_way(make_pipeline, two_cameras, tmp_path):
    first = make_pipeline(str(two_cameras.folder), calibration=str(two_cameras.calibration))
    outputs = RunOutputs(tmp_path / "out", first)
    seen = run_to_end(first)
    first.close()
    outputs.close()
    again = run_to_end(
        make_pipeline(str(tmp_path / "out" / "bag"), calibration=str(two_cameras.calibration))
    )
    assert len(again) == len(seen)
    # RGB is recorded as JPEG, so a box may differ by what that blurs.
    for (_, before, _), (_, after, _) in zip(seen, again, strict=True):
        np.testing.assert_allclose(by_label(after)[0], by_label(before)[0], atol=1e-3)
        np.testing.assert_allclose(by_label(after)[1], by_label(before)[1], atol=1.5)
    assert outputs.metrics()["run"]["pairs"] == str(two_cameras.count)


def test_a_scene_is_seen_by_both_cameras_with_its_own_calibration(make_pipeline):
    pipeline = make_pipeline("scene:demo?seed=4&frames=2&altitude=40")
    seen = run_to_end(pipeline)
    assert len(seen) == 2
    assert seen[0][0].image.shape == (720, 1280, 4)
    assert seen[0][0].image[..., 3].any()
    assert pipeline.pairing.facts()["registration"] == "ground plane at 40 m, nominal"
