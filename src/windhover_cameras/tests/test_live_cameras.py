"""Camera nodes on live devices: settings, calibration, shutter freezes, unplugging.

The devices are faked at the kernel's boundary (``tests/support/fake_v4l2.py``) or are
GStreamer test sources; nodes, sources, linuxpy and DDS are real.
"""

import shutil
import threading
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

import itertools

from sensor_msgs.msg import CameraInfo, Image

from tests.support.fake_v4l2 import Control
from tests.support.fixtures import Collector, wait_for
from windhover.calibration import CameraCalibration, save_calibration
from windhover_cameras.rgb_camera import RgbCamera
from windhover_cameras.thermal_camera import ThermalCamera
from windhover_ros import qos
from windhover_ros.images import frame_from_image

FAST = {"retry_min_s": 0.1, "retry_max_s": 0.2, "timeout_s": 20.0}


class Sensor(threading.Thread):
    """Takes a picture every 20 ms; its shutter can be closed, its cable pulled."""

    def __init__(self, camera, width, height):
        super().__init__(daemon=True)
        self.camera, self.shape = camera, (height, width)
        self.shut = self.stalled = False
        self.status = 0
        self.telemetry = 0
        self.done = threading.Event()
        self.start()

    def picture(self, n):
        return np.random.default_rng(n).normal(7_000, 5, self.shape).astype(np.uint16)

    def run(self):
        count, image = 0, self.picture(0)
        while not self.done.wait(0.02):
            count += 1
            if not self.shut:
                image = self.picture(count)
            if self.telemetry:
                image = image.copy()
                image[-self.telemetry :] = count  # counts on whatever the shutter does
                image[-self.telemetry, 3] = self.status
            if not self.stalled and not self.camera.gone:
                self.camera.take(image.tobytes())

    def close(self):
        self.done.set()
        self.join()


@pytest.fixture
def sensor(kernel):
    made = []

    def make(width=32, height=24, rows=0, **more):
        camera = kernel.add({"Y16 ": [(width, height + rows)]}, **more)
        made.append(Sensor(camera, width, height + rows))
        made[-1].telemetry = rows
        return made[-1]

    yield make
    for one in made:
        one.close()


def thermal(nodes, sensor, **params):
    link = Collector()
    camera = ThermalCamera({"source": f"v4l2://{sensor.camera.path}", **FAST, **params})
    camera.outputs.append(link)
    nodes.add(camera)
    return camera, link.frames


def values(camera):
    camera.refresh()
    return camera.health.report().values


def test_counts_are_published_as_they_are_with_capture_times(nodes, sensor):
    images = nodes.listener(Image, "camera/thermal/image_raw", qos.image())
    camera, frames = thermal(nodes, sensor(), fov_deg=50.0, kelvin_per_count=0.04)
    assert camera.bring_up()
    wait_for(lambda: len(frames) > 5 and images, "frames")
    frame = frame_from_image(images[0])
    assert (frame.encoding, frame.frame_id, frame.image.shape) == (
        "mono16", "thermal_camera", (24, 32),
    )  # fmt: skip
    assert abs(frame.image.mean() - 7_000) < 20
    assert 0 <= camera.get_clock().now().nanoseconds - frames[-1].stamp_ns < 60e9
    shown = values(camera)
    assert shown["thermal_state"] in {"ok", "stalled"}
    assert shown["frames_damaged"] == "0"
    # 7000 counts of 0.04 K are 280 K.
    assert float(shown["scene_celsius_p1_p50_p99"].split()[1]) == pytest.approx(6.85, abs=0.5)


