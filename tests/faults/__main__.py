"""``python -m tests.faults``: inject every fault into the chain and print the outcome."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from bench.table import ResultTable, save
from embedded.domain import isolate
from tests.faults.catalogue import SCENARIOS
from tests.faults.scenarios import Outcome
from windhover_sim.blob_bundle import build_blob_bundle

TARGET_S = 2.0
COLUMNS = ("fault", "frames lost", "back after", "no crash, recording readable", "seen")


def row(name: str, outcome: Outcome) -> tuple[str, ...]:
    """A row of the table; a missed target is marked."""
    back = "never away" if outcome.back_s is None else f"{outcome.back_s:.1f} s"
    if outcome.back_s is not None and outcome.back_s > TARGET_S:
        back += f" ({TARGET_S:g} asked: missed)"
    intact = "yes" if outcome.intact else "**no**"
    return name, outcome.lost, back, intact, outcome.notes


def main() -> int:
    """Run the scenarios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="run those whose name holds this")
    parser.add_argument("--minutes", type=float, default=30.0, help="length of the soak; 0: none")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results")
    asked = parser.parse_args()
    isolate()
    from windhover_ros.runner import ros

    rows: list[tuple[str, ...]] = []
    failed, before = 0, os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="windhover-faults-") as place, ros([]):
        model = Path(place) / "blob"
        build_blob_bundle(model, height=256, width=320)
        for number, (name, scenario) in enumerate(SCENARIOS.items()):
            if asked.only not in name or (name.startswith("soak") and not asked.minutes):
                continue
            folder = Path(place) / str(number)
            folder.mkdir()
            more = {"minutes": asked.minutes} if name.startswith("soak") else {}
            began = time.monotonic()
            try:
                outcome = scenario(folder, model, **more)
            except (TimeoutError, LookupError) as error:
                outcome = Outcome("", None, False, f"not back: {' '.join(str(error).split())}")
            failed += not outcome.intact
            rows.append(row(name, outcome))
            sys.stderr.write(f"{time.monotonic() - began:5.0f} s  {' | '.join(rows[-1])}\n")
    after = os.getloadavg()[0]
    table = ResultTable(
        "What each fault costs",
        "frames lost of those due; asked: back within 2 s, growth below 4.8 MiB",
        COLUMNS,
        rows,
        [f"Load average {before:.1f} before, {after:.1f} after, on {os.cpu_count()} cores."],
    )
    print(table.markdown())
    save({"faults": table}, asked.out, "tests.faults")
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
