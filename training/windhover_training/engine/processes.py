"""Single-threaded processes that train one model together.

Two threads inside one process meet at every operator, and on a machine that other work
shares they spend more time spinning for each other than computing: 0.19 against 0.055 CPU
seconds an image was measured for YOLO11n at 320 on two busy cores.
"""

from __future__ import annotations

import datetime as dt
import random
import tempfile
from collections.abc import Callable
from typing import TypeVar

import cv2
import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

T = TypeVar("T")

# A peer may be stopped for as long as someone needs the machine for something else.
_PATIENCE = dt.timedelta(hours=24)


def run_distributed(work: Callable[[int], T], processes: int, seed: int) -> T:
    """Do the same work in several processes whose gradients meet once a step.

    Args:
        work: rank -> result; it must be picklable where there is more than one process.
        processes: how many, this one included.
        seed: of every random generator that a library may draw from.

    Returns:
        What rank 0 gives, which is this process, so that a signal to it pauses or ends the
        whole run. The others end with it.
    """
    if processes == 1:
        return _alone(work, 0, seed)
    with tempfile.TemporaryDirectory() as meeting:
        store = f"file://{meeting}/store"
        peers = [
            mp.get_context("spawn").Process(
                target=_join, args=(work, rank, processes, store, seed), daemon=True
            )
            for rank in range(1, processes)
        ]
        for peer in peers:
            peer.start()
        try:
            _meet(0, processes, store)
            return _alone(work, 0, seed)
        finally:
            # Peers wait for a step that does not come. They end before the connection does,
            # which would be an error to them.
            for peer in peers:
                peer.terminate()
                peer.join()
            if dist.is_initialized():
                dist.destroy_process_group()


def _join(work: Callable[[int], T], rank: int, processes: int, store: str, seed: int) -> None:
    _meet(rank, processes, store)
    _alone(work, rank, seed)


def _meet(rank: int, processes: int, store: str) -> None:
    dist.init_process_group(
        "gloo", init_method=store, rank=rank, world_size=processes, timeout=_PATIENCE
    )


def _alone(work: Callable[[int], T], rank: int, seed: int) -> T:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (what libraries draw from)
    return work(rank)
