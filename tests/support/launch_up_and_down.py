"""A launch_testing test: what was launched gives tracks, and ends well on Ctrl-C.

Run by ``tests/test_launch.py``, which names the launch file and its arguments.
"""

import os
import subprocess
import sys
import unittest
from pathlib import Path

import launch_testing.actions
import launch_testing.asserts
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

from launch import LaunchDescription

SUBSCRIBER = Path(__file__).with_name("subscriber.py")


def generate_test_description():
    """The launch file under test, and word that the tests may begin."""
    arguments = [part.split(":=", 1) for part in os.environ["ARGUMENTS"].split()]
    return LaunchDescription(
        [
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(os.environ["LAUNCHED"]),
                launch_arguments=[tuple(pair) for pair in arguments],
            ),
            launch_testing.actions.ReadyToTest(),
        ]
    )


class TestWhileItRuns(unittest.TestCase):
    """Another team's process listens."""

    def test_tracks_come_under_the_namespace(self):
        """Six messages with tracks in them."""
        heard = subprocess.run(
            [sys.executable, str(SUBSCRIBER), "6", "drone1"],
            capture_output=True, text=True, timeout=330, check=False,
        )  # fmt: skip
        assert heard.returncode == 0, heard.stderr
        assert "person" in heard.stdout


@launch_testing.post_shutdown_test()
class TestAfterwards(unittest.TestCase):
    """All processes have ended."""

    def test_every_process_ended_well(self, proc_info):
        """Status 0; ``wait-active`` ended long before."""
        launch_testing.asserts.assertExitCodes(proc_info)
