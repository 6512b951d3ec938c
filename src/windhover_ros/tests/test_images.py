import cv2
import numpy as np
import pytest

from windhover.calibration import CameraCalibration
from windhover.errors import EncodingError
from windhover.types import Frame

pytest.importorskip("rclpy")

from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image

from windhover_ros.images import (
    camera_info,
    frame_from_compressed,
    frame_from_image,
    image_message,
    write_compressed,
)

RNG = np.random.default_rng(3)
FRAMES = {
    "mono8": RNG.integers(0, 256, (17, 31), np.uint8),
    "mono16": RNG.integers(0, 65536, (17, 31), np.uint16),
    "bgr8": RNG.integers(0, 256, (17, 31, 3), np.uint8),
    "8UC4": RNG.integers(0, 256, (17, 31, 4), np.uint8),
}


def frame_of(encoding):
    return Frame(FRAMES[encoding], encoding, 5_000_000_007, "cam", 4)


@pytest.mark.parametrize("encoding", FRAMES)
def test_a_frame_survives_the_wire(encoding):
    frame = frame_of(encoding)
    received = deserialize_message(serialize_message(image_message(frame)), Image)
    back = frame_from_image(received, 4)
    np.testing.assert_array_equal(back.image, frame.image)
    assert (back.encoding, back.stamp_ns, back.frame_id, back.index) == (
        encoding, 5_000_000_007, "cam", 4,
    )  # fmt: skip


def test_a_message_equals_the_one_that_is_set_by_its_fields():
    frame = frame_of("mono16")
    by_fields = Image(height=17, width=31, encoding="mono16", step=62, is_bigendian=0)
    by_fields.header.stamp.sec, by_fields.header.stamp.nanosec = 5, 7
    by_fields.header.frame_id = "cam"
    by_fields.data = frame.image.tobytes()
    assert serialize_message(image_message(frame)) == serialize_message(by_fields)


def test_a_cropped_view_is_sent_right():
    frame = Frame(FRAMES["bgr8"][2:9, 3:20], "bgr8", 1, "cam")
    back = frame_from_image(deserialize_message(serialize_message(image_message(frame)), Image))
    np.testing.assert_array_equal(back.image, frame.image)


def test_received_pixels_are_not_copied():
    message = deserialize_message(serialize_message(image_message(frame_of("bgr8"))), Image)
    frame = frame_from_image(message)
    assert np.shares_memory(frame.image, np.frombuffer(message.data, np.uint8))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"encoding": "rgb99"}, "rgb99"),
        ({"step": 1}, "step"),
        ({"height": 1000}, "1000"),
    ],
)
def test_a_malformed_image_is_refused_by_name(change, reason):
    message = image_message(frame_of("bgr8"))
    for name, value in change.items():
        setattr(message, name, value)
    received = deserialize_message(serialize_message(message), Image)
    with pytest.raises(EncodingError, match=reason):
        frame_from_image(received)


@pytest.mark.parametrize("encoding", ["mono8", "mono16", "8UC4"])
def test_thermal_is_compressed_without_loss(encoding):
    received = deserialize_message(write_compressed(frame_of(encoding)), CompressedImage)
    assert received.format.startswith(f"{encoding}; png")
    back = frame_from_compressed(received)
    np.testing.assert_array_equal(back.image, FRAMES[encoding])
    assert (back.encoding, back.stamp_ns, back.frame_id) == (encoding, 5_000_000_007, "cam")


def test_colour_is_compressed_as_jpeg_with_its_channels_in_order():
    image = np.zeros((32, 32, 3), np.uint8)
    image[..., 0] = 200
    for encoding, shown in (("bgr8", image), ("rgb8", image[..., ::-1])):
        frame = Frame(np.ascontiguousarray(shown), encoding, 1, "cam")
        received = deserialize_message(write_compressed(frame), CompressedImage)
        assert received.format == "bgr8; jpeg compressed bgr8"
        back = frame_from_compressed(received)
        assert back.encoding == "bgr8"
        assert np.abs(back.image.astype(int) - image).max() < 6


def test_the_live_decoder_is_the_bag_readers():
    """Empty format, alpha, TIFF: both call ``decode_compressed``."""
    four = np.dstack((FRAMES["bgr8"], np.full((17, 31), 255, np.uint8)))
    for kind, suffix, image, encoding in (
        ("", ".png", FRAMES["mono16"], "mono16"),
        ("bgra8; png compressed bgra8", ".png", four, "bgr8"),
        ("mono16; tiff compressed ", ".tiff", FRAMES["mono16"], "mono16"),
        ("16UC1; compressedDepth png", ".png", FRAMES["mono16"], "mono16"),
    ):
        data = cv2.imencode(suffix, image)[1].tobytes()
        data = bytes(12) + data if "Depth" in kind else data
        back = frame_from_compressed(CompressedImage(format=kind, data=data))
        assert back.encoding == encoding
        np.testing.assert_array_equal(back.image, image[..., :3] if encoding == "bgr8" else image)


def test_damaged_compression_is_refused():
    with pytest.raises(EncodingError, match="damaged"):
        frame_from_compressed(CompressedImage(format="jpeg", data=b"nothing of the kind"))


def test_camera_info_carries_a_calibration_and_its_frames_header():
    lens = CameraCalibration.ideal(640, 512, 90.0)
    info = camera_info(Frame(np.zeros((512, 640), np.uint8), "mono8", 9, "cam"), lens)
    assert (info.width, info.height, info.header.frame_id) == (640, 512, "cam")
    assert info.k[0] == pytest.approx(320.0)
    # The centre of the picture, counted from the centre of the first pixel.
    assert (info.k[2], info.k[5]) == (319.5, 255.5)
    assert info.p[3] == 0.0
    blank = camera_info(Frame(np.zeros((4, 4), np.uint8), "mono8", 9, "cam"), None)
    assert not any(blank.k)
