"""``windhover-train train``: run a training phase, or go on with it."""

from __future__ import annotations

import typer

from ..phases.registry import PHASES
from .phase import add_phase

app = typer.Typer(no_args_is_help=True, help="Run a training phase, or go on with it.")

for _name, _entry in PHASES.items():
    if _entry.command.startswith("train "):
        add_phase(app, _name)
