"""Images of a recording that are for people."""

from __future__ import annotations

import cv2

from windhover.imaging.formats import to_gray8
from windhover.types import Frame
from windhover_ros.cdr import CdrWriter

PREVIEW_JPEG_QUALITY = 80


def write_preview(frame: Frame) -> bytes:
    """The CDR bytes of a sensor_msgs/CompressedImage of a frame in 8 bits of grey.

    Raises:
        EncodingError: the frame has no known encoding.
    """
    picture = to_gray8(frame.image, frame.encoding)
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, PREVIEW_JPEG_QUALITY])[1]
    writer = CdrWriter()
    writer.header(frame.stamp_ns, frame.frame_id)
    writer.string("mono8; jpeg compressed mono8")
    writer.blob(data.tobytes())
    return writer.getvalue()
