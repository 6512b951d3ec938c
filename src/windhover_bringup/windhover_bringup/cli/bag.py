"""``windhover bag``: work on recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Work on recordings.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """Work on recordings."""


@app.command("recover")
def recover(
    bag: Annotated[
        Path, typer.Argument(help="Folder of an interrupted recording, or one .mcap file.")
    ],
) -> None:
    """Save all complete messages of an interrupted recording into BAG_recovered."""
    from windhover_bringup.recording.recovery import recover as save

    saved = save(bag)
    for note in saved.notes:
        typer.echo(f"note: {note}", err=True)
    typer.echo(f"{saved.messages} messages in {saved.path}")
