"""Where commands put what they make unless they are told otherwise."""

from __future__ import annotations

from pathlib import Path

WORKSPACE = Path("training/workspace")
