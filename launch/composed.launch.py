"""The composed process: every stage in one process, as on the drone.

Defaults come from the config file only::

    ros2 launch windhover_bringup composed.launch.py config:=/path/to/mine.yaml
"""

from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    share = FindPackageShare("windhover_bringup")
    config = DeclareLaunchArgument(
        "config",
        default_value=PathJoinSubstitution([share, "config", "default.yaml"]),
        description="ROS parameter file with the values of all nodes",
    )
    composed = Node(
        package="windhover_bringup",
        executable="composed",
        output="screen",
        arguments=["--config", LaunchConfiguration("config")],
    )
    return LaunchDescription([config, composed])
