import math

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

import rclpy
from geometry_msgs.msg import Quaternion, QuaternionStamped
from sensor_msgs.msg import CameraInfo, Image, Imu
from std_msgs.msg import Float64

from tests.support.fixtures import Collector, wait_for
from windhover.geometry import Extrinsics
from windhover.pairing.files import RgbtCalibration, save_rgbt
from windhover.pairing.intake import Intake
from windhover.types import Frame
from windhover_pairing.node import PairingNode
from windhover_ros import qos
from windhover_ros.images import frame_from_image, image_message
from windhover_ros.links import LatestSlot
from windhover_sim import Scene, SceneConfig
from windhover_sim.calibration import scene_calibration

MS = 1_000_000
FAST = {"retry_min_s": 0.1, "retry_max_s": 0.2}


def rgb(stamp_ns, size=(1280, 720)):
    return Frame(np.full((size[1], size[0], 3), 80, np.uint8), "bgr8", stamp_ns, "rgb_camera")


def thermal(stamp_ns, size=(640, 512), at=None):
    counts = np.full((size[1], size[0]), 28_000, np.uint16)
    if at is not None:
        # Larger than the percent of pixels that tone mapping clips.
        cv2.circle(counts, at, 40, 31_000, -1)
    return Frame(counts, "mono16", stamp_ns, "thermal_camera")


@pytest.fixture
def calibration(tmp_path):
    return str(save_rgbt(tmp_path / "cal", scene_calibration(SceneConfig())))


@pytest.fixture
def linked(nodes):
    def make(lossless=False, **overrides):
        node = PairingNode({**FAST, **overrides}, intake=Intake(lossless))
        node.given = Collector()
        node.outputs.append(node.given)
        nodes.add(node)
        assert node.bring_up()
        return node

    return make


def values(node):
    node.refresh()
    return node.health.report().values


def problems(node):
    return [text for key, text in values(node).items() if key.startswith("problem_")]


