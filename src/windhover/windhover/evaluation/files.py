"""Writing result files whole or not at all."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from windhover.errors import DataError


def write_atomic(path: Path, data: bytes | str) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part.

    Raises:
        DataError: the folder can't be made or written to.
    """
    payload = data.encode("utf-8") if isinstance(data, str) else data
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            part.write_bytes(payload)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"{path}: can't be written ({error.strerror}); free some space or choose another folder"
        ) from error


def plain(value: Any, digits: int = 6) -> Any:
    """Turn NumPy values and NaN into what JSON can hold.

    A score that does not exist (NaN: nothing to score) becomes ``None``, so
    that no reader takes a marker such as -1 for a score.
    """
    if isinstance(value, dict):
        return {str(key): plain(item, digits) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, digits) for item in value]
    if isinstance(value, np.ndarray):
        return [plain(item, digits) for item in value.tolist()]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return round(value, digits) if math.isfinite(value) else None
    return value


def write_json(path: Path, value: Any, *, indent: int | None = 2, digits: int = 6) -> None:
    """Write ``value`` as strict JSON, atomically; see :func:`plain` for NaN.

    Raises:
        DataError: the file can't be written.
    """
    write_atomic(path, json.dumps(plain(value, digits), indent=indent, allow_nan=False) + "\n")
