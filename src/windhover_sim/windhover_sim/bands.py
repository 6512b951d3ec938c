"""Parts of a picture that fit a processor's cache: a 4K frame of floats is 100 MB."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from numpy.typing import NDArray

_ROWS: Final = 32
_SIDE: Final = 128


def row_bands(height: int) -> Iterator[slice]:
    """Slices of rows that cover a picture of ``height`` rows, from the top."""
    for top in range(0, height, _ROWS):
        yield slice(top, min(top + _ROWS, height))


def lit_tiles(mask: NDArray[Any]) -> Iterator[tuple[slice, slice]]:
    """Tiles of rows and columns of ``(H, W)`` in which something is not 0."""
    height, width = mask.shape
    for top in range(0, height, _SIDE):
        rows = slice(top, top + _SIDE)
        if not mask[rows].any():
            continue
        for left in range(0, width, _SIDE):
            columns = slice(left, left + _SIDE)
            if mask[rows, columns].any():
                yield rows, columns
