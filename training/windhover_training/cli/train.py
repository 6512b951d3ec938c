"""``windhover-train train``: run or resume a training phase."""

from __future__ import annotations

import typer

from ..phases.registry import PHASES
from .phase import add_phase

app = typer.Typer(no_args_is_help=True, help="Run or resume a training phase.")

for _name, _entry in PHASES.items():
    if _entry.command.startswith("train "):
        add_phase(app, _name)
