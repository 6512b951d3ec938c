import shutil
import threading

import numpy as np
import pytest

from windhover.errors import BackendError
from windhover.types import Detections, Frame

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

import rclpy
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image
from std_msgs.msg import Float64
from vision_msgs.msg import Detection2DArray, LabelInfo

from tests.support.fixtures import (
    PERSON_BOX,
    VEHICLE_BOX,
    blob_image,
    problems,
    wait_for,
    with_quiet_point,
)
from windhover_detector.node import DetectorNode
from windhover_ros import qos
from windhover_ros.images import image_message
from windhover_ros.links import BlockingSlot, LatestSlot

FAST = {"retry_min_s": 0.1, "retry_max_s": 0.2}


def frame(step=0, stamp_ns=10**18, image=None):
    return Frame(blob_image(step) if image is None else image, "mono8", stamp_ns, "thermal_camera")


def linked_by(link, nodes, blob_bundle):
    node = DetectorNode({"model": str(blob_bundle), **FAST}, frames=link)
    node.results = []
    node.on_result(lambda f, d, _: node.results.append((f, d)))
    nodes.add(node)
    assert node.bring_up()
    return node, link


@pytest.fixture
def linked(nodes, blob_bundle):
    return linked_by(BlockingSlot(), nodes, blob_bundle)


@pytest.fixture
def live(nodes, blob_bundle):
    return linked_by(LatestSlot(), nodes, blob_bundle)


def give(link, *frames):
    for one in frames:
        assert link.put(one)


def test_detections_cross_dds_in_source_pixels_with_the_images_header(nodes, blob_bundle):
    arrays = nodes.listener(Detection2DArray, "detections", qos.result())
    node = nodes.add(DetectorNode({"model": str(blob_bundle)}))
    assert node.bring_up()
    sender = nodes.add(rclpy.create_node("sender"))
    images = sender.create_publisher(Image, "camera/thermal/image_raw", qos.image())
    wait_for(lambda: images.get_subscription_count() == 1, "discovery")
    wait_for(lambda: node.count_subscribers("detections") == 1, "discovery")
    message = image_message(frame(stamp_ns=5_000_000_007))
    sender.create_timer(0.1, lambda: images.publish(message))
    wait_for(lambda: arrays, "detections")
    array = arrays[0]
    assert (array.header.stamp.sec, array.header.stamp.nanosec) == (5, 7)
    assert array.header.frame_id == "thermal_camera"
    found = {d.results[0].hypothesis.class_id: d for d in array.detections}
    assert set(found) == {"person", "vehicle"}
    for label, (x1, y1, x2, y2) in (("person", PERSON_BOX), ("vehicle", VEHICLE_BOX)):
        box = found[label].bbox
        assert box.center.position.x == pytest.approx((x1 + x2) / 2, abs=0.5)
        assert box.center.position.y == pytest.approx((y1 + y2) / 2, abs=0.5)
        assert (box.size_x, box.size_y) == pytest.approx((x2 - x1, y2 - y1), abs=0.5)
        assert found[label].header == array.header
        assert found[label].id == ""


def test_an_empty_image_gives_an_empty_array(nodes, linked):
    node, link = linked
    arrays = nodes.listener(Detection2DArray, "detections", qos.result())
    wait_for(lambda: node.count_subscribers("detections") == 1, "discovery")
    give(link, frame(image=np.full((256, 320), 40, np.uint8)))
    wait_for(lambda: arrays, "the empty array")
    assert list(arrays[0].detections) == []
    assert arrays[0].header.frame_id == "thermal_camera"


def test_a_late_subscriber_gets_the_labels(nodes, linked):
    infos = nodes.listener(LabelInfo, "label_info", qos.latched())
    wait_for(lambda: infos, "label_info")
    assert [(c.class_id, c.class_name) for c in infos[0].class_map] == [
        (0, "person"),
        (1, "vehicle"),
    ]
    assert infos[0].threshold == pytest.approx(0.25)


def test_it_reports_model_backend_rate_and_latency(linked):
    node, link = linked
    give(link, *(frame(step) for step in range(5)))
    wait_for(lambda: len(node.results) == 5, "results")
    node.refresh()
    values = node.health.report().values
    assert values["model"] == "blob 1.0.0"
    assert values["model_hash"] == node.bundle.digest
    assert values["backend"] == "cpu"
    for key in ("inference_p50_ms", "inference_p99_ms", "rate_hz", "age_s", "dropped"):
        assert float(values[key]) >= 0


def test_a_frame_of_another_size_is_used_and_reported(linked):
    node, link = linked
    wide = np.full((300, 480), 40, np.uint8)
    wide[100:130, 200:230] = 230
    give(link, frame(), frame(image=wide, stamp_ns=10**18 + 1), frame(stamp_ns=10**18 + 2))
    wait_for(lambda: len(node.results) == 3, "results")
    assert len(node.results[1][1]) >= 1
    np.testing.assert_allclose(node.results[1][1].boxes[0], [200, 100, 230, 130], atol=6)
    assert node.health.counter("size_changes") == 2
    assert node.state == "active"


