"""``windhover bench``: the speed tables, each a script of ``bench/``."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from windhover.errors import ConfigError


def bench(
    folder: Annotated[Path, typer.Option(help="Folder with bench_*.py.")] = Path("bench"),
) -> None:
    """Measure speed and print it as ratios within this run."""
    scripts = sorted(folder.glob("bench_*.py"))
    if not scripts:
        raise ConfigError(f"no bench_*.py in {folder}; run this in a checkout of Windhover")
    for script in scripts:
        typer.echo(f"\n{script.stem.removeprefix('bench_')}")
        spec = importlib.util.spec_from_file_location(script.stem, script)
        if spec is None or spec.loader is None:
            raise ConfigError(f"{script} can't be loaded")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.main()
