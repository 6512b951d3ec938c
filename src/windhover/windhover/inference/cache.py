"""Where compiled graphs are cached between runs.

``$WINDHOVER_CACHE``, else ``$XDG_CACHE_HOME/windhover``, else
``~/.cache/windhover``. Anything in it may be deleted at any time.
"""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """Folder of compiled graphs; it may not exist yet."""
    own = os.environ.get("WINDHOVER_CACHE")
    if own:
        return Path(own) / "graphs"
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "windhover" / "graphs"