def test_both_cameras_over_dds_become_one_picture(nodes, calibration):
    node = nodes.add(PairingNode({"calibration": calibration, "wait_s": 1.0}))
    pictures = nodes.listener(Image, "rgbt/image", qos.image())
    infos = nodes.listener(CameraInfo, "rgbt/camera_info", qos.image())
    assert node.bring_up()
    sender = nodes.add(rclpy.create_node("sender"))
    senders = {
        which: sender.create_publisher(Image, f"camera/{which}/image_raw", qos.image())
        for which in ("rgb", "thermal")
    }
    wait_for(lambda: all(s.get_subscription_count() == 1 for s in senders.values()), "discovery")
    wait_for(lambda: node.count_subscribers("rgbt/image") == 1, "discovery")
    step = iter(range(10**6))

    def send():
        stamp = 10**18 + next(step) * 100 * MS
        senders["thermal"].publish(image_message(thermal(stamp + 2 * MS, at=(320, 256))))
        senders["rgb"].publish(image_message(rgb(stamp)))

    sender.create_timer(0.1, send)
    wait_for(lambda: any(np.any(picture_of(p)[..., 3] > 200) for p in pictures), "a pair")
    message = next(p for p in pictures if np.any(picture_of(p)[..., 3] > 200))
    assert message.encoding == "8UC4"
    assert message.header.frame_id == "rgb_camera"
    assert (message.width, message.height) == (1280, 720)
    assert (message.header.stamp.nanosec // MS) % 100 == 0
    picture = picture_of(message)
    assert (picture[..., :3] == 80).all()
    y, x = np.argwhere(picture[..., 3] > 200).mean(axis=0)
    # The middle of the thermal picture is off the RGB one's by the cameras' misalignment.
    assert abs(x - 640) < 15
    assert abs(y - 360) < 15
    wait_for(lambda: infos, "the lens")
    assert (infos[-1].width, infos[-1].height) == (1280, 720)
    assert infos[-1].header.frame_id == "rgb_camera"
    assert infos[-1].k.tolist() == scene_calibration(SceneConfig()).rgb.matrix.ravel().tolist()
    shown = values(node)
    assert int(shown["pairs"]) >= 1
    assert float(shown["pairing_error_mean_ms"]) == pytest.approx(2.0, abs=0.01)
    assert float(shown["pairing_error_p99_ms"]) == pytest.approx(2.0, abs=0.01)
    assert float(shown["thermal_offset_mean_ms"]) == pytest.approx(2.0, abs=0.01)
    assert float(shown["rgb_rate_hz"]) > 0
    wait_for(lambda: values(node)["thermal_state"] == "fresh", "thermal frames that go on")


def picture_of(message):
    return frame_from_image(message).image


def test_frames_in_one_process_are_handed_on_in_order(linked, calibration):
    node = linked(lossless=True, calibration=calibration)
    for index in range(5):
        node.intake.thermal.put(thermal(index * 33 * MS))
        node.intake.rgb.put(rgb(index * 33 * MS + MS))
    node.intake.rgb.close()
    node.intake.thermal.close()
    wait_for(node.ended.is_set, "the end")
    assert [f.stamp_ns for f in node.given.frames] == [i * 33 * MS + MS for i in range(5)]
    assert all(f.encoding == "8UC4" for f in node.given.frames)
    assert node.given.closed
    assert values(node)["pairs"] == "5"


def test_a_stalled_thermal_camera_leaves_rgb_alone_and_is_reported(linked, calibration):
    node = linked(calibration=calibration, thermal_timeout_s=0.2)
    node.intake.thermal.put(thermal(0, at=(320, 256)))
    node.intake.rgb.put(rgb(MS))
    wait_for(lambda: len(node.given.frames) == 1, "a pair")
    assert node.given.frames[0].image[..., 3].any()
    node.intake.rgb.put(rgb(200 * MS))
    wait_for(lambda: len(node.given.frames) == 2, "RGB alone")
    assert not node.given.frames[1].image[..., 3].any()
    wait_for(lambda: values(node)["thermal_state"] == "stale", "the stale state")
    assert any("no thermal frame" in text for text in problems(node))
    node.intake.thermal.put(thermal(400 * MS, at=(320, 256)))
    node.intake.rgb.put(rgb(401 * MS))
    wait_for(lambda: len(node.given.frames) == 3, "a pair again")
    assert node.given.frames[2].image[..., 3].any()


def test_thermal_goes_on_alone_if_enabled(linked, calibration):
    node = linked(calibration=calibration, thermal_timeout_s=0.1, thermal_alone=True)
    node.intake.thermal.put(thermal(5 * MS, at=(320, 256)))
    wait_for(lambda: node.given.frames, "thermal alone")
    frame = node.given.frames[0]
    assert frame.image.shape == (720, 1280, 4)
    assert frame.stamp_ns == 5 * MS
    assert not frame.image[..., :3].any()
    assert frame.image[..., 3].any()


def test_altitude_and_attitude_decide_the_mapping(nodes, linked, calibration):
    node = linked(calibration=calibration)
    node.intake.thermal.put(thermal(0))
    node.intake.rgb.put(rgb(0))
    wait_for(lambda: node.given.frames, "a pair")
    shown = values(node)
    assert shown["registration"] == "ground plane at 40 m, nominal"
    assert any("altitude unknown" in text for text in problems(node))
    assert shown["attitude"].startswith("unknown")
    pilot = nodes.add(rclpy.create_node("pilot"))
    altitude = pilot.create_publisher(Float64, "mavros/global_position/rel_alt", 10)
    imu = pilot.create_publisher(Imu, "mavros/imu/data", 10)
    wait_for(
        lambda: altitude.get_subscription_count() and imu.get_subscription_count(), "discovery"
    )

    def publish():
        altitude.publish(Float64(data=12.5))
        imu.publish(Imu(orientation=Quaternion(x=math.sin(0.1), y=0.0, z=0.0, w=math.cos(0.1))))

    pilot.create_timer(0.05, publish)
    wait_for(lambda: values(node)["altitude_m"] == "12.5", "the altitude")
    wait_for(lambda: values(node)["attitude"] == "known", "the attitude")
    node.intake.thermal.put(thermal(100 * MS))
    node.intake.rgb.put(rgb(100 * MS))
    wait_for(lambda: len(node.given.frames) == 2, "a pair")
    assert values(node)["registration"] == "ground plane at 12.5 m"
    assert values(node)["maps_rebuilt"] == "2"


def test_attitude_may_be_a_gimbals_quaternion(nodes, linked):
    node = linked(attitude_topic="gimbal", attitude_type="quaternion", camera_pitch_deg=0.0)
    pilot = nodes.add(rclpy.create_node("pilot"))
    gimbal = pilot.create_publisher(QuaternionStamped, "gimbal", 10)
    wait_for(gimbal.get_subscription_count, "discovery")
    half = math.radians(45)
    down = QuaternionStamped(
        quaternion=Quaternion(x=0.0, y=math.sin(half), z=0.0, w=math.cos(half))
    )
    pilot.create_timer(0.05, lambda: gimbal.publish(down))
    wait_for(lambda: values(node)["attitude"] == "known", "the attitude")
    np.testing.assert_allclose(node.drone.pose().down, [0, 0, 1], atol=1e-9)


def test_invalid_values_of_the_autopilot_are_ignored(linked):
    node = linked()
    for bad in (float("nan"), -3.0, 0.0):
        assert not node.drone.altitude(bad)
    assert not node.drone.attitude((0.0, 0.0, 0.0, 0.0))
    assert values(node)["altitude_m"] == "unknown"


def test_a_missing_calibration_is_named_and_loaded_once_it_exists(nodes, tmp_path):
    path = tmp_path / "cal" / "rgbt.yaml"
    node = nodes.add(PairingNode({"calibration": str(path), **FAST}))
    assert not node.bring_up()
    assert str(path) in node.health.report().message
    save_rgbt(path.parent, scene_calibration(SceneConfig()))
    wait_for(lambda: node.state == "active", "recovery")


def test_without_a_calibration_it_goes_on_with_a_warning(linked):
    node = linked()
    node.intake.thermal.put(thermal(0, at=(320, 256)))
    node.intake.rgb.put(rgb(0))
    wait_for(lambda: node.given.frames, "a pair")
    assert any("windhover calibrate" in text for text in problems(node))


def test_pictures_of_another_size_are_named_and_rgb_goes_on(linked, calibration):
    node = linked(calibration=calibration)
    node.intake.thermal.put(thermal(0, size=(320, 256)))
    node.intake.rgb.put(rgb(0))
    wait_for(lambda: node.given.frames, "a frame")
    assert not node.given.frames[0].image[..., 3].any()
    assert any("thermal pictures are 320x256" in text for text in problems(node))
    assert node.health.counter("frames_refused") == 1
    assert node.state == "active"


def test_a_camera_info_unlike_the_calibration_is_a_warning(nodes, calibration):
    node = nodes.add(PairingNode({"calibration": calibration}))
    assert node.bring_up()
    sender = nodes.add(rclpy.create_node("sender"))
    infos = sender.create_publisher(CameraInfo, "camera/rgb/camera_info", qos.image())
    wait_for(infos.get_subscription_count, "discovery")
    info = CameraInfo(width=640, height=480)
    info.k = [500.0, 0.0, 320.0, 0.0, 500.0, 240.0, 0.0, 0.0, 1.0]
    sender.create_timer(0.05, lambda: infos.publish(info))
    wait_for(
        lambda: any("camera_info of rgb (640x480" in text for text in problems(node)), "the warning"
    )


def test_without_a_calibration_the_lenses_of_camera_info_are_used(nodes):
    node = nodes.add(PairingNode())
    assert node.bring_up()
    sender = nodes.add(rclpy.create_node("sender"))
    publishers, infos = {}, {}
    for which, width, height in (("rgb", 1280, 720), ("thermal", 640, 512)):
        topic = f"camera/{which}/camera_info"
        publishers[which] = sender.create_publisher(CameraInfo, topic, qos.image())
        infos[which] = CameraInfo(width=width, height=height, distortion_model="plumb_bob")
        infos_k = [float(width), 0.0, width / 2, 0.0, float(width), height / 2]
        infos[which].k = [*infos_k, 0.0, 0.0, 1.0]
        infos[which].d = [-0.1, 0.0, 0.0, 0.0, 0.0]

    def publish():
        for which, publisher in publishers.items():
            publisher.publish(infos[which])

    sender.create_timer(0.05, publish)
    wait_for(lambda: values(node)["calibration"] == "lenses of camera_info", "both lenses")
    assert any("taken to look the same way" in text for text in problems(node))
    geometry = node._registration.geometry
    assert (geometry.rgb.size, geometry.thermal.size) == ((1280, 720), (640, 512))
    assert geometry.rgb.distortion[0] == -0.1


def test_an_unknown_encoding_is_refused_by_name(nodes):
    node = nodes.add(PairingNode())
    assert node.bring_up()
    sender = nodes.add(rclpy.create_node("sender"))
    images = sender.create_publisher(Image, "camera/thermal/image_raw", qos.image())
    wait_for(images.get_subscription_count, "discovery")
    bad = image_message(thermal(0))
    bad.encoding = "thermal99"
    sender.create_timer(0.05, lambda: images.publish(bad))
    wait_for(lambda: node.health.counter("frames_refused") > 0, "the refusal")
    assert any("thermal99" in text for text in problems(node))
    assert node.state == "active"


def test_a_slow_reader_gets_the_newest(linked, calibration):
    node = linked(calibration=calibration)
    slot = LatestSlot()
    node.outputs.append(slot)
    for index in range(6):
        node.intake.thermal.put(thermal(index * 33 * MS))
        node.intake.rgb.put(rgb(index * 33 * MS))
        wait_for(lambda index=index: len(node.given.frames) == index + 1, "a frame")
    wait_for(lambda: slot.dropped == 5, "all frames")
    assert slot.take(1).stamp_ns == 5 * 33 * MS


def test_refinement_is_off_by_default_and_else_approaches_the_truth(linked, nodes, tmp_path):
    config = SceneConfig(seed=100, altitude_m=40, time_of_day="day", motion=0)
    drawn = Scene(config).render(0, "both")
    true = scene_calibration(config)
    turn = cv2.Rodrigues(np.radians([0.1, -0.1, 0.0]))[0]
    pose = Extrinsics(turn @ true.extrinsics.rotation, true.extrinsics.translation)
    path = str(save_rgbt(tmp_path / "off", RgbtCalibration(true.rgb, true.thermal, pose)))
    assert "refined_deg" not in values(linked(calibration=path))
    node = linked(calibration=path, refine=True, refine_period_s=0.5, refine_step_deg=0.03)
    node.drone.altitude(float(drawn.rgb_camera.position[2]))
    stamps = iter(range(10**6))

    def give():
        stamp = next(stamps) * 100 * MS
        node.intake.thermal.put(Frame(drawn.thermal, "mono16", stamp, "thermal_camera"))
        node.intake.rgb.put(Frame(drawn.rgb, "bgr8", stamp, "rgb_camera"))

    sender = nodes.add(rclpy.create_node("sender"))
    sender.create_timer(0.2, give)
    wait_for(lambda: int(values(node)["refine_steps"]) >= 2, "two steps")
    assert 0.03 < float(values(node)["refined_deg"]) < 0.5
    rotation = node._registration.geometry.extrinsics.rotation
    left = np.linalg.norm(cv2.Rodrigues(rotation @ true.extrinsics.rotation.T)[0])
    assert left < np.linalg.norm(cv2.Rodrigues(turn)[0])
