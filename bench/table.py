"""Results of a benchmark as a table: printed, and as JSON with machine and commit.

The JSON is what the documentation's pages are made of (``windhover-table/1``); for a
release it goes to ``bench/results/VERSION/``, with ``--out``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "out" / "bench"
FORMAT = "windhover-table/1"


@dataclass(frozen=True, slots=True)
class ResultTable:
    """One table of results.

    Attributes:
        title: of the table.
        unit: of its figures.
        columns: headings; the first column names the row.
        rows: as many cells each as there are columns.
        notes: what a reader must know to take the figures right.
    """

    title: str
    unit: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = field(default_factory=tuple)

    def markdown(self) -> str:
        """The table as Markdown."""
        # Not at the top: a benchmark's process in the training environment writes no table.
        from windhover_evaluation.report.tables import markdown_table

        return markdown_table(self.columns, self.rows)


def add_out(parser: argparse.ArgumentParser) -> None:
    """Add ``--out``, the folder that results are written into."""
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the results")


def save(tables: Mapping[str, ResultTable], out: Path, module: str) -> None:
    """Write each table as ``NAME.json``.

    Args:
        tables: by name.
        out: folder, made if need be.
        module: whose command line it was, such as ``bench.run``.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        document = {
            "format": FORMAT,
            "title": table.title,
            "release": importlib.metadata.version("windhover"),
            "commit": commit(),
            "machine": machine(),
            "command": shlex.join(["python", "-m", module, *sys.argv[1:]]),
            "unit": table.unit,
            "columns": list(table.columns),
            "rows": [list(row) for row in table.rows],
            "notes": list(table.notes),
        }
        (out / f"{name}.json").write_text(json.dumps(document, indent=1) + "\n")
    print(f"results: {', '.join(str(out / f'{name}.json') for name in tables)}")


def machine() -> str:
    """What the figures depend on."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text().splitlines() if cpuinfo.is_file() else ():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    load = os.getloadavg()[0]
    return f"{platform.machine()}, {processor}, {os.cpu_count()} cores, load {load:.1f}"


def commit() -> str:
    """The checkout's commit, with ``+`` where files differ from it."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    found = git("rev-parse", "--short", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no")
    return f"{found or 'unknown'}{'+' if changed else ''}"
