"""Trackers side by side on the same flights, in one run; table and figures.

    python -m bench.peers.run [--out out/peers/peers.json] [--kind drone,static]

Every tracker gets the same detections and images of every flight in one process
and one thread a side, flight by flight in turn. Scores are TrackEval's definitions,
each class apart and all boxes added up. ``tune.py`` chose the settings on flights
that are not in this table.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench.peers import flights
from bench.peers.adapters import OURS, PEERS, Peer
from bench.peers.score import Run, follow, joined

RATES = (30, 10, 5)
KINDS = ("drone", "static")


def measure(kinds: Sequence[str], peers: Sequence[Peer]) -> list[dict[str, Any]]:
    """Run everything; one row a tracker, kind of flight, source of detections and rate."""
    rows = []
    for kind in kinds:
        chosen = [flight for flight in flights.REPORTED if flight.kind == kind]
        for source in flights.DETECTIONS:
            for rate_hz in RATES:
                sequences = [flights.load(flight, rate_hz, source) for flight in chosen]
                runs: dict[str, list[Run]] = {peer.title: [] for peer in peers}
                for sequence in sequences:
                    for peer in peers:
                        runs[peer.title].append(follow(peer.build(rate_hz), sequence))
                about = {"kind": kind, "source": source, "rate_hz": rate_hz}
                rows += [
                    {**about, "tracker": name, **_figures(done)} for name, done in runs.items()
                ]
                print(f"{kind} {source} {rate_hz} Hz done", file=sys.stderr, flush=True)
    return rows


def _figures(runs: Sequence[Run]) -> dict[str, float]:
    counts = joined(runs)
    return {
        "HOTA": counts.hota,
        "DetA": counts.det_a,
        "AssA": counts.ass_a,
        "MOTA": counts.mota,
        "IDF1": counts.idf1,
        "id_switches": counts.clear.switches,
        "frame_ms": float(np.median([run.frame_ms for run in runs])),
        "cpu_ms": float(np.mean([run.cpu_ms for run in runs])),
    }


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: HOTA / IDF1 / id switches at each rate, and what a frame costs."""
    parts = []
    for kind in KINDS:
        for source in flights.DETECTIONS:
            some = [row for row in rows if (row["kind"], row["source"]) == (kind, source)]
            if not some:
                continue
            rates = sorted({row["rate_hz"] for row in some}, reverse=True)
            heads = " | ".join(f"{rate} frames/s" for rate in rates)
            lines = [
                f"{kind} flights, detections: {source}",
                "",
                f"| HOTA / IDF1 / id switches | {heads} | CPU ms a frame |",
                "|---|" + "---:|" * (len(rates) + 1),
            ]
            for name in dict.fromkeys(row["tracker"] for row in some):
                own = {row["rate_hz"]: row for row in some if row["tracker"] == name}
                cells = [
                    f"{_best(own[rate], some, 'HOTA')} / {_best(own[rate], some, 'IDF1')} / "
                    f"{own[rate]['id_switches']}"
                    for rate in rates
                ]
                cost = np.mean([row["cpu_ms"] for row in own.values()])
                lines.append(f"| {name} | {' | '.join(cells)} | {cost:.2f} |")
            parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _best(row: dict[str, Any], some: Sequence[dict[str, Any]], score: str) -> str:
    text = f"{row[score]:.3f}"
    most = max(other[score] for other in some if other["rate_hz"] == row["rate_hz"])
    return f"**{text}**" if text == f"{most:.3f}" else text


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=flights.ROOT / "out" / "peers" / "peers.json")
    parser.add_argument("--kind", default=",".join(KINDS), help="drone, static or both")
    arguments = parser.parse_args()
    # A side's own threads would make a table of cores, not of trackers.
    cv2.setNumThreads(1)
    rows = measure(arguments.kind.split(","), (OURS, *PEERS))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(rows, indent=2))
    text = table(rows)
    arguments.out.with_suffix(".md").write_text(text + "\n")
    print(text)
    print(f"figures: {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
