"""The ``windhover`` command.

A mistake of the person in front of it is one line on stderr and exit status 2,
never a traceback. Commands import what they need when they run: evaluating,
tracking and ``doctor`` work without ROS.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer
from typer.main import get_command

from windhover.command_line import print_error, run_command
from windhover_bringup.cli import (
    bench,
    bundle,
    calibrate,
    demo,
    doctor,
    evaluate,
    health,
    ready,
    recover,
    replay,
    track,
    up,
)
from windhover_ros.arguments import own_arguments

app = typer.Typer(
    name="windhover",
    help="Drone perception on ROS 2: frames in, detections and tracks out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("up")(up.up)
app.command("replay")(replay.replay)
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(calibrate.app, name="calibrate")
app.add_typer(bundle.app, name="bundle")
app.command("track")(track.track)
app.command("doctor")(doctor.doctor)
app.command("demo")(demo.demo)
app.command("recover")(recover.recover)
app.command("bench")(bench.bench)
app.command("health")(health.health)
app.command("ready")(ready.ready)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        args: without the program's name; ``None`` takes those of the process.

    Returns:
        0, 2 after an error that a person has to mend, or 3 after one that a new start
        may mend.
    """
    # ROS arguments reach rclpy, which reads the process's own.
    own = own_arguments(sys.argv[1:] if args is None else args)
    try:
        return run_command(get_command(app).main, own, "windhover")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _ROS:
            raise
        return print_error(
            f"this command needs ROS 2 and {error.name} is not installed; run 'make setup', "
            "or source a Jazzy workspace ('windhover doctor' says what is missing)"
        )


_ROS = {"rclpy", "sensor_msgs", "std_msgs", "vision_msgs", "diagnostic_msgs", "builtin_interfaces"}
