"""Memory: which errors mean that it is short, and how many images fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import psutil
import torch

from windhover.errors import ConfigError

# Beside what is kept for the backward pass: gradients and workspace of the widest layer.
_HEADROOM = 1.4
# What this process may take of what is free: the rest is for images and other programs.
_SHARE = 0.6


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is short, on a GPU or in the machine."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    # The CPU allocator has no error class for it.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


@contextmanager
def told_in_one_line(device: str) -> Iterator[None]:
    """Tell a lack of memory that no smaller portion has mended as a person needs it.

    Raises:
        ConfigError: the block ran out of memory.
    """
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        raise ConfigError(
            f"device {device}: not enough memory, even for one image at a time; use a smaller "
            "imgsz or model, or another device"
        ) from error


def bytes_kept(run: Callable[[], torch.Tensor]) -> int:
    """Bytes that a forward pass keeps for its backward pass, each storage counted once."""
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = run()
    del loss
    return sum(kept.values())


def free_bytes(device: torch.device) -> int:
    """Memory that is free on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def batch_that_fits(
    loss_of: Callable[[int], torch.Tensor], device: torch.device, most: int, processes: int = 1
) -> int:
    """Largest power-of-two share of ``most`` images that one forward pass can hold.

    Args:
        loss_of: number of images -> the loss of that many, with its graph.
        device: where it runs.
        most: images of a whole step.
        processes: that share the memory.

    Returns:
        ``most``, or ``most`` halved as often as it takes, at least 1.
    """
    try:
        one, two = (bytes_kept(partial(loss_of, n)) for n in (1, 2))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return 1
    an_image = max(two - one, 1) * _HEADROOM
    room = _SHARE * free_bytes(device) / processes
    batch = most
    while batch > 1 and batch * an_image > room:
        batch //= 2
    return batch