def test_a_closed_shutter_is_a_state_and_no_data(nodes, sensor):
    one = sensor()
    camera, frames = thermal(nodes, one, freeze_after_s=0.1, freeze_limit_s=0.5)
    camera.bring_up()
    wait_for(lambda: len(frames) > 5, "frames")
    one.shut = True
    wait_for(lambda: values(camera)["thermal_state"] == "frozen", "the freeze to be seen")
    before = len(frames)
    wait_for(lambda: "check the camera's shutter" in camera.health.report().message, "a warning")
    assert len(frames) == before
    assert camera.state == "active"
    one.shut = False
    wait_for(lambda: len(frames) > before + 5, "fresh frames")
    shown = values(camera)
    assert shown["freezes"] == "1"
    assert float(shown["freeze_longest_s"]) >= 0.5
    assert int(shown["frames_repeated"]) > 0
    assert "shutter" not in camera.health.report().message
    assert not any((a.image == b.image).all() for a, b in itertools.pairwise(frames))


def test_a_leptons_telemetry_is_cut_off_and_reports_its_correction(nodes, sensor):
    one = sensor(160, 120, rows=2)
    camera, frames = thermal(nodes, one)
    camera.bring_up()
    wait_for(lambda: len(frames) > 3, "frames")
    assert {frame.image.shape for frame in frames} == {(120, 160)}
    one.status = 0b10 << 4
    wait_for(lambda: values(camera)["thermal_state"] == "flat-field correction", "the FFC")
    before = len(frames)
    time.sleep(0.1)
    assert len(frames) == before
    one.status = 0b11 << 4
    wait_for(lambda: len(frames) > before + 3, "fresh frames")


def test_frozen_frames_are_passed_on_request(nodes, sensor):
    one = sensor()
    one.shut = True
    camera, frames = thermal(nodes, one, frozen_frames="pass", freeze_after_s=0.1)
    camera.bring_up()
    wait_for(lambda: values(camera)["thermal_state"] == "frozen", "the freeze")
    wait_for(lambda: len(frames) > 10, "frames all the same")


def test_a_recording_loses_none_of_its_frozen_frames(nodes, blob_folder):
    for name in ("011", "012", "013"):
        (blob_folder / f"{name}.png").write_bytes((blob_folder / "010.png").read_bytes())
    link = Collector()
    camera = ThermalCamera({"source": str(blob_folder), "rate": 0.0})
    camera.outputs.append(link)
    nodes.add(camera)
    camera.bring_up()
    assert camera.ended.wait(60)
    assert len(link.frames) == 30
    assert values(camera)["frames_repeated"] == "3"


def test_an_unplugged_camera_comes_back_and_its_totals_continue(nodes, sensor):
    one = sensor()
    camera, frames = thermal(nodes, one)
    camera.bring_up()
    wait_for(lambda: len(frames) > 5, "frames")
    one.camera.take(b"short")  # one damaged frame before
    wait_for(lambda: values(camera)["frames_damaged"] == "1", "the damage to be reported")
    one.camera.unplug()
    wait_for(lambda: camera.state != "active", "the failure")
    wait_for(lambda: "cannot open camera" in camera.health.report().message, "a failed attempt")
    before = len(frames)
    one.camera.plug_in()
    wait_for(lambda: len(frames) > before + 5, "frames again")
    wait_for(lambda: camera.state == "active", "the end of the recovery")
    assert values(camera)["frames_damaged"] == "1"
    assert frames[-1].stamp_ns > frames[before].stamp_ns > frames[before - 1].stamp_ns


def test_a_stalled_camera_is_reopened(nodes, sensor):
    one = sensor()
    camera, frames = thermal(nodes, one, timeout_s=0.3)
    camera.bring_up()
    wait_for(lambda: len(frames) > 5, "frames")
    opened = one.camera.opened
    one.stalled = True
    wait_for(lambda: values(camera)["thermal_state"] == "stalled", "the stall to be reported")
    wait_for(lambda: "no frame for 0.3 s" in camera.health.report().message, "the failure")
    before = len(frames)
    one.stalled = False
    wait_for(lambda: len(frames) > before + 5, "frames again")
    assert one.camera.opened > opened


