"""Doing the same to many things in threads, with the results in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Progress = Callable[[int, int], None]
T = TypeVar("T")
R = TypeVar("R")

_BATCH = 1024  # so that a set of some 100,000 frames is not queued at once


def in_threads(
    work: Callable[[T], R], items: Sequence[T], workers: int, progress: Progress | None = None
) -> Iterator[R]:
    """Yield ``work(item)`` of each item, in the items' order.

    Args:
        work: called in a thread; OpenCV and files let other threads run meanwhile.
        items: what to work on.
        workers: threads.
        progress: called with items done and items in all.
    """
    done = 0
    with ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(items), _BATCH):
            for result in pool.map(work, items[start : start + _BATCH]):
                done += 1
                yield result
                if progress is not None:
                    progress(done, len(items))
