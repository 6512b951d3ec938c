"""The RGB camera at its full resolution: what is published, what is handed on, what is said."""

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from sensor_msgs.msg import CameraInfo, Image

from tests.support.fixtures import Collector, wait_for
from windhover.calibration import CameraCalibration, save_calibration
from windhover.types import Frame
from windhover_cameras.rgb_camera import RgbCamera
from windhover_ros import qos


class Nv12Camera:
    """A live camera that gives the frames it was made with, and then nothing more."""

    name, rate_hz, length, live = "sensor", 30.0, None, True

    def __init__(self, frames):
        self.frames = frames

    def __iter__(self):
        yield from self.frames
        wait_for(lambda: self.closed, "the end of the test")

    closed = False

    def close(self):
        self.closed = True


def nv12_frame(index, width=640, height=360):
    planes = np.full((height * 3 // 2, width), 128, np.uint8)
    planes[:height] = 40
    # A light mark in the upper left quarter.
    planes[40:80, 100:180] = 220
    return Frame(planes, "nv12", (1 + index) * 33_000_000, index=index)


@pytest.fixture
def flown(nodes):
    """Plays frames of a camera; gives the node and what it hands on."""

    def fly(frames, count=1, **params):
        link, options = Collector(), []
        camera = RgbCamera({"source": "v4l2:///dev/video9", **params})
        camera.opener = lambda uri, **given: options.append(given) or Nv12Camera(frames)
        camera.outputs.append(link)
        nodes.add(camera)
        camera.bring_up()
        wait_for(lambda: len(link.frames) >= count, "frames")
        return camera, link.frames, options[0]

    return fly


def test_the_reduced_frame_is_handed_on_with_the_full_one_in_the_sensors_memory(nodes, flown):
    images = nodes.listener(Image, "camera/rgb/image_raw", qos.image())
    infos = nodes.listener(CameraInfo, "camera/rgb/camera_info", qos.image())
    given = [nv12_frame(index) for index in range(50)]
    camera, frames, options = flown(given, 50, detect_width=320, fov_deg=66.0)
    assert options["keep_nv12"]
    assert options["nearest_size"]
    for frame, source in zip(frames, given, strict=True):
        assert (frame.encoding, frame.width, frame.height) == ("bgr8", 320, 180)
        assert (frame.full.encoding, frame.full.width, frame.full.height) == ("nv12", 640, 360)
        assert frame.full.image is source.image
    assert frames[0].image[30, 70].tolist() == pytest.approx([237] * 3, abs=3)
    assert camera.health.report().values["full_frame"] == "640x360 nv12"
    assert "full_frame" not in camera.health.report().message
    wait_for(lambda: images and infos, "messages")
    assert (images[0].width, images[0].height, images[0].encoding) == (320, 180, "bgr8")
    assert (infos[0].width, infos[0].height) == (320, 180)


def test_a_calibration_of_full_frames_serves_for_reduced_ones(nodes, flown, tmp_path):
    file = tmp_path / "rgb.yaml"
    save_calibration(CameraCalibration.ideal(640, 360, 66.0), file)
    camera, (frame, *_), _ = flown([nv12_frame(0)], detect_width=320, calibration_file=str(file))
    lens, wanted = camera.lens(frame), CameraCalibration.ideal(320, 180, 66.0)
    assert (lens.width, lens.height) == (320, 180)
    np.testing.assert_allclose(lens.k, wanted.k, atol=1e-6)
    np.testing.assert_allclose(lens.p, wanted.p, atol=1e-6)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (nv12_frame(0, 320, 180), "320x180 nv12, no larger than detect_width"),
        (Frame(np.zeros((360, 640, 3), np.uint8), "bgr8", 1), "640x360 bgr8, not nv12"),
    ],
)
def test_a_camera_that_gives_less_flies_and_says_so_once(flown, capfd, frame, said):
    given = [Frame(frame.image, frame.encoding, (1 + i) * 33_000_000, index=i) for i in range(5)]
    camera, frames, _ = flown(given, 5, detect_width=320)
    assert all(one.encoding == "bgr8" and one.width == 320 for one in frames)
    assert said in camera.health.report().message
    assert capfd.readouterr().err.count(said) == 1


def test_without_detect_width_frames_go_on_as_they_are(flown):
    image = np.zeros((360, 640, 3), np.uint8)
    _, (frame, *_), options = flown([Frame(image, "bgr8", 1)])
    assert frame.image is image
    assert frame.full is None
    assert not options["keep_nv12"]


def test_a_camera_that_is_mounted_upside_down_turns_the_full_frame_too(flown):
    _, (frame, *_), _ = flown([nv12_frame(0)], detect_width=320, flip="both")
    bgr = cv2.cvtColor(frame.full.image, cv2.COLOR_YUV2BGR_NV12)
    assert bgr[300, 500, 0] > 200
    assert frame.image[150, 250, 0] > 200
    assert bgr[60, 140, 0] < 60


@pytest.mark.parametrize("shape", [(541, 640), (540, 639), (540, 640, 3)])
def test_a_frame_of_odd_size_is_named_and_left_out(flown, shape):
    odd = Frame(np.zeros(shape, np.uint8), "nv12", 1)
    camera, frames, _ = flown(
        [odd, *(nv12_frame(index) for index in range(3))], 3, detect_width=320
    )
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert camera.state == "active"
    assert camera.health.counter("frames_unreadable") == 1
    assert f"an nv12 frame of uint8 {shape} is damaged" in camera.unreadable
    assert "is damaged (skipped)" in camera.health.report().message