def test_colour_for_a_thermal_model_is_reported_while_it_lasts(linked):
    node, link = linked
    colour = np.zeros((256, 320, 3), np.uint8)
    colour[:, :160] = (30, 200, 90)
    give(link, Frame(colour, "bgr8", 10**18, "rgb_camera"))
    wait_for(lambda: node.results, "a result")
    assert any("is for thermal images and rgb_camera gives colour" in text
               for text in problems(node))  # fmt: skip
    give(link, frame(stamp_ns=10**18 + 1))
    wait_for(lambda: len(node.results) == 2, "a result in grey")
    assert not any("gives colour" in text for text in problems(node))


def test_four_channels_are_refused_by_a_thermal_model(linked):
    node, link = linked
    give(link, Frame(np.full((256, 320, 4), 255, np.uint8), "8UC4", 10**18, "rgb_camera"))
    wait_for(lambda: node.health.counter("frames_refused") == 1, "the refusal")
    assert "its fourth channel may be thermal or alpha" in node.health.report().message
    assert node.results == []
    assert node.state == "active"


def test_a_stamp_that_goes_back_is_reported_and_the_frame_is_used(linked):
    node, link = linked
    give(link, frame(stamp_ns=2 * 10**9), frame(stamp_ns=10**9), frame(stamp_ns=3 * 10**9))
    wait_for(lambda: len(node.results) == 3, "results")
    assert node.health.counter("stamps_backwards") == 1
    assert any("go backwards" in text for text in problems(node))


def test_an_unknown_encoding_is_refused_by_name_and_the_next_frame_is_taken(nodes, blob_bundle):
    node = nodes.add(DetectorNode({"model": str(blob_bundle)}))
    node.bring_up()
    results = []
    node.on_result(lambda f, d, _: results.append(d))
    sender = nodes.add(rclpy.create_node("sender"))
    images = sender.create_publisher(Image, "camera/thermal/image_raw", qos.image())
    wait_for(lambda: images.get_subscription_count() == 1, "discovery")
    bad = image_message(frame())
    bad.encoding = "thermal99"
    sender.create_timer(0.05, lambda: images.publish(bad))
    wait_for(lambda: node.health.counter("frames_refused") > 0, "the refusal")
    report = node.health.report()
    assert report.level == 2
    assert "thermal99" in report.message
    assert results == []
    good = image_message(frame())
    sender.create_timer(0.05, lambda: images.publish(good))
    wait_for(lambda: results, "a result")
    assert node.state == "active"


def test_a_backend_that_fails_is_opened_again(linked):
    node, link = linked
    broken = node._detector.backend
    broken.run = lambda image: (_ for _ in ()).throw(BackendError("the DSP went away"))
    give(link, frame())
    wait_for(lambda: str(node.last_error) == "the DSP went away", "the failure")
    wait_for(lambda: node._detector and node._detector.backend is not broken, "another backend")
    wait_for(lambda: node.state == "active", "recovery")
    give(link, frame())
    wait_for(lambda: node.results, "a result")


def test_a_run_that_hangs_is_reported_and_another_backend_opened(live):
    node, link = live
    give(link, frame())
    wait_for(lambda: node.results, "a result")
    forever = threading.Event()
    hung = node._detector.backend
    hung.run = lambda image: forever.wait(60.0)
    give(link, frame())
    wait_for(lambda: "a run has not ended after" in str(node.last_error), "the report")
    wait_for(lambda: node._detector and node._detector.backend is not hung, "another backend")
    wait_for(lambda: node.state == "active", "recovery")
    before = len(node.results)
    give(link, frame())
    wait_for(lambda: len(node.results) > before, "a result")
    forever.set()


def test_a_lossless_input_waits_for_a_slow_run(linked):
    node, link = linked
    give(link, frame())
    wait_for(lambda: node.results, "a result")
    held = threading.Event()
    run = node._detector.backend.run
    node._detector.backend.run = lambda image: held.wait(1.5) or run(image)
    give(link, frame())
    wait_for(lambda: len(node.results) == 2, "the slow result")
    assert node.last_error is None


def test_how_long_a_first_run_may_take_is_not_known(linked):
    node, link = linked
    held = threading.Event()
    run = node._detector.backend.run
    node._detector.backend.run = lambda image: held.wait(1.2) or run(image)
    give(link, frame())
    wait_for(lambda: node.results, "a result")
    assert node.last_error is None


def test_a_bundle_with_a_wrong_hash_is_refused_and_taken_once_it_is_right(
    nodes, blob_bundle, tmp_path
):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(blob_bundle, copy)
    (copy / "float.onnx").write_bytes(b"something else")
    node = nodes.add(DetectorNode({"model": str(copy), **FAST}))
    assert not node.bring_up()
    assert "float.onnx" in node.health.report().message
    shutil.copy(blob_bundle / "float.onnx", copy / "float.onnx")
    wait_for(lambda: node.state == "active", "recovery")


