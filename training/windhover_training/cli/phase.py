"""One command for each phase of the registry, all with the same options."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from windhover.errors import ConfigError, WindhoverError

from ..config import Strict, load_config
from ..phases.registry import PHASES
from .launch import Launch, run_launched, say_last
from .paths import WORKSPACE

if TYPE_CHECKING:
    from ..phases.base import Phase

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
_SEVERAL = "Several processes (torchrun)"
Processes = Annotated[
    str | None,
    typer.Option(
        "--nproc-per-node",
        help="processes on this machine that train together: a number, or gpu for one a GPU",
        rich_help_panel=_SEVERAL,
    ),
]
Nodes = Annotated[str | None, typer.Option("--nnodes", help="machines", rich_help_panel=_SEVERAL)]
NodeRank = Annotated[
    int | None,
    typer.Option("--node-rank", help="number of this machine", rich_help_panel=_SEVERAL),
]
MasterAddress = Annotated[
    str | None,
    typer.Option("--master-addr", help="address of machine 0", rich_help_panel=_SEVERAL),
]
MasterPort = Annotated[
    int | None, typer.Option("--master-port", help="port there", rich_help_panel=_SEVERAL)
]
Backend = Annotated[
    str | None,
    typer.Option("--rdzv-backend", help="rendezvous: static, c10d", rich_help_panel=_SEVERAL),
]
Endpoint = Annotated[
    str | None, typer.Option("--rdzv-endpoint", help="HOST:PORT of it", rich_help_panel=_SEVERAL)
]
RunId = Annotated[
    str | None,
    typer.Option("--rdzv-id", help="name that its machines share", rich_help_panel=_SEVERAL),
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
        nproc_per_node: Processes = None,
        nnodes: Nodes = None,
        node_rank: NodeRank = None,
        master_addr: MasterAddress = None,
        master_port: MasterPort = None,
        rdzv_backend: Backend = None,
        rdzv_endpoint: Endpoint = None,
        rdzv_id: RunId = None,
    ) -> None:
        pairs = list(set_ or [])
        pairs += [f"batch={batch}"] if batch is not None else []
        pairs += [f"device={device}"] if device is not None else []
        if nproc_per_node is None:
            if nnodes is not None:
                raise ConfigError("--nnodes needs --nproc-per-node, the processes on each machine")
            run_phase(name, config, run, force=force, settings=settings_of(pairs))
            return
        check_phase(name, config, settings_of(pairs))
        words = [*entry.command.split(), f"--config={config}", *(f"--set={pair}" for pair in pairs)]
        words += [f"--run={run}"] if run is not None else []
        words += ["--force"] if force else []
        launch = Launch(
            nproc_per_node, nnodes, node_rank, master_addr, master_port,
            rdzv_backend, rdzv_endpoint, rdzv_id,
        )  # fmt: skip
        run_launched(launch, words)

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
    """Load a phase's config and run it; returns whether it is finished.

    Where torchrun has started several processes the first runs it and the others help.
    """
    from ..engine.processes import help_leader, together
    from ..phases.base import execute

    try:
        phase, loaded = load(name, config, settings)
        folder = folder or WORKSPACE / "runs" / getattr(loaded, "name", name)
        with together() as here:
            if here.rank > 0:
                help_leader()
                return True
            finished = execute(phase, loaded, folder, force=force)
    except WindhoverError as error:
        say_last(error)
        raise
    typer.echo(
        f"{phase.command}: finished, see {folder}"
        if finished
        else f"{phase.command}: stopped; run the same command to go on"
    )
    return finished


def load(name: str, config: Path, settings: dict[str, Any] | None) -> tuple[Phase[Any], Strict]:
    """A phase and its config."""
    from ..phases.registry import load_phase

    phase = load_phase(name)
    loaded: Strict = load_config(config, phase.config, settings)
    return phase, loaded


def check_phase(name: str, config: Path, settings: dict[str, Any]) -> None:
    """Check a phase's config and its inputs before any process is started for it.

    Raises:
        ConfigError: the config is wrong.
        DataError: an input is missing.
    """
    from ..phases.base import check_inputs

    check_inputs(*load(name, config, settings))


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
