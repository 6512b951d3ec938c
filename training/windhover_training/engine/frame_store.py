"""Training frames in a device's memory, as bytes, while they fit."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from windhover_training.data.augment.samples import Pixels, Sample

from .memory import free_bytes


def upload(array: NDArray[np.generic], device: torch.device) -> torch.Tensor:
    """A copy of an array on a device; see :func:`send`."""
    return send(torch.from_numpy(np.array(array)), device)


def send(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor on a device; to a GPU through pinned memory, without waiting for it."""
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class FrameStore:
    """Keeps frames on a device from their first use on, until they fill their share of it.

    Nothing is kept twice on the CPU. A frame leaves the device with its sample, so
    that a pool of scenes that are made as they are used does not fill it. Several threads may
    ask at once.
    """

    def __init__(
        self,
        device: torch.device,
        share: float,
        free: Callable[[torch.device], int] = free_bytes,
    ) -> None:
        """Prepare an empty store.

        Args:
            device: where the frames are used.
            share: of what is free there at first, that frames may take, 0..1.
            free: bytes that are free on a device.
        """
        self.device = device
        self._share, self._free = share, free
        self._frames: weakref.WeakKeyDictionary[Sample, torch.Tensor] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()
        self._room: int | None = None
        self._used = 0
        # Sizes of frames whose sample is gone. A finaliser may run while the lock is held, so it
        # only appends.
        self._gone: deque[int] = deque()

    def frame(self, sample: Sample) -> torch.Tensor | None:
        """``(H, W, C)`` uint8 on the device; None for one that is to be streamed."""
        if self.device.type == "cpu":
            return None  # it is there already
        with self._lock:
            found = self._frames.get(sample)
            return self._take(sample) if found is None else found

    def send(self, tensor: torch.Tensor) -> torch.Tensor:
        """A tensor on the store's device."""
        return send(tensor, self.device)

    @property
    def used_bytes(self) -> int:
        """What the frames take on the device."""
        with self._lock:
            return self._count()

    def _take(self, sample: Sample) -> torch.Tensor | None:
        if self._room is None:
            self._room = int(self._share * self._free(self.device))
        pixels = sample.pixels
        if self._count() + pixels.nbytes > self._room:
            return None
        frame = self.send(torch.from_numpy(np.array(as_planes_last(pixels))))
        self._frames[sample] = frame
        self._used += frame.nbytes
        weakref.finalize(sample, self._gone.append, frame.nbytes)
        return frame

    def _count(self) -> int:
        while self._gone:
            self._used -= self._gone.popleft()
        return self._used


def as_planes_last(pixels: Pixels) -> Pixels:
    """``(H, W, C)`` of a picture that may have no axis for its one channel."""
    return pixels[..., None] if pixels.ndim == 2 else pixels
