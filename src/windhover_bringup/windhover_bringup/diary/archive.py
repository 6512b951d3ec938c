"""Writes the archive of ``windhover profile``."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from windhover.errors import ConfigError, DataError


def write_archive(parts: Mapping[str, Any], out: Path) -> None:
    """Write a ``.tar.gz``, whole or not at all.

    Args:
        parts: by name: bytes as they are, all else as JSON.
        out: must not exist.

    Raises:
        ConfigError: it exists.
        DataError: it can't be written.
    """
    if out.exists():
        raise ConfigError(f"{out} exists; choose another --out")
    partial = out.with_name(out.name + ".partial")
    folder = out.name.partition(".")[0]
    try:
        with tarfile.open(partial, "w:gz") as archive:
            for name, part in parts.items():
                data = part if isinstance(part, bytes) else json.dumps(part, indent=1).encode()
                entry = tarfile.TarInfo(f"{folder}/{name}")
                entry.size, entry.mtime = len(data), int(time.time())
                archive.addfile(entry, io.BytesIO(data))
        partial.rename(out)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise DataError(f"{out} can't be written: {error.strerror}") from error
