"""``windhover-train data render-chips`` and ``data cut-chips``: chips for the second look."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..progress import progress_bar
from .fan_out import PROCESSES, Cluster, Count, render_splits, workers_for
from .paths import WORKSPACE


def render_chips(
    out: Annotated[Path, typer.Option(help="data set to write or to resume")] = WORKSPACE / "chips",
    count: Annotated[int, typer.Option(min=1, help="scenes to train on")] = 400,
    only: Annotated[str | None, typer.Option(help="one split, such as test-3840")] = None,
    workers: Count = PROCESSES,
    cluster: Cluster = None,
) -> None:
    """Render chips of people with the boxes of their weapons."""
    from windhover_training.data.render.chips import chip_parts
    from windhover_training.data.render.chips import render_chips as render

    render_splits(chip_parts(count), only, render, out, workers, cluster, "chips")


def cut_chips(
    root: Annotated[Path, typer.Argument(help="folder of cctv_people, weapon_videos, coco_people")],
    out: Annotated[Path, typer.Option(help="data set to write")] = WORKSPACE / "real_chips",
    workers: Count = PROCESSES,
    cluster: Cluster = None,
    force: Annotated[bool, typer.Option("--force", help="replace an earlier output")] = False,
) -> None:
    """Cut chips around people in real pictures."""
    from windhover_training.data.convert.real_chips import cut_chips as cut

    from ..outputs import new_folder

    root = root.absolute()
    with (
        new_folder(out, force=force) as part,
        workers_for(workers, cluster, part, root) as several,
        progress_bar("cutting") as progress,
    ):
        found = cut(root, part, several, progress)
    for split, chips in found.items():
        typer.echo(f"{split}: {chips} chips")
    typer.echo(f"wrote {out}")