@pytest.mark.parametrize("step_s", [5, -5])
def test_a_clock_step_is_reported_and_frames_continue(nodes, sensor, step_s, monkeypatch):
    from windhover.sources import v4l2
    from windhover.sources.clock import Reading, read_clocks

    stepped = threading.Event()

    def clocks():
        now = read_clocks()
        return Reading(now.monotonic_ns, now.wall_ns + step_s * 10**9 * stepped.is_set())

    monkeypatch.setattr(v4l2, "read_clocks", clocks)
    camera, frames = thermal(nodes, sensor())
    camera.bring_up()
    wait_for(lambda: len(frames) > 5, "frames")
    stepped.set()
    wait_for(lambda: values(camera)["clock_steps"] == "1", "the step to be reported")
    assert f"stepped by {step_s:+d}" in camera.health.report().message.replace(".000", "")
    assert camera.state == "active"
    before = len(frames)
    wait_for(lambda: len(frames) > before + 5, "frames to go on")
    jumps = [
        round((b.stamp_ns - a.stamp_ns) / 1e9)
        for a, b in itertools.pairwise(frames)
        if abs(b.stamp_ns - a.stamp_ns) > 3e9
    ]
    assert jumps in ([step_s], [step_s + 1])


class TestCalibration:
    def lens(self, tmp_path, width=32, height=24):
        path = tmp_path / "lens.yaml"
        save_calibration(CameraCalibration.ideal(width, height, 47.0), path)
        return path

    def test_it_is_published_as_camera_info(self, nodes, sensor, tmp_path):
        infos = nodes.listener(CameraInfo, "camera/thermal/camera_info", qos.image())
        path = self.lens(tmp_path)
        camera, _ = thermal(nodes, sensor(), calibration_file=str(path), fov_deg=90.0)
        camera.bring_up()
        wait_for(lambda: infos, "camera_info")
        expected = CameraCalibration.ideal(32, 24, 47.0)
        np.testing.assert_allclose(infos[0].k, expected.k.ravel())
        assert (infos[0].width, infos[0].height) == (32, 24)
        assert values(camera)["calibration"] == str(path)

    def test_one_for_another_size_is_refused(self, nodes, sensor, tmp_path):
        path = self.lens(tmp_path, 640, 512)
        camera, frames = thermal(nodes, sensor(), calibration_file=str(path))
        camera.bring_up()
        wait_for(lambda: camera.last_error is not None, "the refusal")
        assert f"{path} is for 640x512 and the camera gives 32x24" in str(camera.last_error)
        assert not frames

    def test_a_malformed_one_is_refused(self, nodes, sensor, tmp_path):
        path = tmp_path / "lens.yaml"
        path.write_text("image_width: 32\n")
        camera, _ = thermal(nodes, sensor(), calibration_file=str(path))
        assert not camera.bring_up()
        assert "lens.yaml: image_height must be" in camera.health.report().message

    @pytest.mark.parametrize(
        ("fov_deg", "words"), [(60.0, "is of an ideal lens of 60 degrees"), (0.0, "is empty")]
    )
    def test_a_missing_file_is_reported_and_the_camera_runs(self, nodes, sensor, fov_deg, words):
        infos = nodes.listener(CameraInfo, "camera/thermal/camera_info", qos.image())
        camera, _ = thermal(nodes, sensor(), calibration_file="/nowhere/lens.yaml", fov_deg=fov_deg)
        assert camera.bring_up()
        wait_for(lambda: infos, "camera_info")
        assert bool(infos[0].k[0]) == bool(fov_deg)
        message = camera.health.report().message
        assert "/nowhere/lens.yaml does not exist" in message
        assert words in message


