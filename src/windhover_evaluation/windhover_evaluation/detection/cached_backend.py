"""Outputs of a slow backend, kept so that a run that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from windhover.files import write_atomic
from windhover.inference.base import Backend


class CachedBackend:
    """A backend that runs each image once and reads its outputs from a folder after that.

    Args:
        inner: what runs; closed with this one.
        folder: for what it gives, a file an image. Only for one graph and one kind of
            hardware: nothing else is asked before a file is taken.
    """

    def __init__(self, inner: Backend, folder: Path) -> None:
        self.name, self.device = inner.name, inner.device
        self._inner = inner
        self._folder = folder

    def run(self, image: NDArray[np.uint8]) -> Sequence[NDArray[np.generic]]:
        """See :meth:`windhover.inference.base.Backend.run`.

        Raises:
            DataError: the outputs can't be written.
        """
        path = self._folder / f"{hashlib.sha256(image.tobytes()).hexdigest()[:32]}.npz"
        if path.is_file():
            with np.load(path, allow_pickle=False) as file:
                return [file[f"arr_{i}"] for i in range(len(file.files))]
        outputs = self._inner.run(image)
        stream = io.BytesIO()
        np.savez_compressed(stream, *outputs)
        write_atomic(path, stream.getvalue())
        return outputs

    def close(self) -> None:
        """Close what runs; what was kept stays."""
        self._inner.close()
