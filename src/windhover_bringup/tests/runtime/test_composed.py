import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from vision_msgs.msg import Detection2DArray

from tests.support.fixtures import run_to_end, wait_for
from windhover.types import Frame
from windhover_bringup.runtime.composed import Pipeline
from windhover_bringup.runtime.config import Config
from windhover_ros import qos
from windhover_ros.messages import LabelTable, deserialize_results, to_tracks
from windhover_ros.runner import spin_in_threads


@pytest.fixture
def make_pipeline(ros, blob_folder, blob_bundle):
    """Builds a pipeline over the blob folder; closed after the test."""
    built = []

    def build(**camera):
        config = (
            Config()
            .with_values("detector", model=str(blob_bundle))
            .with_values("thermal_camera", source=str(blob_folder), **camera)
        )
        pipeline = Pipeline(config)
        built.append(pipeline)
        return pipeline

    yield build
    for pipeline in built:
        pipeline.close()


def test_every_frame_goes_through_in_order_without_a_copy(make_pipeline, blob_folder):
    pipeline = make_pipeline(rate=0.0)
    images = [cv2.imread(str(p), cv2.IMREAD_UNCHANGED) for p in sorted(blob_folder.iterdir())]

    class Source:
        name, rate_hz, length, live = "arrays", 30.0, len(images), False

        def __iter__(self):
            for index, image in enumerate(images):
                yield Frame(image, "mono8", index * 33_000_000, "x", index)

        def close(self):
            pass

    pipeline.camera.opener = lambda uri, **options: Source()
    seen = run_to_end(pipeline)
    assert [frame.index for frame, _, _ in seen] == list(range(30))
    assert all(frame.image is image for (frame, _, _), image in zip(seen, images, strict=True))
    assert pipeline.link.dropped == 0
    assert all(len(detections) == 2 for _, detections, _ in seen)
    ids = [set(tracks.track_ids.tolist()) for _, _, tracks in seen]
    assert len(set.union(*ids)) == 2


def test_results_cross_dds_and_equal_those_inside(make_pipeline, nodes):
    # All of them, also where the machine lets nobody read for a while.
    heard = nodes.listener(Detection2DArray, "tracks", QoSProfile(depth=100), raw=True)
    pipeline = make_pipeline(rate=1.0)
    # The monitor and the listener.
    wait_for(lambda: pipeline.tracker.count_subscribers("tracks") == 2, "discovery")
    seen = run_to_end(pipeline)
    wait_for(lambda: len(heard) == len(seen), "all tracks")
    table = LabelTable(pipeline.labels)
    for data, (frame, _, tracks) in zip(heard, seen, strict=True):
        message = deserialize_results(data)
        assert message.stamp_ns == frame.stamp_ns
        received = to_tracks(message, table)
        np.testing.assert_array_equal(received.track_ids, tracks.track_ids)
        np.testing.assert_allclose(received.boxes, tracks.boxes, atol=1e-3)


def test_images_and_overlay_are_made_only_for_subscribers(make_pipeline, nodes):
    pipeline = make_pipeline(rate=1.0, loop=True)
    pipeline.start()
    with spin_in_threads(pipeline.nodes):
        wait_for(lambda: pipeline.tracker.health.frames.count > 10, "frames")
        assert pipeline.overlay.health.frames.count == 0
        overlays = nodes.listener(CompressedImage, "overlay/image/compressed", qos.image())
        images = nodes.listener(Image, "camera/thermal/image_raw", qos.image())
        # The clip starts again and again, and new tracks are not shown at once.
        wait_for(lambda: images and any(map(has_boxes, overlays[-5:])), "boxes and images")
    height, width, _ = decoded(overlays[0]).shape
    assert width == 320
    assert height > 256  # the legend is below the picture


def decoded(message):
    return cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)


def has_boxes(message):
    """Boxes are drawn in colour over a grey picture."""
    picture = decoded(message)
    return (picture.max(axis=2).astype(int) - picture.min(axis=2) > 60).sum() > 50


def test_every_stage_reports_its_health(make_pipeline, nodes):
    heard = nodes.listener(DiagnosticArray, "/diagnostics", qos.result())
    pipeline = make_pipeline(rate=1.0, loop=True)
    pipeline.start()

    def status(name):
        return next((s for m in reversed(heard) for s in m.status if s.name == name), None)

    with spin_in_threads(pipeline.nodes):
        for name in ("thermal_camera", "detector", "tracker", "overlay"):
            wait_for(
                lambda name=name: status(name) and status(name).message in {"running", "idle"}, name
            )
        wait_for(lambda: float(values(status("tracker"))["rate_hz"]) > 1, "the tracker's rate")
    detector = values(status("detector"))
    assert detector["backend"] == "cpu"
    assert detector["model"] == "blob 1.0.0"
    assert detector["state"] == "active"


def values(status):
    return {item.key: item.value for item in status.values}
