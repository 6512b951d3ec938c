"""``windhover bench``: the speed table of a checkout's ``bench/``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from windhover.errors import ConfigError


def bench(
    folder: Annotated[Path, typer.Option(help="Folder of the benchmarks.")] = Path("bench"),
    only: Annotated[str | None, typer.Option(help="Some of them, such as decode,tracker.")] = None,
) -> None:
    """Measure speed and print it as ratios within this run."""
    script = folder / "run.py"
    if not script.is_file():
        raise ConfigError(f"no {script}; run this in a checkout of Windhover")
    command = [sys.executable, str(script), *(["--only", only] if only else [])]
    raise typer.Exit(subprocess.run(command, check=False).returncode)