class TestSettings:
    def rgb(self, nodes, kernel, formats, **params):
        device = kernel.add(
            formats,
            controls={
                0x009A0901: Control("Auto Exposure", 1, 0, 3, value=3),
                0x009A0902: Control("Exposure Time, Absolute", 1, 1, 5000),
                0x00980913: Control("Gain", 1, 0, 100),
            },
        )
        camera = RgbCamera({"source": f"v4l2://{device.path}", **FAST, **params})
        return device, nodes.add(camera)

    def test_they_reach_the_camera(self, nodes, kernel):
        device, camera = self.rgb(
            nodes, kernel, {"NV12": [(64, 48)], "YUYV": [(64, 48), (128, 96)]},
            width=128, height=96, frame_rate=15.0, pixel_format="yuyv", exposure_us=5000.0,
            gain=40.0,
        )  # fmt: skip
        assert camera.bring_up()
        assert device.format == ("YUYV", (128, 96))
        assert device.rate == 15
        assert [control.value for control in device.controls.values()] == [1, 50, 40]
        assert camera.health.report().values["nominal_rate_hz"] == "15.000"

    def test_an_unsupported_format_is_named(self, nodes, kernel):
        device, camera = self.rgb(nodes, kernel, {"NV12": [(64, 48)]}, pixel_format="mjpeg")
        assert not camera.bring_up()
        assert (
            f"camera {device.path} does not offer pixel format mjpeg: it has nv12"
            in camera.health.report().message
        )

    def test_an_unsupported_size_is_named(self, nodes, kernel):
        _, camera = self.rgb(nodes, kernel, {"NV12": [(64, 48)]}, width=640, height=480)
        assert not camera.bring_up()
        assert "does not give 640x480 in nv12: it has 64x48" in camera.health.report().message

    def test_settings_without_effect_are_reported(self, nodes, blob_folder):
        camera = RgbCamera({"source": str(blob_folder), "width": 64, "height": 48, "gain": 3.0})
        nodes.add(camera).bring_up()
        assert "width and height, gain: only for v4l2: cameras" in camera.health.report().message

    @pytest.mark.parametrize(
        ("flip", "turned"),
        [
            ("none", lambda image: image),
            ("horizontal", lambda image: image[:, ::-1]),
            ("vertical", lambda image: image[::-1]),
            ("both", lambda image: image[::-1, ::-1]),
        ],
    )
    def test_images_are_mirrored(self, nodes, blob_folder, flip, turned):
        import cv2

        link = Collector()
        camera = ThermalCamera({"source": str(blob_folder), "rate": 0.0, "flip": flip})
        camera.outputs.append(link)
        nodes.add(camera).bring_up()
        assert camera.ended.wait(60)
        original = cv2.imread(str(blob_folder / "000.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(link.frames[0].image, turned(original))

    def test_a_known_delay_is_subtracted_from_the_stamps(self, nodes, sensor):
        stamps = {}
        for offset in (0.0, -900.0):
            camera, frames = thermal(nodes, sensor(), stamp_offset_ms=offset)
            camera.bring_up()
            wait_for(lambda got=frames: len(got) > 3, "frames")
            stamps[offset] = time.time_ns() - frames[-1].stamp_ns
        assert stamps[-900.0] >= 0.9e9


needs_gstreamer = pytest.mark.skipif(
    shutil.which("gst-launch-1.0") is None, reason="gstreamer1.0-tools is not installed"
)


@needs_gstreamer
def test_a_gstreamer_pipeline_is_a_camera(nodes):
    pipeline = "videotestsrc is-live=true pattern=ball ! video/x-raw,format=NV12,width=64,height=48"
    images = nodes.listener(Image, "camera/rgb/image_raw", qos.image())
    camera = nodes.add(RgbCamera({"source": f"gst:{pipeline}", **FAST, "timeout_s": 30.0}))
    camera.bring_up()
    wait_for(lambda: len(images) > 3, "images")
    assert frame_from_image(images[0]).encoding == "bgr8"
    assert values(camera)["stamps_untrusted"] == "0"


@needs_gstreamer
def test_a_pipeline_with_an_unchanging_picture_is_frozen(nodes):
    pipeline = "videotestsrc is-live=true pattern=white ! video/x-raw,format=GRAY16_LE,width=64"
    link = Collector()
    camera = ThermalCamera({"source": f"gst:{pipeline}", **FAST, "timeout_s": 30.0})
    camera.outputs.append(link)
    nodes.add(camera).bring_up()
    wait_for(lambda: values(camera)["thermal_state"] == "frozen", "the freeze")
    assert len(link.frames) == 1
