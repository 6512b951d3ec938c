"""``windhover-train``: the training workspace's command line.

A mistake of the person in front of it is one line on stderr and exit status 2, never a
traceback. One module a family of commands; each imports what it needs when it runs, so
that converting data never waits for torch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer
from typer.main import get_command

from windhover.command_line import run_command

from . import chips, data, doctor, export, import_model, profile, run, synth, train
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
data.app.command("render-chips")(chips.render_chips)
data.app.command("cut-chips")(chips.cut_chips)
app.add_typer(data.app, name="data")
app.add_typer(train.app, name="train")
app.add_typer(export.app, name="export")
app.command("import")(import_model.import_command)
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
    given = sys.argv[1:] if args is None else args
    return run_command(get_command(app).main, given, "windhover-train")
