"""What the commands print: progress bars on stderr, results on stdout."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)


class Bar:
    """One progress bar."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar = bar
        self._task = task

    def update(self, done: int, total: int | None = None) -> None:
        """Show how far it has come."""
        self._bar.update(self._task, completed=done, total=total)

    def note(self, text: str) -> None:
        """Show a word on how it goes, after the bar."""
        self._bar.update(self._task, note=text)


@contextmanager
def progress(title: str, total: int | None = None) -> Iterator[Bar]:
    """A progress bar while something long runs; gone afterwards.

    Args:
        title: what is being done.
        total: steps in all, where known.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    console = Console(stderr=True)
    # A launcher's log is no place for a bar.
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as bar:
        yield Bar(bar, bar.add_task(title, total=total, note=""))
