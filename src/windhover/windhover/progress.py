"""A progress bar on stderr, so that what a command prints can be piped.

Needs ``rich``, which every package with a command of its own installs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LINE_EVERY_S = 10.0
"""Between two lines where there is no terminal."""


class ProgressBar:
    """One bar, or a line now and then where stderr is no terminal.

    Args:
        title: what is being done.
        total: steps in all, where known.
        bar: draws it; ``None`` without a terminal.
        task: of the bar.
    """

    def __init__(
        self, title: str, total: int | None, bar: Progress | None, task: TaskID | None
    ) -> None:
        self._title = title
        self._total = total
        self._bar = bar
        self._task = task
        self._note = ""
        self._line_at = time.monotonic() + LINE_EVERY_S

    def update(self, done: int, total: int | None = None) -> None:
        """Show how many steps are done, and of how many if that is known only now."""
        self._total = self._total if total is None else total
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=done, total=self._total)
        # A camera has no end: its log would fill with lines that say nothing new.
        elif self._total is not None and time.monotonic() >= self._line_at:
            self._line_at = time.monotonic() + LINE_EVERY_S
            note = f" ({self._note})" if self._note else ""
            sys.stderr.write(f"{self._title}: {done} of {self._total}{note}\n")
            sys.stderr.flush()

    def note(self, text: str) -> None:
        """Show a word on how it goes, after the bar."""
        self._note = text
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, note=text)


@contextmanager
def progress(title: str, total: int | None = None) -> Iterator[ProgressBar]:
    """A progress bar while something long runs; gone afterwards.

    Without a terminal there is a line every :data:`LINE_EVERY_S` seconds instead, where the
    number of steps is known.

    Args:
        title: what is being done.
        total: steps in all, where known.
    """
    if not sys.stderr.isatty():
        yield ProgressBar(title, total, None, None)
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        yield ProgressBar(title, total, bar, bar.add_task(title, total=total, note=""))
