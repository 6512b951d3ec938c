"""Replay a recording with its own stamps, without losing a frame, and score it against truth.

For example::

    ros2 launch windhover_bringup replay.launch.py bag:=flight7/bag truth:=truth.json out:=replayed
"""

from launch.actions import DeclareLaunchArgument

from launch import LaunchDescription
from windhover_bringup.runtime.launching import arguments, command, option_words

NAMES = ("model", "backend")


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            *arguments("default.yaml", ["namespace", *NAMES]),
            DeclareLaunchArgument("bag", description="rosbag2 folder or file, or another source"),
            DeclareLaunchArgument(
                "out", description="folder for overlay.mp4, bag/, metrics.json, report.html"
            ),
            DeclareLaunchArgument(
                "truth",
                default_value="",
                description="COCO JSON whose images are the bag's, in their order; empty: no score",
            ),
            command(replay, [*NAMES, "bag", "out", "truth"], keep_up=False),
        ]
    )


def replay(values: dict[str, str]) -> list[str]:
    rest = {name: value for name, value in values.items() if name != "bag"}
    return ["replay", values["bag"], *option_words(rest)]
