"""Markdown tables: the one writer of all that reports, benches and training write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tabulate import tabulate

_SIDES = {"l": "left", "r": "right", "c": "center"}


def markdown_table(
    heading: Sequence[str], rows: Iterable[Sequence[object]], align: str | None = None
) -> str:
    """A table in GitHub's Markdown, with a newline at its end.

    Args:
        heading: of each column.
        rows: the cells of each; they are written with ``str`` and vertical bars in them are
            escaped.
        align: ``l``, ``r`` or ``c`` for each column; default the first to the left, the
            others to the right.

    Raises:
        ValueError: a row or ``align`` has not one entry for each column.
    """
    columns = len(heading)
    sides = align if align is not None else "l" + "r" * (columns - 1)
    cells = [[_cell(value) for value in row] for row in rows]
    if len(sides) != columns or any(len(row) != columns for row in cells):
        raise ValueError(f"a table of {columns} columns needs as many cells in every row")
    colalign = [_SIDES[side] for side in sides]
    # tabulate takes the alignments of a table without rows from nowhere.
    body = cells or [[""] * columns]
    text = tabulate(
        body,
        [_cell(name) for name in heading],
        tablefmt="pipe",
        colalign=colalign,
        disable_numparse=True,
    )
    lines = text.split("\n")
    return "\n".join(lines if cells else lines[:2]) + "\n"


def _cell(value: object) -> str:
    return " ".join(str(value).replace("|", "\\|").split())
