"""What an inference backend is.

Adding one is a module with a class that fits :class:`Backend` and a line in
``windhover.inference.BACKENDS``. Everything before it (letterbox) and after it
(decode, NMS) is shared, so a backend only runs the graph.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from windhover.errors import BackendError


@runtime_checkable
class Backend(Protocol):
    """Runs one bundle's graph on one kind of hardware."""

    @property
    def name(self) -> str:
        """``cpu``, ``qnn`` or ``dlc``."""
        ...

    @property
    def device(self) -> str:
        """The hardware or emulator it runs on, in words, for diagnostics."""
        ...

    def run(self, image: NDArray[np.uint8]) -> Sequence[NDArray[np.generic]]:
        """Run the graph once.

        Args:
            image: ``(1, H, W, C)`` uint8, letterboxed to the bundle's input.

        Returns:
            The raw head outputs in the order of the bundle's ``outputs``, each
            ``(1, h, w, channels)``; uint8 where the bundle gives that output a
            quantisation, float32 otherwise. They may be overwritten by the
            next call, and are not to be looked at after :meth:`close`.

        Raises:
            BackendError: the run failed; the backend may be opened again.
        """
        ...

    def close(self) -> None:
        """Release the hardware; calling it twice is fine."""
        ...


def check_input(
    image: NDArray[np.generic], shape: tuple[int, ...], model: str | os.PathLike[str]
) -> None:
    """Refuse an image that is not what a graph takes.

    Args:
        image: to be run.
        shape: of the graph's uint8 input.
        model: the graph's file, for the message.

    Raises:
        BackendError: the shape or the dtype differs.
    """
    if image.shape != shape or image.dtype != np.uint8:
        raise BackendError(f"{model} takes uint8 {shape}, not {image.dtype} {image.shape}")
