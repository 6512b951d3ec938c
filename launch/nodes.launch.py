"""A process for each node, all with one config file.

The nodes configure and activate themselves (their parameter ``autostart``)::

    ros2 launch windhover_bringup nodes.launch.py config:=/path/to/mine.yaml camera:=rgb
"""

from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import LifecycleNode
from launch_ros.substitutions import FindPackageShare

from launch import LaunchDescription


def generate_launch_description() -> LaunchDescription:
    share = FindPackageShare("windhover_bringup")
    arguments = [
        DeclareLaunchArgument(
            "config",
            default_value=PathJoinSubstitution([share, "config", "default.yaml"]),
            description="ROS parameter file with the values of all nodes",
        ),
        DeclareLaunchArgument(
            "camera",
            default_value="thermal",
            choices=["rgb", "thermal"],
            description="the camera that the model is for",
        ),
        DeclareLaunchArgument("namespace", default_value="", description="of all nodes"),
    ]

    def node(package: str, executable: object, name: object) -> LifecycleNode:
        return LifecycleNode(
            package=package,
            executable=executable,
            name=name,
            namespace=LaunchConfiguration("namespace"),
            parameters=[LaunchConfiguration("config")],
            output="screen",
        )

    camera = [LaunchConfiguration("camera"), "_camera"]
    return LaunchDescription(
        [
            *arguments,
            node("windhover_tracker", "tracker", "tracker"),
            node("windhover_detector", "detector", "detector"),
            node("windhover_bringup", "overlay", "overlay"),
            node("windhover_cameras", camera, camera),
        ]
    )
