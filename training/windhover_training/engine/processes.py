"""Processes that train one model together: torchrun's, one a GPU or a CPU core.

The leading process (rank 0) runs a phase. The others help: they are given the same work whenever
the leader trains, take their share of each step's images, and meet it once a step. So a phase
writes, validates and mines in one process, however many there are. CPU tensors go by gloo, those
on GPUs by NCCL.

Two threads inside one process meet at every operator, and on a CPU that other work shares they
spend more time spinning for each other than computing: 0.19 against 0.055 CPU seconds an image
was measured for YOLO11n at 320 on two busy cores. So a process has one thread.
"""

from __future__ import annotations

import datetime as dt
import importlib
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
import torch.distributed as dist

from .model import gpu_count
from .place import PeerError, Place, place

T = TypeVar("T")

# A peer may be stopped for as long as someone needs the machine for something else.
_PATIENCE = dt.timedelta(hours=24)


@contextmanager
def together() -> Iterator[Place]:
    """Meet the other processes for as long as the block runs; alone it does nothing.

    Raises:
        PeerError: another one has ended.

    In a process that helps, signals that ask for an end are left to the leader: a helper that
    stopped by itself would leave the others waiting for its gradients.
    """
    here = place()
    if here.processes == 1:
        yield here
        return
    if gpu_count() > here.local_rank:
        torch.cuda.set_device(here.local_rank)
    # The first optimiser imports it. Imported while a group is there, it keeps the group, whose
    # threads then outlive destroy_process_group; one that still held a tensor when the
    # interpreter ended has aborted a finished run ("terminate called without an active exception").
    importlib.import_module("torch._dynamo")
    dist.init_process_group("cpu:gloo,cuda:nccl" if gpu_count() else "gloo", timeout=_PATIENCE)
    before = {}
    if here.rank:
        before = {
            each: signal.signal(each, signal.SIG_IGN) for each in (signal.SIGTERM, signal.SIGINT)
        }
    try:
        yield here
        if here.rank == 0:
            share_object(None)
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        raise PeerError(
            "another process of this training has ended; its own message says why, and the same "
            "command resumes the run"
        ) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        dist.destroy_process_group()


def help_leader() -> None:
    """Do the leader's work with it until its phase is done."""
    while (task := share_object(None)) is not None:
        work, seed = task
        _alone(work, dist.get_rank(), seed)


def run_distributed(work: Callable[[int], T], seed: int) -> T:
    """Do the same work in all processes, which meet once a step.

    Args:
        work: rank -> result; it must be picklable where there is more than one process.
        seed: of every random generator that a library may draw from.

    Returns:
        What rank 0 gives, which is this process, so that a signal to it pauses or ends the
        whole run.
    """
    share_object((work, seed))
    return _alone(work, 0, seed)


def share_object(value: Any) -> Any:
    """The leader's value, in all processes."""
    if not dist.is_initialized():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


def _alone(work: Callable[[int], T], rank: int, seed: int) -> T:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (what libraries draw from)
    return work(rank)
