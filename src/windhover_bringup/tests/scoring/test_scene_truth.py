"""The truth of a rendered flight, in the pixels of the frames that were detected in."""

import json

import numpy as np
import pytest

from windhover_bringup.scoring.scene_truth import SceneTruthRecorder

SCENE = "scene:demo?seed=3&altitude=40&time=day&frames=2&noise=0&camera={camera}&{size}"


def written(folder, camera, size, width):
    recorder = SceneTruthRecorder()
    for _ in recorder.open(SCENE.format(camera=camera, size=size)):
        pass
    return json.loads(recorder.write(folder, width).read_text())


def test_truth_of_reduced_frames_is_that_of_a_camera_of_their_size(tmp_path):
    small, large = tmp_path / "small", tmp_path / "large"
    small.mkdir()
    large.mkdir()
    wanted = written(small, "rgb", "rgb_size=640x360", 0)
    got = written(large, "rgb", "rgb_size=1280x720", 640)
    for one, other in zip(got["images"], wanted["images"], strict=True):
        assert (one["width"], one["height"]) == (640, 360)
        assert one["camera"]["focal_px"] == pytest.approx(other["camera"]["focal_px"])
    boxes = {(a["image_id"], a["track_id"]): a for a in wanted["annotations"]}
    shared = [a for a in got["annotations"] if (a["image_id"], a["track_id"]) in boxes]
    assert len(shared) > 20
    for one in shared:
        # The amodal box is exact; the visible one is of whole pixels.
        other = boxes[one["image_id"], one["track_id"]]
        np.testing.assert_allclose(one["amodal_bbox"], other["amodal_bbox"], atol=1.5)
        assert one["area"] == pytest.approx(one["bbox"][2] * one["bbox"][3])


def test_a_thermal_cameras_frames_are_never_reduced(tmp_path):
    document = written(tmp_path, "thermal", "thermal_size=320x256", 160)
    assert {image["width"] for image in document["images"]} == {320}
