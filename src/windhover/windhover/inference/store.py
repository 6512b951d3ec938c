"""Where compiled graphs are kept between runs.

``$WINDHOVER_CACHE``, else ``$XDG_CACHE_HOME/windhover``, else
``~/.cache/windhover``. Anything in it may be deleted at any time.
"""

from __future__ import annotations

import os
from pathlib import Path


def store_folder() -> Path:
    """Folder of compiled graphs; it may not exist yet."""
    own = os.environ.get("WINDHOVER_CACHE")
    if own:
        return Path(own) / "graphs"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "windhover" / "graphs"


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that a reader, or a power cut, never meets half of it.

    Raises:
        OSError: the folder can't be made or written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
