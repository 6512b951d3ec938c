"""``windhover doctor``: what is installed, what works, what to install next."""

from __future__ import annotations

import json as json_text
from typing import Annotated

import typer

from windhover_bringup.checkup import examine
from windhover_bringup.finding import Finding

_MARKS = {True: "ok     ", False: "missing", None: "-      "}


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what is installed, which backends run and what to install next."""
    findings = examine()
    if json:
        typer.echo(json_text.dumps([finding.as_dict() for finding in findings], indent=2))
        return
    for finding in findings:
        typer.echo(f"{_MARKS[finding.ok]}  {finding.name:<18} {finding.detail}")
    steps = [finding for finding in findings if finding.advice]
    if steps:
        typer.echo("\nnext:")
        for finding in steps:
            typer.echo(f"  {_lead(finding)}{finding.advice}")


def _lead(finding: Finding) -> str:
    return f"{finding.name}: "
