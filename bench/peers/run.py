"""Trackers side by side on the same flights, in one run; table and figures.

    python -m bench.peers.run [--out out/peers/peers.json] [--kind drone,static]
        [--detections thermal-n] [--rates 30,10,5] [--flights 2] [--seconds 5]

Every tracker gets the same detections and images of every flight in one process
and one thread a side, flight by flight in turn. Scores are TrackEval's definitions,
each class apart and all boxes added up. Our settings were chosen on the tuning
flights, which are not in this table.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench.peers import flights
from bench.peers.adapters import OURS, PEERS, STILL, Peer
from bench.peers.score import Run, follow, joined

RATES = (30, 10, 5)
KINDS = ("drone", "static")


@dataclass(frozen=True, slots=True)
class Selection:
    """What of it is run.

    Attributes:
        kinds: of flights.
        sources: of detections.
        rates: frames a second.
        count: flights of each kind at most; ``None`` for all.
        seconds: of each flight, from its start.
    """

    kinds: Sequence[str]
    sources: Sequence[str]
    rates: Sequence[int]
    count: int | None = None
    seconds: float = flights.FRAMES / flights.RATE_HZ


def measure(chosen: Selection, peers: Sequence[Peer]) -> list[dict[str, Any]]:
    """Run everything; one row a tracker, kind of flight, source of detections and rate."""
    rows = []
    for kind in chosen.kinds:
        flown = [flight for flight in flights.REPORTED if flight.kind == kind][: chosen.count]
        for source in chosen.sources:
            for rate_hz in chosen.rates:
                sequences = [
                    flights.load(flight, rate_hz, source).first(chosen.seconds) for flight in flown
                ]
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
                cells = [_cell(own.get(rate), some) for rate in rates]
                cost = np.mean([row["cpu_ms"] for row in own.values()])
                lines.append(f"| {name} | {' | '.join(cells)} | {cost:.2f} |")
            parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _cell(row: dict[str, Any] | None, some: Sequence[dict[str, Any]]) -> str:
    if row is None:
        return ""
    return f"{_best(row, some, 'HOTA')} / {_best(row, some, 'IDF1')} / {row['id_switches']}"


def _best(row: dict[str, Any], some: Sequence[dict[str, Any]], score: str) -> str:
    text = f"{row[score]:.3f}"
    most = max(other[score] for other in some if other["rate_hz"] == row["rate_hz"])
    return f"**{text}**" if text == f"{most:.3f}" else text


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=flights.ROOT / "out" / "peers" / "peers.json")
    parser.add_argument("--kind", default=",".join(KINDS), help="drone, static or both")
    parser.add_argument("--detections", default=",".join(flights.DETECTIONS))
    parser.add_argument("--rates", default=",".join(map(str, RATES)), help="frames a second")
    parser.add_argument("--flights", type=int, help="of each kind at most; default all")
    parser.add_argument("--seconds", type=float, default=flights.FRAMES / flights.RATE_HZ)
    parser.add_argument("--only", default="", help="trackers whose name begins with this")
    parser.add_argument("--join", type=Path, nargs="+", help="print one table of such files")
    given = parser.parse_args()
    if given.join:
        rows = [row for path in given.join for row in json.loads(path.read_text())]
    else:
        # A side's own threads would make a table of cores, not of trackers.
        cv2.setNumThreads(1)
        chosen = Selection(
            given.kind.split(","),
            given.detections.split(","),
            [int(rate) for rate in given.rates.split(",")],
            given.flights,
            given.seconds,
        )
        subjects = [each for each in (OURS, STILL, *PEERS) if each.name.startswith(given.only)]
        rows = measure(chosen, subjects)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(rows, indent=2))
    text = table(rows)
    given.out.with_suffix(".md").write_text(text + "\n")
    print(text)
    print(f"figures: {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
