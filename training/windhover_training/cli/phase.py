"""One command for each phase of the registry, all with the same options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from windhover.errors import ConfigError

from ..config import load_config
from ..phases.registry import PHASES
from .paths import WORKSPACE

ConfigFile = Annotated[Path, typer.Option("--config", help="the phase's config, YAML")]
RunFolder = Annotated[
    Path | None, typer.Option("--run", help="run folder [default: runs/NAME in the workspace]")
]
Force = Annotated[bool, typer.Option("--force", help="start again, replacing what is there")]
Setting = Annotated[
    list[str] | None, typer.Option("--set", help="KEY=VALUE in place of the config's, as a.b=1")
]
Batch = Annotated[
    str | None, typer.Option("--batch", help="images a forward pass, or auto: what memory holds")
]
Device = Annotated[
    str | None, typer.Option("--device", help="where to train: auto, cpu, cuda or cuda:N")
]


def add_phase(app: typer.Typer, name: str) -> None:
    """Add the command of a phase to a command group.

    Args:
        app: the group, such as ``train``; or the program itself.
        name: of the phase in the registry.
    """
    entry = PHASES[name]

    def command(
        config: ConfigFile,
        run: RunFolder = None,
        force: Force = False,
        batch: Batch = None,
        device: Device = None,
        set_: Setting = None,
    ) -> None:
        settings = settings_of(set_ or [])
        if batch is not None:
            settings |= settings_of([f"batch={batch}"])
        if device is not None:
            settings["device"] = device
        run_phase(name, config, run, force=force, settings=settings)

    command.__doc__ = f"{entry.help} Resumes a run that was stopped."
    app.command(entry.command.rpartition(" ")[2])(command)


def run_phase(
    name: str,
    config: Path,
    folder: Path | None = None,
    *,
    force: bool = False,
    settings: dict[str, Any] | None = None,
) -> bool:
    """Load a phase's config and run it; returns whether it is finished."""
    from ..phases.base import execute
    from ..phases.registry import load_phase

    phase = load_phase(name)
    loaded = load_config(config, phase.config, settings)
    folder = folder or WORKSPACE / "runs" / getattr(loaded, "name", name)
    finished = execute(phase, loaded, folder, force=force)
    typer.echo(
        f"{phase.command}: finished, see {folder}"
        if finished
        else f"{phase.command}: stopped; run the same command to go on"
    )
    return finished


def settings_of(pairs: list[str]) -> dict[str, Any]:
    """Read ``a.b=1`` options; values are YAML.

    Raises:
        ConfigError: one is not KEY=VALUE.
    """
    settings = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {pair!r} is not KEY=VALUE")
        try:
            settings[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {pair!r}: the value is not YAML") from error
    return settings
