"""A peer that sends on the input topic what it should not, for a while, then goes.

    python -m tests.faults.peer flood|malformed SECONDS

In this machine's own ROS domain only, and never for longer than a minute.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import rclpy
from sensor_msgs.msg import Image

from windhover_ros import qos
from windhover_ros.runner import ros

TOPIC = "camera/thermal/image_raw"


def image(**changed: Any) -> Image:
    """A good image, with some fields changed."""
    message = Image(height=256, width=320, encoding="mono8", step=320)
    message.header.frame_id = "peer"
    message._data = bytes(256 * 320)
    for name, value in changed.items():
        setattr(message, name, value)
    return message


MALFORMED = (
    image(step=1),
    image(step=2**31),
    image(encoding="mono16"),
    image(encoding="yuv999"),
    image(encoding=""),
    image(height=0, width=0, step=0, _data=b""),
    image(height=2**32 - 1, width=2**32 - 1, step=2**32 - 1),
    image(_data=b"short"),
    b"",
    b"\x00\x01\x00\x00",
    b"\x00\x01\x00\x00" + b"\xff" * 200,
    b"garbage that is no CDR at all",
)


def main() -> int:
    """Send."""
    kind, seconds = sys.argv[1], min(float(sys.argv[2]), 60.0)
    with ros([]):
        node = rclpy.create_node("peer")
        publisher = node.create_publisher(Image, TOPIC, qos.image())
        deadline = time.monotonic() + 120.0
        while not publisher.get_subscription_count():
            if time.monotonic() > deadline:
                return 1
            time.sleep(0.05)
        sent, end, good = 0, time.monotonic() + seconds, image()
        print("sending", flush=True)
        while time.monotonic() < end:
            if kind == "flood":
                publisher.publish(good)
            else:
                publisher.publish(MALFORMED[sent % len(MALFORMED)])
                time.sleep(0.01)
            sent += 1
        print(sent, flush=True)
        node.destroy_node()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
