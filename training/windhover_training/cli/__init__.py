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

from ..phases.registry import FORMER_NAMES
from . import chips, data, doctor, export, import_model, mosaic, profile, render_rgbt, run, train
from .phase import add_phase

app = typer.Typer(
    name="windhover-train",
    help="From raw data sets to a model bundle.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
data.app.command("render-rgbt")(render_rgbt.render_rgbt)
data.app.command("cut-textures")(render_rgbt.cut_textures)
data.app.command("render-chips")(chips.render_chips)
data.app.command("cut-chips")(chips.cut_chips)
data.app.command("mosaic")(mosaic.mosaic)
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


#: Commands of the version before -> what they are called now; they go in the next one.
_FORMER = {
    ("data", "render"): ("data", "render-thermal"),
    ("data", "synth"): ("data", "render-rgbt"),
    **{("train", old): ("train", now) for old, now in FORMER_NAMES.items()},
}


def _present(args: Sequence[str]) -> list[str]:
    """A command line with the name that its command has now, and a warning if that changed it."""
    now = _FORMER.get((args[0], args[1])) if len(args) > 1 else None
    if now is None:
        return list(args)
    former, words = " ".join(args[:2]), " ".join(now)
    sys.stderr.write(
        f"warning: 'windhover-train {former}' is now 'windhover-train {words}'; the former name "
        "goes in the next version\n"
    )
    return [*now, *args[2:]]


def main(args: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        args: without the program's name; ``None`` takes those of the process.

    Returns:
        0, or 2 after an error that a person has to mend.
    """
    given = sys.argv[1:] if args is None else args
    return run_command(get_command(app).main, _present(given), "windhover-train")
