import itertools
from itertools import pairwise

import cv2
import numpy as np
import pytest

from windhover import sources
from windhover.errors import SourceError
from windhover.registry import Registry
from windhover.sources.kinds import SourceKind
from windhover.types import Frame

pytest.importorskip("rclpy")
pytest.importorskip("vision_msgs")

from sensor_msgs.msg import CameraInfo, Image

from tests.support.fixtures import Collector, blob_image, wait_for
from windhover_cameras.rgb_camera import RgbCamera
from windhover_cameras.thermal_camera import ThermalCamera
from windhover_ros import qos
from windhover_ros.images import frame_from_image
from windhover_ros.links import BlockingSlot

FAST = {"retry_min_s": 0.1, "retry_max_s": 0.2}


class FlakyCamera:
    """A live source that can be unplugged."""

    name, rate_hz, length, live = "flaky", 100.0, None, True
    plugged = True
    opened = 0

    def __iter__(self):
        stamp = 1_700_000_000_000_000_000
        for count in itertools.count():
            if not type(self).plugged:
                raise SourceError("flaky: no frame for 5 s; check its cable and power")
            stamp += 10_000_000
            # Never the same twice, as a live sensor's noise sees to.
            yield Frame(np.full((8, 8), count % 65_536, np.uint16), "mono16", stamp)

    def close(self):
        pass


def open_flaky(uri, **options):
    if not FlakyCamera.plugged:
        raise SourceError(f"{uri} is not there; plug it in")
    FlakyCamera.opened += 1
    return FlakyCamera()


def played(nodes, folder, **params):
    """A camera that has played a folder as fast as possible, and its frames."""
    link = Collector()
    camera = ThermalCamera({"source": str(folder), "rate": 0.0, **params})
    camera.outputs.append(link)
    nodes.add(camera)
    camera.bring_up()
    assert camera.ended.wait(60)
    return camera, link.frames


PLUGIN = """
from pathlib import Path
from windhover.sources.files import ImageFiles
from windhover.sources.kinds import SourceKind

def open_source(rest, uri, options):
    return ImageFiles(Path(rest), uri, options)

SOURCE = SourceKind(open_source, "plugin:PATH")
"""


def test_a_source_of_another_package_is_played(nodes, blob_folder, tmp_path, monkeypatch):
    (tmp_path / "windhover_camera_plugin.py").write_text(PLUGIN)
    info = tmp_path / "windhover_camera_plugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: windhover-camera-plugin\n")
    (info / "entry_points.txt").write_text(
        "[windhover.sources]\nplugin = windhover_camera_plugin:SOURCE\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    # The registry looks for packages once; another one stands in for a new process.
    monkeypatch.setattr(sources, "SOURCES", Registry("windhover.sources", SourceKind, {}))
    _, frames = played(nodes, f"plugin:{blob_folder}")
    assert len(frames) == 30
    np.testing.assert_array_equal(frames[3].image, blob_image(3))


def test_the_palette_of_a_thermal_picture_is_a_parameter(nodes, tmp_path):
    heat = np.add.outer(np.arange(48) * 2, np.arange(64) * 2).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "1.png"), 255 - heat)
    _, (frame,) = played(nodes, tmp_path, palette="black-hot")
    np.testing.assert_array_equal(frame.image, heat)


def test_a_folder_is_published_with_its_camera_info(nodes, blob_folder):
    images = nodes.listener(Image, "camera/thermal/image_raw", qos.image())
    infos = nodes.listener(CameraInfo, "camera/thermal/camera_info", qos.image())
    camera = nodes.add(ThermalCamera({"source": str(blob_folder), "fov_deg": 60.0, "loop": True}))
    camera.bring_up()
    wait_for(lambda: len(images) > 5 and len(infos) > 5, "images")
    frame = frame_from_image(images[0])
    assert (frame.encoding, frame.frame_id) == ("mono8", "thermal_camera")
    assert any((frame.image == blob_image(step)).all() for step in range(30))
    stamps = [frame_from_image(m).stamp_ns for m in images]
    assert all(b > a for a, b in pairwise(stamps))
    assert (infos[0].width, infos[0].height) == (320, 256)
    assert infos[0].k[0] > 0
    now = camera.get_clock().now().nanoseconds
    assert 0 <= now - stamps[-1] < 60e9


