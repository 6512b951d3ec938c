"""One end of an image topic, as a process: ``image_link.py send COUNT`` or ``receive``.

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
from std_msgs.msg import UInt32

from windhover_ros.environment import prepare_environment

HEIGHT, WIDTH = 720, 1280
# A frame that is not answered within this is lost.
ANSWER_S = 10.0
QOS = QoSProfile(
    reliability=ReliabilityPolicy.BEST_EFFORT, history=HistoryPolicy.KEEP_LAST, depth=5
)


def shared_memory() -> list[str]:
    return sorted(set(re.findall(r"/dev/shm/(fastrtps_\S+)", Path("/proc/self/maps").read_text())))


def send(node, count: int) -> int:
    """Send frames, each once the one before was answered or is lost; how many were answered.

    The first is sent until its answer comes and is not counted: each of the four ends finds its
    partner in its own time.
    """
    answered: set[int] = set()
    publisher = node.create_publisher(Image, "image", QOS)
    node.create_subscription(UInt32, "answer", lambda number: answered.add(number.data), 10)
    while not (publisher.get_subscription_count() and node.count_publishers("answer")):
        time.sleep(0.05)
    image = Image(height=HEIGHT, width=WIDTH, encoding="bgr8", step=3 * WIDTH)
    image._data = bytes(3 * WIDTH * HEIGHT)
    while not answered:
        image.header.stamp.sec = count
        publisher.publish(serialize_message(image))
        rclpy.spin_once(node, timeout_sec=0.5)
    for index in range(count):
        image.header.stamp.sec = index
        publisher.publish(serialize_message(image))
        deadline = time.monotonic() + ANSWER_S
        while index not in answered and time.monotonic() < deadline:
            rclpy.spin_once(node, timeout_sec=0.1)
    while publisher.get_subscription_count():
        publisher.publish(Image())
        time.sleep(0.1)
    return len(answered - {count})


def receive(node) -> int:
    """Answer frames until an empty one comes; how many came."""
    seen: set[int] = set()
    over = False
    publisher = node.create_publisher(UInt32, "answer", 10)

    def take(image: Image) -> None:
        nonlocal over
        over = not image.width
        if not over:
            seen.add(image.header.stamp.sec)
            publisher.publish(UInt32(data=image.header.stamp.sec))

    node.create_subscription(Image, "image", take, QOS)
    while not over:
        rclpy.spin_once(node, timeout_sec=0.2)
    return len(seen)


def main() -> None:
    prepare_environment()
    rclpy.init()
    node = rclpy.create_node(f"image_link_{sys.argv[1]}")
    try:
        frames = send(node, int(sys.argv[2])) if sys.argv[1] == "send" else receive(node)
        used = shared_memory()
    finally:
        node.destroy_node()
        rclpy.shutdown()
    print(json.dumps({"frames": frames, "shared_memory": used}))


if __name__ == "__main__":
    main()
