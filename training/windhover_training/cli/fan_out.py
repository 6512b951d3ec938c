"""Options of the commands that work in several processes or on a cluster."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Annotated

import typer

from windhover_evaluation.fan_out import Workers, open_workers

PROCESSES = os.cpu_count() or 1

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
