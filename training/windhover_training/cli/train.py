"""``windhover-train train``: run a training phase, or go on with it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..config import TrainConfig, load_config
from .paths import WORKSPACE

app = typer.Typer(no_args_is_help=True, help="Run a training phase, or go on with it.")


@app.command("thermal-n")
def train_thermal_n(
    config: Annotated[Path, typer.Option(help="run config, YAML")],
    run: Annotated[Path | None, typer.Option(help="run folder")] = None,
) -> None:
    """Train the thermal detector; a run that was stopped goes on from its checkpoint."""
    from ..phases.detector import run_detector

    settings = load_config(config, TrainConfig)
    final = run_detector(settings, run or WORKSPACE / "runs" / settings.name)
    typer.echo(f"wrote {final}" if final else "stopped; run the same command to go on")
