"""Run all benchmarks and print one table; the figures go to out/bench.json.

    python bench/run.py [--out out/bench.json] [--only decode,tracker] [--threads 1]

Each benchmark runs in a process of its own, so that none sees another's threads
or caches. Those that compare with Ultralytics run in the training environment
where that is set up (make train-env), with both sides in the same process.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Run as a script, only this folder is on the path.
sys.path[:0] = [str(ROOT), str(ROOT / "src" / "windhover")]

from bench.row import Row  # noqa: E402 - needs the path

TRAIN_PYTHON = ROOT / ".venv-train" / "bin" / "python"
TIME_LIMIT_S = 600

# Name of the module bench.bench_<name>, and whether it compares with Ultralytics.
BENCHES = {
    "preprocess": True,
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
    """Run a benchmark in its own process."""
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
    command = [str(TRAIN_PYTHON) if with_peer else sys.executable, __file__, "--one", name]
    try:
        done = subprocess.run(
            command,
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


def machine(threads: int) -> dict[str, Any]:
    """What the figures depend on."""
    packages = ("numpy", "opencv-python-headless", "onnxruntime")
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        **{package: importlib.metadata.version(package) for package in packages},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def show(outcomes: Sequence[Outcome], about: dict[str, Any]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Windhover, one frame", title_justify="left")
    for column in ("part", "case", "compared to"):
        table.add_column(column, overflow="fold")
    for column in ("median ms", "p99 ms", "its ms", "ratio", "asked", ""):
        table.add_column(column, justify="right", no_wrap=True)
    notes: dict[str, None] = {}
    for outcome in outcomes:
        for row in outcome.rows:
            table.add_row(*_cells(row))
            if row.note:
                notes[f"{row.part}: {row.note}"] = None
        if outcome.skipped:
            table.add_row(outcome.name, f"not measured: {outcome.skipped}")
        table.add_section()
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(table)
    for note in notes:
        console.print(f"  {note}")
    console.print(
        f"  {about['processor']}, {about['cores']} cores, {about['threads']} thread(s) a side, "
        f"load {about['load_before']} at the start; host times, not the drone's"
    )


def _cells(row: Row) -> list[str]:
    asked = ""
    if row.least_ratio is not None:
        asked = f">= {row.least_ratio:g}x"
    elif row.most_ms is not None:
        asked = f"< {row.most_ms:g} ms"
    return [
        row.part,
        row.case,
        row.peer or "",
        f"{row.median_ms:.3f}",
        f"{row.p99_ms:.3f}",
        "" if row.peer_median_ms is None else f"{row.peer_median_ms:.3f}",
        "" if row.ratio is None else f"{row.ratio:.1f}x",
        asked,
        {True: "met", False: "MISSED", None: ""}[row.met],
    ]


def save(outcomes: Sequence[Outcome], about: dict[str, Any], path: Path) -> None:
    """Write the figures as JSON."""
    rows = [
        {**dataclasses.asdict(row), "ratio": row.ratio, "met": row.met}
        for outcome in outcomes
        for row in outcome.rows
    ]
    skipped = {outcome.name: outcome.skipped for outcome in outcomes if outcome.skipped}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": about, "rows": rows, "skipped": skipped}, indent=2))


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "bench.json")
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

    about = machine(arguments.threads)
    outcomes = [run_one(name, arguments.threads) for name in track(names, "measuring")]
    show(outcomes, about)
    save(outcomes, about, arguments.out)
    print(f"figures: {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
