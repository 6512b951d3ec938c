"""``windhover profile``: what a board is and how fast it runs a model, in one archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from windhover_bringup.cli import options


def profile(
    model: options.Model,
    out: Annotated[Path, typer.Option(help="Archive to write.")] = Path("windhover-profile.tar.gz"),
    frames: Annotated[int, typer.Option(help="How many to time.", min=1, max=100_000)] = 100,
    source: Annotated[
        str, typer.Option(help="Frames to use.", show_default="drawn, alike on every machine")
    ] = "",
    pictures: Annotated[
        bool, typer.Option("--pictures", help="Keep the ten frames whose results are kept.")
    ] = False,
) -> None:
    """Collect doctor, backends, latencies, HTP profile, temperatures, versions and ten results.

    It reads only, and the archive holds no picture unless --pictures asks for them.
    """
    from windhover.errors import ConfigError
    from windhover_bringup.diary.archive import write_archive
    from windhover_bringup.diary.collect import DiaryPlan, collect

    if out.exists():
        raise ConfigError(f"{out} exists; choose another --out")
    plan = DiaryPlan(model, frames, source, pictures)
    parts = collect(plan, lambda text: typer.echo(text, err=True))
    write_archive(parts, out)
    typer.echo(f"wrote {out}: {len(parts)} files, {out.stat().st_size / 1024:.0f} KiB; send it")
