"""How frames pass from one stage to the next inside a process.

A live camera must never queue up old frames, so :class:`LatestSlot` holds the newest and
counts those it replaced. A file that is processed as fast as possible must lose no frame, so
:class:`BlockingSlot` makes the faster side wait. Both pass the object itself: a frame's array
is never copied.
"""

from __future__ import annotations

import threading
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Sink(Protocol[T_contra]):
    """The end of a connection that items are given to."""

    @property
    def dropped(self) -> int:
        """How many items were replaced before they were taken."""
        ...

    def put(self, item: T_contra) -> bool:
        """Give an item; False once it is closed."""
        ...

    def close(self) -> None:
        """Say that nothing more comes; an item inside can still be taken."""
        ...


class Link(Sink[T], Protocol[T]):
    """A one-way connection between two threads."""

    def take(self, timeout_s: float | None = None) -> T | None:
        """Wait for an item; ``None`` on time-out, or when closed and empty."""
        ...

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        ...


class LatestSlot(Generic[T]):
    """Holds one item; a newer one replaces it (newest wins)."""

    def __init__(self) -> None:
        self._item: T | None = None
        self._closed = False
        self._dropped = 0
        self._ready = threading.Condition()

    @property
    def dropped(self) -> int:
        """How many items were replaced before they were taken."""
        return self._dropped

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    def put(self, item: T) -> bool:
        """Put the newest item in and never wait."""
        with self._ready:
            if self._closed:
                return False
            if self._item is not None:
                self._dropped += 1
            self._item = item
            self._ready.notify()
            return True

    def take(self, timeout_s: float | None = None) -> T | None:
        """Wait for an item; ``None`` on time-out, or when closed and empty."""
        with self._ready:
            self._ready.wait_for(lambda: self._item is not None or self._closed, timeout_s)
            item, self._item = self._item, None
            return item

    def close(self) -> None:
        """Say that nothing more comes; an item inside can still be taken."""
        with self._ready:
            self._closed = True
            self._ready.notify_all()


class BlockingSlot(Generic[T]):
    """Holds one item and makes the giver wait until it is taken (lossless)."""

    dropped = 0

    def __init__(self) -> None:
        self._item: T | None = None
        self._closed = False
        self._changed = threading.Condition()

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._closed

    def put(self, item: T) -> bool:
        """Wait until there is room, then put the item in."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is None or self._closed)
            if self._closed:
                return False
            self._item = item
            self._changed.notify_all()
            return True

    def take(self, timeout_s: float | None = None) -> T | None:
        """Wait for an item; ``None`` on time-out, or when closed and empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._closed, timeout_s)
            item, self._item = self._item, None
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Say that nothing more comes; an item inside can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def make_link(lossless: bool) -> LatestSlot[T] | BlockingSlot[T]:
    """The link for a mode: lossless waits, live drops the older."""
    return BlockingSlot() if lossless else LatestSlot()
