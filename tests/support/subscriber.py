"""What another team's node is: only rclpy and vision_msgs, no Windhover.

Takes that number and, if need be, a ROS namespace. Prints ``listening``, waits for so
many messages with tracks in them, and prints what it heard as JSON.
"""

import json
import sys
import time

import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from vision_msgs.msg import Detection2DArray, LabelInfo


def plain(array):
    """A message as JSON."""
    return {
        "frame_id": array.header.frame_id,
        "stamp": array.header.stamp.sec + array.header.stamp.nanosec / 1e9,
        "objects": [
            {
                "id": one.id,
                "label": one.results[0].hypothesis.class_id,
                "score": one.results[0].hypothesis.score,
                "width": one.bbox.size_x,
                "height": one.bbox.size_y,
            }
            for one in array.detections
        ],
    }


def main():
    """Listen."""
    wanted = int(sys.argv[1])
    heard, labels = [], []
    rclpy.init()
    namespace = sys.argv[2] if len(sys.argv) > 2 else ""
    node = rclpy.create_node("subscriber", namespace=namespace)
    node.create_subscription(
        Detection2DArray,
        "tracks",
        lambda array: heard.append(plain(array)),
        QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE),
    )
    node.create_subscription(
        LabelInfo,
        "label_info",
        lambda info: labels.extend(c.class_name for c in info.class_map),
        QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL),
    )
    print("listening", flush=True)
    deadline = time.monotonic() + 300
    while sum(bool(array["objects"]) for array in heard) < wanted or not labels:
        rclpy.spin_once(node, timeout_sec=0.2)
        if time.monotonic() > deadline:
            print(f"heard {len(heard)} messages, labels {labels}", file=sys.stderr)
            return 1
    print(json.dumps({"tracks": heard, "labels": labels}))
    node.destroy_node()
    rclpy.shutdown()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
