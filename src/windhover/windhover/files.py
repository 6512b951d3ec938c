"""Writing files completely or not at all."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from windhover.errors import DataError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Write a file under a temporary name that becomes ``path`` when the block ends.

    Neither a reader nor a power cut sees a part of the file: its data reaches the disk
    (fsync) before it takes its name. If the block raises, ``path`` is left as it was. Two
    processes may write one path at once; the last to finish wins.

    Args:
        path: the file; its folder is made if need be.

    Yields:
        The temporary path in the same folder, with the same suffix.

    Raises:
        OSError: the folder can't be made or written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield part
        _sync(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    _sync(path.parent)


def _sync(path: Path) -> None:
    """Make what was written to a file or folder reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes_atomic(path: Path, data: bytes) -> None:
    """Write a file completely or not at all; see :func:`atomic_path`.

    Raises:
        OSError: the folder can't be made or written to.
    """
    with atomic_path(path) as part:
        part.write_bytes(data)


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a result file; see :func:`write_bytes_atomic`.

    Raises:
        DataError: the folder can't be made or written to.
    """
    try:
        write_bytes_atomic(path, data.encode("utf-8") if isinstance(data, str) else data)
    except OSError as error:
        raise DataError(
            f"{path}: can't be written ({error.strerror}); free some space or choose another folder"
        ) from error


def to_json_value(value: Any, digits: int = 6) -> Any:
    """Turn NumPy values and NaN into what JSON can hold.

    A score that does not exist (NaN: nothing to score) becomes ``None``, so
    that no reader takes a marker such as -1 for a score.
    """
    if isinstance(value, dict):
        return {str(key): to_json_value(item, digits) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json_value(item, digits) for item in value]
    if isinstance(value, np.ndarray):
        return [to_json_value(item, digits) for item in value.tolist()]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, digits) if math.isfinite(value) else None
    return value


def write_json(path: Path, value: Any, *, indent: int | None = 2, digits: int = 6) -> None:
    """Write ``value`` as strict JSON, atomically; see :func:`to_json_value` for NaN.

    Raises:
        DataError: the file can't be written.
    """
    write_atomic(
        path, json.dumps(to_json_value(value, digits), indent=indent, allow_nan=False) + "\n"
    )
