"""``windhover-train``: the training workspace's command line.

A mistake of the person in front of it is one line on stderr and exit status 2, never a
traceback. One module a family of commands; each imports what it needs when it runs, so
that converting data never waits for torch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import typer
from typer.main import get_command

from windhover.errors import WindhoverError

from . import data, doctor, export, profile, run, synth, train
from .phase import add_phase

app = typer.Typer(
    name="windhover-train",
    help="From raw data sets to a model bundle.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data.app.command("synth")(synth.data_synth)
app.add_typer(data.app, name="data")
app.add_typer(train.app, name="train")
app.add_typer(export.app, name="export")
app.command("doctor")(doctor.doctor)
app.command("anchors")(data.anchors)
app.add_typer(run.app, name="run")
add_phase(app, "benchmark")
app.command("verify")(export.verify_bundle)
app.command("profile")(profile.profile_bundle)
app.command("release")(export.release_bundle)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        args: without the program's name; ``None`` takes those of the process.

    Returns:
        0, or 2 after an error that a person has to mend.
    """
    try:
        result = get_command(app).main(
            args=list(sys.argv[1:] if args is None else args),
            prog_name="windhover-train",
            standalone_mode=False,
        )
    except WindhoverError as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone, as `| head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        # Typer's own complaints about arguments, whichever Click it brings.
        message = getattr(error, "format_message", None)
        if message is None:
            raise
        return _complain(message()) if message() else 2
    return result if isinstance(result, int) else 0


def _complain(message: str) -> int:
    line = " ".join(message.split())
    sys.stderr.write(f"error: {line}\n")
    return 2
