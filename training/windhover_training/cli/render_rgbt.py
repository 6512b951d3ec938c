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
    textures: Annotated[
        Path | None,
        typer.Option(help="pictures for ground, walls and clothes, from data cut-textures"),
    ] = None,
    jobs: Annotated[int | None, typer.Option(hidden=True, min=1, max=64)] = None,
) -> None:
    """Render registered RGB + thermal scenes; resumes an interrupted set."""
    from windhover_training.data.render.rgbt_scenes import parts, render_part

    if jobs is not None:
        typer.echo("note: --jobs is --workers now and will go", err=True)
        workers = jobs
    render_splits(parts(count, textures), only, render_part, out, workers, cluster, "images")


def cut_textures(
    config: Annotated[Path, typer.Option(help="YAML: which patch of which picture")] = Path(
        "training/configs/textures.yaml"
    ),
    sets: Annotated[Path, typer.Option(help="folder of the converted sets")] = WORKSPACE,
    out: Annotated[Path, typer.Option(help="folder to write")] = WORKSPACE / "textures",
    force: Annotated[bool, typer.Option("--force", help="replace an earlier output")] = False,
) -> None:
    """Cut pictures of ground, walls and cloth out of converted sets, for render-rgbt --textures."""
    from windhover_training.data.render.textures import cut_textures, read_patches

    from ..outputs import new_folder

    patches = read_patches(config)
    with new_folder(out, force=force) as part:
        count = cut_textures(patches, sets, part)
    typer.echo(f"wrote {out}: {count} pictures")
