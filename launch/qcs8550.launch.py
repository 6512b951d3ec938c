"""On the drone: all stages in one process, inference on the HTP through the model's .dlc.

Both cameras fly: RGB at 3840x2160 (NV12), thermal at 640x512 (Y16), with the model for both.
What runs is written in config/qcs8550.yaml::

    ros2 launch windhover_bringup qcs8550.launch.py
    ros2 launch windhover_bringup qcs8550.launch.py namespace:=drone1 out:=/data/flight7
"""

from launch import LaunchDescription
from windhover_bringup.runtime.launching import arguments, command, option_words

NAMES = ("source", "model", "backend", "out")


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            *arguments("qcs8550.yaml", ["namespace", *NAMES]),
            command(lambda values: ["up", *option_words(values)], NAMES, keep_up=True),
        ]
    )
