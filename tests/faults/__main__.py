"""``python -m tests.faults``: inject every fault into the chain and print the outcome."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from embedded.domain import isolate
from tests.faults.scenarios import SCENARIOS, Outcome
from windhover_sim.blob_bundle import build_blob_bundle

TARGET_S = 2.0
HEAD = (
    "| fault | frames lost | back after | no crash, recording readable | seen |\n"
    "|---|---|---:|---|---|"
)


def row(name: str, outcome: Outcome) -> str:
    """A line of the table; a missed target is marked."""
    back = "never away" if outcome.back_s is None else f"{outcome.back_s:.1f} s"
    if outcome.back_s is not None and outcome.back_s > TARGET_S:
        back += f" ({TARGET_S:g} asked: missed)"
    intact = "yes" if outcome.intact else "**no**"
    return f"| {name} | {outcome.lost} | {back} | {intact} | {outcome.notes} |"


def main() -> int:
    """Run the scenarios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="run those whose name holds this")
    parser.add_argument("--minutes", type=float, default=30.0, help="length of the soak; 0: none")
    parser.add_argument("--out", type=Path, default=Path("out/faults.md"))
    asked = parser.parse_args()
    isolate()
    from windhover_ros.runner import ros

    lines, failed, before = [HEAD], 0, os.getloadavg()[0]
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
            lines.append(row(name, outcome))
            sys.stderr.write(f"{time.monotonic() - began:5.0f} s  {lines[-1]}\n")
    after = os.getloadavg()[0]
    lines += ["", f"{os.cpu_count()} cores, load average {before:.1f} before, {after:.1f} after."]
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
