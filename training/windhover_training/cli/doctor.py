"""``windhover-train doctor``: whether this machine can train, and what to install."""

from __future__ import annotations

import json as json_text
from pathlib import Path
from typing import Annotated

import typer

from windhover.finding import format_findings

from .paths import WORKSPACE


def doctor(
    workspace: Annotated[Path, typer.Option(help="where data sets and runs will lie")] = WORKSPACE,
    json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Say what works here and what to install; status 1 if training can't run."""
    from ..doctor import can_train, examine

    findings = examine(workspace)
    if json:
        typer.echo(json_text.dumps([each.as_dict() for each in findings], indent=2))
    else:
        typer.echo(format_findings(findings))
    if not can_train(findings):
        raise typer.Exit(1)
