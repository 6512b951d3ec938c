"""How far registration is off at 10 to 120 m, on rendered scenes.

    python -m windhover_evaluation.registration --out out/residual [--pairs 4] [--altitude 40]

Calibrates on rendered scenes and measures against their geometry. Writes
``residual.md`` and ``residual.png``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from windhover.command_line import run_command
from windhover.files import write_atomic
from windhover.progress import progress
from windhover_evaluation.registration.figures import altitude_figure, save
from windhover_evaluation.registration.study import measure_residuals, residual_table


def main(args: Sequence[str] | None = None) -> int:
    """Run the study; see the module."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--pairs", type=int, default=4, help="rendered pairs to calibrate from")
    parser.add_argument("--altitude", type=float, default=40.0, help="to calibrate at, metres")
    given = parser.parse_args(args)
    if given.pairs < 1:
        parser.error("--pairs must be 1 or more")
    with progress("rendering and matching", given.pairs) as bar:
        rows = measure_residuals(given.pairs, given.altitude, bar.update)
    table = residual_table(rows)
    write_atomic(given.out / "residual.md", table)
    save(altitude_figure(rows), given.out / "residual.png")
    print(table)
    print(f"wrote {given.out}")
    return 0


def _run(args: Sequence[str], **_: object) -> int:
    return main(args)


if __name__ == "__main__":
    sys.exit(run_command(_run, sys.argv[1:], "python -m windhover_evaluation.registration"))
