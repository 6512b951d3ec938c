"""Options of the commands that work in several processes or on a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated, Protocol, TypeVar

import typer

from windhover.errors import ConfigError
from windhover_evaluation.fan_out import Progress, Workers, open_workers

from ..progress import progress_bar

PROCESSES = os.cpu_count() or 1


class Split(Protocol):
    """A split of a set that is rendered."""

    @property
    def name(self) -> str:
        """What it is called on the command line."""


P = TypeVar("P", bound=Split)

Count = Annotated[int, typer.Option("--workers", min=1, max=1024, help="processes on this machine")]
Cluster = Annotated[
    str | None,
    typer.Option(help="your own Dask cluster does it, such as tcp://10.0.0.5:8786"),
]


def workers_for(
    count: int, cluster: str | None, out: Path, *inputs: Path
) -> AbstractContextManager[Workers]:
    """Workers that run the workspace's code, for a block.

    Args:
        count: processes on this machine.
        cluster: address of a Dask scheduler.
        out: folder that they write into.
        *inputs: what they read.

    Raises:
        ConfigError: as :func:`~windhover_evaluation.fan_out.open_workers`.
    """
    return open_workers(count, cluster, inputs=inputs, out=out, packages=["windhover_training"])


def render_splits(
    every: Sequence[P],
    only: str | None,
    render: Callable[[Path, P, Workers, Progress], int],
    out: Path,
    workers: int,
    cluster: str | None,
    unit: str,
) -> None:
    """Render the splits of a set, or one of them, and print how much each has.

    Args:
        every: all splits.
        only: name of one; all without it.
        render: renders a split.
        out: the set.
        workers: processes on this machine.
        cluster: address of a Dask scheduler.
        unit: what is counted.

    Raises:
        ConfigError: no split is called so.
    """
    chosen = [part for part in every if only in (None, part.name)]
    if not chosen:
        names = ", ".join(part.name for part in every)
        raise ConfigError(f"--only {only!r} must be one of {names}")
    out = out.absolute()
    with workers_for(workers, cluster, out) as several:
        for part in chosen:
            with progress_bar(part.name) as progress:
                count = render(out, part, several, progress)
            typer.echo(f"{part.name}: {count} {unit}")
