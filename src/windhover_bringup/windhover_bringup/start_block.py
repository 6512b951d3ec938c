"""The lines that a command prints at its start: what runs, on what, and what to open next."""

from __future__ import annotations

from collections.abc import Mapping


def start_block(rows: Mapping[str, str]) -> str:
    """A line for each row, the texts below each other.

    Args:
        rows: name to text, in order.
    """
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}} {text}" for name, text in rows.items())
