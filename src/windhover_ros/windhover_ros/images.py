"""sensor_msgs/Image and CompressedImage to and from frames.

In: the frame's array is a view of the message's data wherever the encoding
allows. Out: the array goes straight to the serialiser; assigning it to
``msg.data`` the documented way costs 224 ms at 1280x720, because rclpy checks
each byte.
"""

from __future__ import annotations

import sys
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, CompressedImage
from sensor_msgs.msg import Image as ImageMessage

from windhover.calibration import CameraCalibration
from windhover.errors import EncodingError
from windhover.imaging.compressed import decode_compressed
from windhover.imaging.formats import decode_image
from windhover.types import Frame
from windhover_ros.cdr import CdrWriter


def to_time(stamp_ns: int) -> Time:
    """Nanoseconds as builtin_interfaces/Time."""
    return Time(sec=stamp_ns // 1_000_000_000, nanosec=stamp_ns % 1_000_000_000)


def to_ns(stamp: Time) -> int:
    """builtin_interfaces/Time as nanoseconds."""
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def frame_from_image(message: ImageMessage, index: int = 0) -> Frame:
    """A received image as a frame.

    Args:
        message: the image; its data is not copied where its encoding allows.
        index: count of the frame in its stream.

    Raises:
        EncodingError: unknown encoding, or data that does not fit its geometry.
    """
    image, encoding = decode_image(
        message.data,
        message.encoding,
        message.height,
        message.width,
        message.step,
        bool(message.is_bigendian),
    )
    return Frame(image, encoding, to_ns(message.header.stamp), message.header.frame_id, index)


def frame_from_compressed(message: CompressedImage, index: int = 0) -> Frame:
    """A received compressed picture as a frame.

    Args:
        message: JPEG, PNG, TIFF or WebP, or a depth image as PNG.
        index: count of the frame in its stream.

    Raises:
        EncodingError: the data is not an image that can be decoded.
    """
    image, encoding = decode_compressed(message.data, message.format)
    return Frame(image, encoding, to_ns(message.header.stamp), message.header.frame_id, index)


def image_message(frame: Frame) -> ImageMessage:
    """A frame as an image message that shares the frame's pixels.

    Args:
        frame: in its canonical encoding; must not change until it is published.
    """
    image = np.ascontiguousarray(frame.image)
    message = ImageMessage(
        height=frame.height,
        width=frame.width,
        encoding=frame.encoding,
        is_bigendian=int(sys.byteorder == "big"),
        step=image.strides[0],
    )
    message.header.stamp = to_time(frame.stamp_ns)
    message.header.frame_id = frame.frame_id
    # Past the checked property: see the module's docstring.
    message._data = image
    return message


def encode_png_or_jpeg(frame: Frame, jpeg_quality: int = 90) -> tuple[bytes, str]:
    """Compress a frame: thermal without loss (PNG), colour as JPEG.

    Returns:
        The file's bytes and image_transport's ``format`` string.

    Raises:
        EncodingError: the frame has an encoding that neither takes.
    """
    if frame.encoding in {"mono8", "mono16", "8UC4"}:
        ok, data = cv2.imencode(".png", frame.image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
        kind = "png"
    elif frame.encoding in {"bgr8", "rgb8"}:
        image: NDArray[Any] = frame.image
        if frame.encoding == "rgb8":
            image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        ok, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
        kind = "jpeg"
    else:
        raise EncodingError(f"encoding {frame.encoding!r} can't be compressed; use bgr8 or mono16")
    if not ok:
        raise EncodingError(f"{frame.width}x{frame.height} {frame.encoding} can't be compressed")
    stored = "bgr8" if frame.encoding == "rgb8" else frame.encoding
    return data.tobytes(), f"{stored}; {kind} compressed {stored if kind == 'jpeg' else ''}".strip()


def write_compressed(frame: Frame, jpeg_quality: int = 90) -> bytes:
    """The CDR bytes of a sensor_msgs/CompressedImage of a frame."""
    data, kind = encode_png_or_jpeg(frame, jpeg_quality)
    writer = CdrWriter()
    writer.header(frame.stamp_ns, frame.frame_id)
    writer.string(kind)
    writer.blob(data)
    return writer.getvalue()


def camera_info(frame: Frame, lens: CameraCalibration | None) -> CameraInfo:
    """The CameraInfo that goes with a frame.

    Args:
        frame: whose size and header it takes.
        lens: the camera's; ``None`` leaves K at zero, which ROS reads as
            "uncalibrated".
    """
    info = CameraInfo(height=frame.height, width=frame.width, distortion_model="plumb_bob")
    info.header.stamp = to_time(frame.stamp_ns)
    info.header.frame_id = frame.frame_id
    if lens is not None:
        info.distortion_model = lens.model
        info.d = lens.d.tolist()
        info.k = lens.k.ravel().tolist()
        info.r = lens.r.ravel().tolist()
        info.p = lens.p.ravel().tolist()
    return info