def test_at_full_speed_no_frame_is_lost_and_the_end_is_reported(nodes, blob_folder):
    link = BlockingSlot()
    camera = ThermalCamera({"source": str(blob_folder), "rate": 0.0, "stamps": "source"})
    camera.outputs.append(link)
    nodes.add(camera)
    camera.bring_up()
    taken = []
    while (frame := link.take(60.0)) is not None:
        taken.append(frame)
    assert [f.index for f in taken] == list(range(30))
    assert link.closed
    assert camera.ended.is_set()
    assert [f.stamp_ns for f in taken[:2]] == [0, round(1e9 / 30)]
    assert camera.health.report().values["source_state"] == "ended after 30 frames"


def test_max_frames_ends_it_early(nodes, blob_folder):
    _, frames = played(nodes, blob_folder, max_frames=7)
    assert len(frames) == 7


def test_unreadable_images_are_dropped_counted_and_reported(nodes, blob_folder):
    (blob_folder / "003.png").write_bytes(b"")
    (blob_folder / "004.png").write_bytes((blob_folder / "005.png").read_bytes()[:100])
    camera, frames = played(nodes, blob_folder)
    assert [f.index for f in frames] == [i for i in range(30) if i not in {3, 4}]
    report = camera.health.report()
    assert report.values["frames_unreadable"] == "2"
    assert "004.png" in report.message


def test_a_change_of_size_is_reported_and_followed(nodes, blob_folder):
    cv2.imwrite(str(blob_folder / "999.png"), blob_image(0, height=128))
    camera, frames = played(nodes, blob_folder)
    assert frames[-1].image.shape == (128, 320)
    assert camera.health.counter("size_changes") == 1
    assert "(128, 320)" in camera.health.report().message


def test_a_camera_that_disappears_is_reported_and_comes_back(nodes):
    FlakyCamera.plugged, FlakyCamera.opened = True, 0
    link = Collector()
    camera = ThermalCamera({"source": "v4l2:///dev/video9", **FAST})
    camera.opener = open_flaky
    camera.outputs.append(link)
    nodes.add(camera)
    camera.bring_up()
    wait_for(lambda: len(link.frames) > 3, "frames")
    FlakyCamera.plugged = False
    wait_for(lambda: camera.state != "active", "the failure")
    wait_for(lambda: "plug it in" in camera.health.report().message, "a failed attempt")
    before = len(link.frames)
    FlakyCamera.plugged = True
    wait_for(lambda: len(link.frames) > before + 3, "frames again")
    assert FlakyCamera.opened == 2
    wait_for(lambda: camera.state == "active", "the end of the recovery")


def test_without_a_source_it_says_what_to_set(nodes):
    camera = nodes.add(ThermalCamera())
    assert not camera.bring_up()
    assert "set its parameter 'source'" in camera.health.report().message


def test_colour_from_a_thermal_camera_is_flagged_and_grey_files_are_made_grey(nodes, tmp_path):
    cv2.imwrite(str(tmp_path / "0.jpg"), cv2.merge([blob_image(0)] * 3))
    for make, encoding in ((ThermalCamera, "mono8"), (RgbCamera, "bgr8")):
        link = Collector()
        camera = make({"source": str(tmp_path), "rate": 0.0})
        camera.outputs.append(link)
        nodes.add(camera)
        camera.bring_up()
        assert camera.ended.wait(60)
        assert link.frames[0].encoding == encoding
        assert "encoding" not in camera.health.report().message


def test_daylight_pictures_for_the_thermal_camera_are_reported(nodes, tmp_path):
    image = np.full((48, 64, 3), (70, 110, 95), np.uint8)
    image[10:20] = (30, 25, 200)
    cv2.imwrite(str(tmp_path / "0.png"), image)
    camera, (frame,) = played(nodes, tmp_path)
    assert frame.encoding == "mono8"
    assert "is in colour and is made grey for the thermal camera" in camera.health.report().message