def test_the_threshold_can_be_changed_in_flight(linked):
    node, link = linked
    give(link, frame())
    wait_for(lambda: len(node.results) == 1, "a result")
    assert len(node.results[0][1]) == 2
    (done,) = node.set_parameters([Parameter("score_threshold", value=1.0)])
    assert done.successful
    give(link, frame())
    wait_for(lambda: len(node.results) == 2, "a result")
    assert len(node.results[1][1]) == 0
    (bad,) = node.set_parameters([Parameter("score_threshold", value=1.5)])
    assert not bad.successful
    assert "score_threshold" in bad.reason


def test_the_operating_point_is_a_parameter(nodes, blob_bundle, tmp_path):
    quiet = with_quiet_point(blob_bundle, tmp_path / "quiet", {"person": 1.0, "vehicle": 0.25})
    link = BlockingSlot()
    values = {"model": str(quiet), "operating_point": "quiet", **FAST}
    node = DetectorNode(values, frames=link)
    results = []
    node.on_result(lambda _, found, __: results.append(found))
    nodes.add(node)
    assert node.bring_up()
    assert node.least_scores(node.bundle) == (1.0, 0.25)
    give(link, frame())
    wait_for(lambda: results, "a result")
    assert [found.labels[k] for found in results for k in found.class_ids] == ["vehicle"]
    assert node.health.report().values["operating_point"] == "quiet"


def test_an_operating_point_that_the_bundle_lacks_is_named(nodes, blob_bundle):
    node = nodes.add(DetectorNode({"model": str(blob_bundle), "operating_point": "quiet", **FAST}))
    assert not node.bring_up()
    assert "no operating point 'quiet'; it has balanced" in node.health.report().message


def test_altitude_outside_the_models_band_is_flagged_not_hidden(nodes, linked):
    node, link = linked
    pilot = nodes.add(rclpy.create_node("pilot"))
    altitude = pilot.create_publisher(Float64, "mavros/global_position/rel_alt", qos.result())
    wait_for(lambda: altitude.get_subscription_count() == 1, "discovery")
    altitude.publish(Float64(data=62.0))
    flag = "62.0 m is outside 30-50 m"
    wait_for(lambda: any(flag in text for text in problems(node)), "the flag")
    give(link, frame())
    wait_for(lambda: node.results, "a result all the same")
    altitude.publish(Float64(data=40.0))
    wait_for(lambda: node.health.report().values.get("altitude_m") == "40.0", "the altitude")
    assert not any("altitude" in text for text in problems(node))


def test_a_bundle_without_the_required_signature_is_refused_and_reported(
    nodes, blob_bundle, tmp_path
):
    pytest.importorskip("cryptography")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from windhover.model.signature import fingerprint, sign_manifest

    key = Ed25519PrivateKey.generate()
    public = tmp_path / "release.pub"
    public.write_bytes(key.public_key().public_bytes_raw())
    folder = tmp_path / "blob"
    shutil.copytree(blob_bundle, folder)
    values = {"model": str(folder), "public_key": str(public), **FAST}
    node = nodes.add(DetectorNode(values, frames=BlockingSlot()))
    assert not node.bring_up()
    assert "is not signed" in str(node.last_error)
    assert "is not signed" in node.health.report().message
    sign_manifest(folder / "bundle.yaml", key)
    wait_for(lambda: node.state == "active", "the retry")
    expected = node.health.report().values["model_signature"]
    assert expected == f"key {fingerprint(key.public_key())}"


def test_an_unsigned_bundle_is_used_without_a_key_and_reported(linked):
    node, _ = linked
    assert node.health.report().values["model_signature"] == "unsigned"


@pytest.mark.parametrize("clip", [False, True])
def test_boxes_of_the_topic_are_clipped_only_if_asked_for(nodes, blob_bundle, clip):
    arrays = nodes.listener(Detection2DArray, "detections", qos.result())
    link = BlockingSlot()
    node = nodes.add(DetectorNode({"model": str(blob_bundle), "clip_boxes": clip}, frames=link))
    found = []
    node.on_result(lambda frame, detections, taken_ns: found.append(detections))
    assert node.bring_up()
    wait_for(lambda: node.count_subscribers("detections") == 1, "discovery")
    # A person that leaves the picture: its box reaches beyond the edge.
    node._detector.detect = lambda frame: Detections(
        np.array([[-8, 20, 24, 60], [400, 0, 440, 40]], np.float32),
        np.ones(2, np.float32),
        np.zeros(2, np.int32),
    )
    give(link, frame())
    wait_for(lambda: arrays, "detections")
    lefts = [d.bbox.center.position.x - d.bbox.size_x / 2 for d in arrays[0].detections]
    assert lefts == pytest.approx([0] if clip else [-8, 400])
    assert len(found[0]) == 2
