"""``windhover-train run all``: every phase in turn."""

from __future__ import annotations

from itertools import takewhile
from pathlib import Path
from typing import Annotated

import typer

from windhover.command_line import INTERRUPTED
from windhover.errors import ConfigError

from ..config import load_config
from ..engine.place import place

app = typer.Typer(no_args_is_help=True, help="Run the phases one after the other.")


@app.callback()
def _group() -> None:
    """Keep ``all`` a subcommand."""


@app.command("all")
def run_all(
    config: Annotated[Path, typer.Option("--config", help="the chain's config, YAML")],
    start: Annotated[
        str | None, typer.Option("--from", help="repeat this step and all after it")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="only check, and list the steps")] = False,
) -> None:
    """Run a chain's steps; the same command resumes it."""
    from ..chain import Chain, ChainConfig
    from . import main

    if place().processes > 1:
        raise ConfigError(
            "run all starts its phases itself: run it without torchrun, and give a step the "
            "command [train, PHASE, --config, FILE, --nproc-per-node, N]"
        )
    chain = Chain(load_config(config, ChainConfig), main)
    if plan:
        for step in chain.config.steps:
            words = takewhile(
                lambda word: "/" not in word and not word.startswith("-"), step.command
            )
            what = step.phase or " ".join(words)
            typer.echo(f"{step.name:16} {what:24} {chain.state(step)}")
        return
    if not chain.run(start, typer.echo):
        raise typer.Exit(INTERRUPTED)
    typer.echo(f"all finished, see {chain.config.folder / 'report.json'}")
