"""Where tables are printed."""

from __future__ import annotations

from rich.console import Console


def table_console() -> Console:
    """A console for stdout; in a file or a pipe it is wide enough for every table of ours."""
    console = Console()
    return console if console.is_terminal else Console(width=120)
