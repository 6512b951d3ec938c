"""All stages in one process on a rendered scene in a loop, for trying things out.

The scene is written in config/sim.yaml::

    ros2 launch windhover_bringup sim.launch.py
    ros2 launch windhover_bringup sim.launch.py source:="scene:demo?seed=7&altitude=35&time=day"
"""

from launch import LaunchDescription
from windhover_bringup.runtime.launching import arguments, command, option_words

NAMES = ("source", "model", "backend", "rate", "frames", "out")


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            *arguments("sim.yaml", ["namespace", *NAMES]),
            command(lambda values: ["up", *option_words(values)], NAMES, keep_up=False),
        ]
    )
