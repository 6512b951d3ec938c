"""A cache of a slow backend's outputs, so that an interrupted run resumes."""

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
        inner: the backend that runs; closed with this one.
        folder: of the cache, one file an image. It must be for one graph on one kind of
            hardware alone: files are found by the image's content and nothing else.
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
        """Close the backend; the cache stays."""
        self._inner.close()
