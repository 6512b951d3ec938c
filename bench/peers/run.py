"""Trackers side by side on the same flights, in one run; table and figures.

    python -m bench.peers.run [--out out/peers/peers.json] [--kind drone,static]
        [--detections thermal-n] [--rates 30,10,5] [--flights 2] [--seconds 5]
    python -m bench.peers.run --folder MOT17/train

Every tracker gets the same detections and images of every flight in one process
and one thread a side, flight by flight in turn. Scores are TrackEval's definitions,
each class apart and all boxes added up. Our settings were chosen on the tuning
flights, which are not in this table. ``--folder`` takes MOTChallenge's files instead,
see sequences.py.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Many
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from bench.peers import flights
from bench.peers.adapters import OURS, PEERS, STILL, Peer
from bench.peers.score import Run, follow, joined
from bench.peers.sequences import RATE_HZ, Sequence, read_folder
from windhover.errors import WindhoverError

RATES = (30, 10, 5)
KINDS = ("drone", "static")


@dataclass(frozen=True, slots=True)
class Selection:
    """What of the flights is run.

    Attributes:
        kinds: of flights.
        sources: of detections.
        rates: frames a second.
        count: flights of each kind at most; ``None`` for all.
        seconds: of each flight, from its start.
    """

    kinds: Many[str]
    sources: Many[str]
    rates: Many[int]
    count: int | None = None
    seconds: float = flights.FRAMES / RATE_HZ

    def sequences(self) -> Iterator[Sequence]:
        """Draw what is missing, then read flight by flight."""
        flown = [
            flight
            for kind in self.kinds
            for flight in [each for each in flights.REPORTED if each.kind == kind][: self.count]
        ]
        for folder in flights.draw_all(flown):
            print(f"drawn {folder.name}", file=sys.stderr, flush=True)
        for flight in flown:
            for source in self.sources:
                for rate_hz in self.rates:
                    yield flights.load(flight, rate_hz, source).first(self.seconds)
            print(f"{flight.name} done", file=sys.stderr, flush=True)


def measure(sequences: Iterable[Sequence], peers: Many[Peer]) -> list[dict[str, Any]]:
    """Run everything; one row a tracker, kind of sequence, source of detections and rate."""
    runs: dict[tuple[str, str, float, str], list[Run]] = {}
    for sequence in sequences:
        about = (sequence.source, sequence.kind, sequence.rate_hz)
        for peer in peers:
            done = follow(peer.build(sequence.rate_hz), sequence)
            runs.setdefault((*about, peer.title), []).append(done)
    return [
        {"source": source, "kind": kind, "rate_hz": rate_hz, "tracker": title, **_figures(done)}
        for (source, kind, rate_hz, title), done in runs.items()
    ]


def _figures(runs: Many[Run]) -> dict[str, float]:
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


def table(rows: Many[dict[str, Any]]) -> str:
    """Markdown, a table for each source of detections.

    HOTA / IDF1 of each kind of sequence and rate, the best bold; id switches of the
    first kind; and what a frame costs, over all.
    """
    parts = []
    for source in dict.fromkeys(row["source"] for row in rows):
        own = [row for row in rows if row["source"] == source]
        columns = list(dict.fromkeys((row["kind"], row["rate_hz"]) for row in own))
        first = columns[0][0]
        heads = [f"{kind}, {rate:g} Hz" for kind, rate in columns]
        lines = [
            f"| HOTA / IDF1, {source} | {' | '.join(heads)} | switches, {first} | CPU ms |",
            "|---|" + "---:|" * (len(columns) + 2),
        ]
        for name in dict.fromkeys(row["tracker"] for row in own):
            line = [row for row in own if row["tracker"] == name]
            cells = [_cell(line, own, column) for column in columns]
            switches = sum(row["id_switches"] for row in line if row["kind"] == first)
            cost = np.mean([row["cpu_ms"] for row in line])
            lines.append(f"| {name} | {' | '.join(cells)} | {switches} | {cost:.2f} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _cell(line: Many[dict[str, Any]], own: Many[dict[str, Any]], column: tuple[str, float]) -> str:
    here = [row for row in own if (row["kind"], row["rate_hz"]) == column]
    row = next(row for row in here if row in line)
    return " / ".join(_marked(row[score], here, score) for score in ("HOTA", "IDF1"))


def _marked(value: float, here: Many[dict[str, Any]], score: str) -> str:
    text = f"{value:.3f}"
    return f"**{text}**" if text == f"{max(row[score] for row in here):.3f}" else text


def main(args: Many[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=flights.ROOT / "out" / "peers" / "peers.json")
    parser.add_argument("--kind", default=",".join(KINDS), help="drone, static or both")
    parser.add_argument("--detections", default=",".join(flights.DETECTIONS))
    parser.add_argument("--rates", default=",".join(map(str, RATES)), help="frames a second")
    parser.add_argument("--flights", type=int, help="of each kind at most; default all")
    parser.add_argument("--seconds", type=float, default=flights.FRAMES / RATE_HZ)
    parser.add_argument("--only", default="", help="trackers whose name begins with this")
    parser.add_argument("--folder", type=Path, help="sequences as MOTChallenge has them instead")
    given = parser.parse_args(args)
    begun = time.monotonic()
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
    try:
        sequences = read_folder(given.folder) if given.folder else chosen.sequences()
        rows = measure(sequences, subjects)
    except WindhoverError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(rows, indent=2))
    text = table(rows)
    given.out.with_suffix(".md").write_text(text + "\n")
    print(text)
    print(f"{time.monotonic() - begun:.0f} s; figures: {given.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
