"""``windhover-train data mosaic``: small pictures side by side, to score on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from windhover.errors import ConfigError


def mosaic(
    root: Annotated[Path, typer.Argument(help="converted set of RGB pictures")],
    out: Annotated[Path, typer.Option(help="data set to write")],
    splits: Annotated[str, typer.Option(help="of the set")] = "train,val,test",
    frames: Annotated[int, typer.Option(min=1, help="to make")] = 16,
    least: Annotated[int, typer.Option(min=8, help="least height of a row, pixels")] = 50,
    largest: Annotated[int, typer.Option(min=8, help="largest height, pixels")] = 300,
    seed: Annotated[int, typer.Option(help="which pictures lie where")] = 0,
    force: Annotated[bool, typer.Option("--force", help="replace an earlier set")] = False,
) -> None:
    """Lay pictures from the ground side by side: people as small as from a drone."""
    from windhover_training.data.convert.mosaic import write_mosaics

    from ..outputs import new_folder

    if least > largest:
        raise ConfigError(f"--least {least} is above --largest {largest}")
    names = [name.strip() for name in splits.split(",")]
    with new_folder(out, force=force) as part:
        judged = write_mosaics(root, part, names, frames, (least, largest), seed)
    typer.echo(f"val: {frames} frames, {judged} objects")
    typer.echo(f"wrote {out}")
