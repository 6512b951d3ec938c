"""``windhover-train data render-rgbt``: render registered RGB + thermal scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from windhover.errors import ConfigError

from ..progress import progress_bar
from .fan_out import PROCESSES, Cluster, Count, workers_for
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
    every = parts(count)
    chosen = [part for part in every if only in (None, part.name)]
    if not chosen:
        names = ", ".join(part.name for part in every)
        raise ConfigError(f"--only {only!r} must be one of {names}")
    out = out.absolute()
    with workers_for(workers, cluster, out) as several:
        for part in chosen:
            with progress_bar(part.name) as progress:
                images = render_part(out, part, several, progress)
            typer.echo(f"{part.name}: {images} images")
