"""``windhover-train data render-rgbt``: render registered RGB + thermal scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .fan_out import PROCESSES, Cluster, Count, render_splits
from .paths import WORKSPACE


def render_rgbt(
    out: Annotated[Path, typer.Option(help="data set to write or resume")] = WORKSPACE / "rgbt",
    count: Annotated[int, typer.Option(min=1, help="scenes to train on")] = 400,
    workers: Count = PROCESSES,
    cluster: Cluster = None,
    only: Annotated[str | None, typer.Option(help="one split, such as armed")] = None,
    jobs: Annotated[int | None, typer.Option(hidden=True, min=1, max=64)] = None,
) -> None:
    """Render registered RGB + thermal scenes; resumes an interrupted set."""
    from windhover_training.data.render.rgbt_scenes import parts, render_part

    if jobs is not None:
        typer.echo("note: --jobs is --workers now and will go", err=True)
        workers = jobs
    render_splits(parts(count), only, render_part, out, workers, cluster, "images")
