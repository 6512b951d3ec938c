"""All stages in one process, with any config and any source.

For example::

    ros2 launch windhover_bringup composed.launch.py source:=/path/to/flight
    ros2 launch windhover_bringup composed.launch.py config:=/path/to/mine.yaml
"""

from launch import LaunchDescription
from windhover_bringup.runtime.launching import arguments, command, option_words

NAMES = ("source", "model", "backend", "rate", "frames", "out")


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            *arguments("default.yaml", ["namespace", *NAMES]),
            command(lambda values: ["up", *option_words(values)], NAMES, keep_up=True),
        ]
    )
