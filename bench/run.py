"""Run all benchmarks of this repository's own code and print one table.

    python -m bench.run [--out out/bench] [--only decode,tracker] [--threads 1]

Each benchmark runs in its own process, so that none is affected by another's threads
or caches. Those that compare with Ultralytics run in the training environment where
that is set up (make train-env), with both sides in the same process.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence

from bench.row import Row
from bench.table import ROOT, ResultTable, add_out, machine, save

TRAIN_PYTHON = ROOT / ".venv-train" / "bin" / "python"
TIME_LIMIT_S = 600
COLUMNS = ("part", "case", "compared with", "median ms", "p99 ms", "its ms", "ratio", "target", "")

# Name of the module bench.bench_<name>, and whether it compares with Ultralytics.
BENCHES = {
    "preprocess": True,
    "full_frame": False,
    "tone": False,
    "registration": False,
    "decode": True,
    "tracker": True,
    "pipeline": False,
}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One benchmark's rows, or why there are none."""

    name: str
    rows: list[Row]
    skipped: str = ""


def run_one(name: str, threads: int) -> Outcome:
    """Run a benchmark in its own process, in the training environment where it has a peer there."""
    with_peer = BENCHES[name] and TRAIN_PYTHON.exists()
    threads_text = str(threads)
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": threads_text,
        "OPENBLAS_NUM_THREADS": threads_text,
        "MKL_NUM_THREADS": threads_text,
    }
    if with_peer:
        # The ROS wheels' library path is for the interpreter that set it.
        environment.pop("LD_LIBRARY_PATH", None)
    python = str(TRAIN_PYTHON) if with_peer else sys.executable
    command = [python, "-m", "bench.run", "--one", name]
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIME_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Outcome(name, [], f"took longer than {TIME_LIMIT_S} s")
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        return Outcome(name, [], lines[-1] if lines else f"exit code {done.returncode}")
    # Libraries may print too; the rows are the last line.
    return Outcome(name, [Row(**row) for row in json.loads(done.stdout.splitlines()[-1])])


def print_rows(name: str) -> None:
    """In the process of one benchmark: measure, and print its rows as one line of JSON."""
    rows = importlib.import_module(f"bench.bench_{name}").measure()
    print(json.dumps([dataclasses.asdict(row) for row in rows]))


def as_table(outcomes: Sequence[Outcome], threads: int) -> ResultTable:
    """All rows; a benchmark that failed is a note."""
    rows = [_cells(row) for outcome in outcomes for row in outcome.rows]
    notes = {f"{row.part}: {row.note}" for o in outcomes for row in o.rows if row.note}
    notes |= {f"{o.name} not measured: {o.skipped}" for o in outcomes if o.skipped}
    notes.add(f"{threads} thread(s) a side; host times, not the drone's")
    return ResultTable("Speed of each stage", "ms a frame", COLUMNS, rows, sorted(notes))


def show(table: ResultTable) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(title=f"{table.title}, {table.unit}", title_justify="left")
    for column in table.columns[:3]:
        shown.add_column(column, overflow="fold")
    for column in table.columns[3:]:
        shown.add_column(column, justify="right", no_wrap=True)
    for row in table.rows:
        shown.add_row(*row)
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(shown)
    for note in (*table.notes, machine()):
        console.print(f"  {note}")


def _cells(row: Row) -> list[str]:
    target = ""
    if row.min_ratio is not None:
        target = f">= {row.min_ratio:g}x"
    elif row.max_ms is not None:
        target = f"< {row.max_ms:g} ms"
    return [
        row.part,
        row.case,
        row.peer or "",
        f"{row.median_ms:.3f}",
        f"{row.p99_ms:.3f}",
        "" if row.peer_median_ms is None else f"{row.peer_median_ms:.3f}",
        "" if row.ratio is None else f"{row.ratio:.1f}x",
        target,
        {True: "met", False: "MISSED", None: ""}[row.met],
    ]


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_out(parser)
    parser.add_argument("--only", default=",".join(BENCHES), help="comma-separated names")
    parser.add_argument("--threads", type=int, default=1, help="of each side")
    parser.add_argument("--one", choices=BENCHES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        print_rows(arguments.one)
        return 0
    names = arguments.only.split(",")
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHES)}")
    from rich.progress import track

    outcomes = [run_one(name, arguments.threads) for name in track(names, "measuring")]
    table = as_table(outcomes, arguments.threads)
    show(table)
    save({"speed": table}, arguments.out, "bench.run")
    return 0


if __name__ == "__main__":
    sys.exit(main())
