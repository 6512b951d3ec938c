"""Where commands put what they make by default."""

from __future__ import annotations

from pathlib import Path

WORKSPACE = Path("training/workspace")
