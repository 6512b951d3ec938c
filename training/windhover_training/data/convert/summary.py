"""What a command kept, changed, merged and dropped, and why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from rich.table import Table

from windhover_training.console import table_console

Fate = Literal["kept", "merged", "changed", "dropped", "missing"]

_ORDER: tuple[Fate, ...] = ("kept", "merged", "changed", "dropped", "missing")
_LISTED = 20  # names of the first so many are kept; the count tells of the rest


@dataclass
class Summary:
    """Counts by what happened and why, with the names of the first few of each.

    Attributes:
        counts: (what happened, to what and why) -> how often.
        items: the same key -> the first names, for whatever is not simply kept.
    """

    counts: Counter[tuple[Fate, str]] = field(default_factory=Counter)
    items: dict[tuple[Fate, str], list[str]] = field(default_factory=dict)

    def add(self, fate: Fate, what: str, item: str = "", n: int = 1) -> None:
        """Count ``n`` more.

        Args:
            fate: what happened: ``kept``, ``merged`` into another, ``changed``,
                ``dropped``, or ``missing`` (kept, but something of it is not known).
            what: to what and why, such as ``box: not finite``.
            item: name of the frame or file, listed in the report.
            n: how many.
        """
        if not n:
            return
        key = (fate, what)
        self.counts[key] += n
        listed = self.items.setdefault(key, [])
        if item and fate != "kept" and len(listed) < _LISTED and item not in listed:
            listed.append(item)

    def update(self, other: Summary) -> None:
        """Add another summary's counts and names, in its order."""
        for key, n in other.counts.items():
            self.counts[key] += n
            listed = self.items.setdefault(key, [])
            listed += [i for i in other.items.get(key, []) if i not in listed]
            del listed[_LISTED:]

    def count(self, fate: Fate, start: str = "") -> int:
        """How many of one fate whose reason begins with ``start``."""
        return sum(
            n for (f, what), n in self.counts.items() if f == fate and what.startswith(start)
        )

    def rows(self) -> list[tuple[Fate, str, int, list[str]]]:
        """(what happened, to what and why, how often, first names), in a fixed order."""
        keys = sorted(self.counts, key=lambda key: (_ORDER.index(key[0]), key[1]))
        return [(f, what, self.counts[f, what], self.items.get((f, what), [])) for f, what in keys]

    def worst(self) -> str:
        """The commonest reason for dropping something, for an error of one line."""
        dropped = [(n, what) for (fate, what), n in self.counts.items() if fate == "dropped"]
        if not dropped:
            return "nothing was found"
        n, what = max(dropped)
        return f"{n} x {what}"

    def as_dict(self) -> dict[str, Any]:
        """For YAML and JSON."""
        report: dict[str, Any] = {}
        for fate, what, n, items in self.rows():
            row: dict[str, Any] = {"count": n}
            if items:
                row["first"] = items
            report.setdefault(fate, {})[what] = row
        return report

    def show(self, title: str) -> None:
        """Print a table."""
        table = Table(
            "", "what and why", "count", "first of them", title=title, title_justify="left"
        )
        table.columns[2].justify = "right"
        last = ""
        for fate, what, n, items in self.rows():
            more = ", ..." if n > 2 and len(items) > 2 else ""
            table.add_row(fate if fate != last else "", what, str(n), ", ".join(items[:2]) + more)
            last = fate
        table_console().print(table)
