"""One end of an image topic, as a process: ``image_link.py send|receive COUNT``.

Prints a JSON object: how many distinct frames it handled and which files of
/dev/shm it had mapped.
"""

import json
import re
import sys
import time
from pathlib import Path

import rclpy
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image

from windhover_ros.environment import prepare_environment

HEIGHT, WIDTH = 720, 1280
RATE_HZ = 30.0
SILENCE_S = 5.0
QOS = QoSProfile(
    reliability=ReliabilityPolicy.BEST_EFFORT, history=HistoryPolicy.KEEP_LAST, depth=5
)


def shared_memory() -> list[str]:
    return sorted(set(re.findall(r"/dev/shm/(fastrtps_\S+)", Path("/proc/self/maps").read_text())))


def send(node, count: int) -> int:
    publisher = node.create_publisher(Image, "image", QOS)
    while not publisher.get_subscription_count():
        time.sleep(0.05)
    image = Image(height=HEIGHT, width=WIDTH, encoding="bgr8", step=3 * WIDTH)
    image._data = bytes(3 * WIDTH * HEIGHT)
    for index in range(count):
        image.header.stamp.sec = index
        publisher.publish(serialize_message(image))
        time.sleep(1 / RATE_HZ)
    # The last frames stay readable until the receiver has gone.
    while publisher.get_subscription_count():
        time.sleep(0.05)
    return count


def receive(node, count: int) -> int:
    seen: set[int] = set()
    node.create_subscription(Image, "image", lambda image: seen.add(image.header.stamp.sec), QOS)
    silent_since = time.monotonic() + 30.0  # discovery
    while count - 1 not in seen and time.monotonic() - silent_since < SILENCE_S:
        before = len(seen)
        rclpy.spin_once(node, timeout_sec=0.2)
        if len(seen) > before:
            silent_since = time.monotonic()
    return len(seen)


def main() -> None:
    role, count = sys.argv[1], int(sys.argv[2])
    prepare_environment()
    rclpy.init()
    node = rclpy.create_node(f"image_link_{role}")
    try:
        frames = (send if role == "send" else receive)(node, count)
        used = shared_memory()
    finally:
        node.destroy_node()
        rclpy.shutdown()
    print(json.dumps({"frames": frames, "shared_memory": used}))


if __name__ == "__main__":
    main()
