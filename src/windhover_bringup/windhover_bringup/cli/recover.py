"""``windhover recover``: a recording that broke off."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def recover(
    bag: Annotated[Path, typer.Argument(help="Folder of a recording without metadata.yaml.")],
) -> None:
    """Save what is whole of a recording that broke off into BAG_recovered."""
    from windhover_bringup.recording.recovery import recover as save

    saved = save(bag)
    typer.echo(f"{saved.messages} messages in {saved.path}")
