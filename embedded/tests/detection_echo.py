"""A process that sends every array it receives on ``in`` back on ``out``, until killed."""

import rclpy
from rclpy.signals import SignalHandlerOptions
from vision_msgs.msg import Detection2DArray


def main() -> None:
    # rclpy's own handler may wake the executor before the context is down; then it waits for ever.
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("detection_echo")
    publisher = node.create_publisher(Detection2DArray, "out", 10)
    node.create_subscription(Detection2DArray, "in", publisher.publish, 10)
    rclpy.spin(node)


if __name__ == "__main__":
    main()
