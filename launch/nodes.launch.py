"""A process for each node, all from one config; the cameras start last.

For example::

    ros2 launch windhover_bringup nodes.launch.py source:=v4l2:///dev/video0
"""

from launch import LaunchDescription
from windhover_bringup.runtime.launching import arguments, processes

NAMES = ("source", "model", "backend", "rate", "frames", "out")


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription([*arguments("default.yaml", ["namespace", *NAMES]), processes(NAMES)])
