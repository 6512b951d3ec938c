"""Where a process stands among those that train together."""

from __future__ import annotations

import os
from dataclasses import dataclass

from windhover.errors import DataError


@dataclass(frozen=True)
class Place:
    """Where a process stands among those that train together, as torchrun tells it.

    Attributes:
        rank: of all, 0 leads.
        processes: of all.
        local_rank: on this machine.
        local_processes: on this machine.
    """

    rank: int = 0
    processes: int = 1
    local_rank: int = 0
    local_processes: int = 1


def place() -> Place:
    """Where this process stands; alone where torchrun did not start it."""
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    values = [os.environ.get(name) for name in names]
    if any(value is None for value in values):
        return Place()
    return Place(*(int(value) for value in values if value is not None))


class PeerError(DataError):
    """Another process of the same training has ended."""
