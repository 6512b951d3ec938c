"""The ``windhover`` command.

A user's mistake is one line on stderr and exit status 2, never a traceback. Commands
import what they need when they run: evaluating, tracking and ``doctor`` work without ROS.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Annotated

import typer
from typer.main import get_command

from windhover.command_line import print_error, run_command
from windhover_bringup.cli import (
    bag,
    benchmark,
    bundle,
    calibrate,
    demo,
    doctor,
    evaluate,
    health,
    predict,
    profile,
    replay,
    track,
    up,
    wait_active,
)
from windhover_bringup.cli.deprecated import replace_deprecated, run_moved
from windhover_ros.arguments import own_arguments

# Width of help where there is no terminal, so that a pipe or a page gets whole sentences.
WIDTH = 160

app = typer.Typer(
    name="windhover",
    help="Drone perception on ROS 2: frames in, detections and tracks out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("predict")(predict.predict)
app.command("demo")(demo.demo)
app.command("up")(up.up)
app.command("replay")(replay.replay)
app.command("track")(track.track)
app.add_typer(evaluate.app, name="evaluate")
app.command("benchmark")(benchmark.benchmark)
app.command("profile")(profile.profile)
app.add_typer(calibrate.app, name="calibrate")
app.add_typer(bag.app, name="bag")
app.add_typer(bundle.app, name="bundle")
app.command("health")(health.health)
app.command("wait-active")(wait_active.wait_active)
app.command("doctor")(doctor.doctor)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"windhover {version('windhover_bringup')}")
        raise typer.Exit


@app.callback()
def _windhover(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=_print_version
        ),
    ] = False,
) -> None:
    """Drone perception on ROS 2: frames in, detections and tracks out."""


def main(args: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        args: without the program's name; ``None`` takes those of the process.

    Returns:
        0, 2 after an error that the user has to correct, or 3 after one that a new start
        may mend.
    """
    # ROS arguments reach rclpy, which reads the process's own.
    own = replace_deprecated(own_arguments(sys.argv[1:] if args is None else args))
    status = run_moved(own)
    if status is not None:
        return status
    width = None if sys.stdout.isatty() else WIDTH
    command = partial(get_command(app).main, terminal_width=width, max_content_width=WIDTH)
    try:
        return run_command(command, own, "windhover")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _ROS:
            raise
        return print_error(
            f"this command needs ROS 2 and {error.name} is not installed; run 'make setup', "
            "or source a Jazzy workspace ('windhover doctor' says what is missing)"
        )


_ROS = {"rclpy", "sensor_msgs", "std_msgs", "vision_msgs", "diagnostic_msgs", "builtin_interfaces"}
