"""A process that sends every array it receives on ``in`` back on ``out``, until killed."""

import rclpy
from vision_msgs.msg import Detection2DArray


def main() -> None:
    rclpy.init()
    node = rclpy.create_node("detection_echo")
    publisher = node.create_publisher(Detection2DArray, "out", 10)
    node.create_subscription(Detection2DArray, "in", publisher.publish, 10)
    rclpy.spin(node)


if __name__ == "__main__":
    main()
