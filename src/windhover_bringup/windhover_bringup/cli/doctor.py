"""``windhover doctor``: what is installed, what works, what to install next."""

from __future__ import annotations

import json as json_text
from typing import Annotated

import typer


def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what is installed, which backends run and what to install next."""
    from windhover.finding import format_findings
    from windhover_bringup.doctor.checkup import run_checks

    findings = run_checks()
    if json:
        typer.echo(json_text.dumps([finding.as_dict() for finding in findings], indent=2))
        return
    typer.echo(format_findings(findings))
