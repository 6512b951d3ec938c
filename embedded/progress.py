"""A progress bar of one line; without a terminal, one line at the end.

Set-up runs before rich is installed, so it does not use :mod:`windhover.progress`.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable

Progress = Callable[[int, int], None]

_WIDTH = 30


def bar(label: str) -> Progress:
    """A function that draws ``label`` with the steps done and the total."""

    def show(done: int, total: int) -> None:
        if not sys.stdout.isatty():
            if done == total:
                print(f"  {label}: {total} of {total}", flush=True)
            return
        filled = _WIDTH * done // max(total, 1)
        line = f"  {label} [{'#' * filled:<{_WIDTH}}] {done}/{total}"
        end = "\n" if done == total else ""
        print(f"\r{line[: shutil.get_terminal_size().columns - 1]}", end=end, flush=True)

    return show
