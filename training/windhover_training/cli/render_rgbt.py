"""``windhover-train data render-rgbt``: render registered RGB + thermal scenes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from windhover.errors import ConfigError

from .paths import WORKSPACE


def render_rgbt(
    out: Annotated[Path, typer.Option(help="data set to write or resume")] = WORKSPACE / "rgbt",
    count: Annotated[int, typer.Option(min=1, help="scenes to train on")] = 400,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="processes")] = 1,
    only: Annotated[str | None, typer.Option(help="one split, such as armed")] = None,
) -> None:
    """Render registered RGB + thermal scenes; resumes an interrupted set."""
    from windhover_training.data.render.rgbt_scenes import parts, render_part

    every = parts(count)
    chosen = [part for part in every if only in (None, part.name)]
    if not chosen:
        names = ", ".join(part.name for part in every)
        raise ConfigError(f"--only {only!r} must be one of {names}")
    for part in chosen:
        with typer.progressbar(length=len(part.seeds), label=part.name) as bar:
            images = render_part(out, part, jobs, lambda: bar.update(1))
        typer.echo(f"{part.name}: {images} images")
