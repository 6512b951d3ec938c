"""A progress bar on stderr, so that what a command prints can be piped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from windhover.progress import progress


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar while the block runs.

    Args:
        label: what is being done.

    Yields:
        Call it with things done and things in all.
    """
    with progress(label) as bar:
        yield bar.update
