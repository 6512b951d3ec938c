"""Trackers compared on the same flights, in one run.

    python -m bench.peers.run [--out out/bench] [--kind drone,static]
        [--detections thermal-n] [--rates 30,10,5] [--flights 2] [--seconds 5]
    python -m bench.peers.run --folder MOT17/train

Every tracker gets the same detections and images of every flight, in one process with
one thread each, flight by flight. Scores follow TrackEval's definitions, each class
scored apart and all boxes counted together. Our settings were chosen on the tuning
flights, which are not in this table. ``--folder`` takes MOTChallenge sequences instead,
see sequences.py. A table for each source of detections is written as JSON, and all
scores as ``peers.json``.
"""

from __future__ import annotations

import argparse
import json
import re
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
from bench.peers.adapters import OURS, OURS_WITHOUT_MOTION, PEERS, Peer
from bench.peers.score import SequenceResult, combined, run_tracker
from bench.peers.sequences import RATE_HZ, Sequence, read_folder
from bench.table import ResultTable, add_out, save
from windhover.errors import WindhoverError

RATES = (30, 10, 5)
KINDS = ("drone", "static")
FILES = {flights.MODEL: "peers-model", flights.NOISY_TRUTH: "peers-truth"}
"""Names of the results' files by source of detections."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which flights are run, and how.

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
        """Render missing flights, then read flight by flight."""
        selected = [
            flight
            for kind in self.kinds
            for flight in [each for each in flights.REPORTED if each.kind == kind][: self.count]
        ]
        for folder in flights.render_all(selected):
            print(f"rendered {folder.name}", file=sys.stderr, flush=True)
        for flight in selected:
            for source in self.sources:
                for rate_hz in self.rates:
                    yield flights.load(flight, rate_hz, source).first(self.seconds)
            print(f"{flight.name} done", file=sys.stderr, flush=True)


def measure(sequences: Iterable[Sequence], peers: Many[Peer]) -> list[dict[str, Any]]:
    """Scores of every tracker; one row a tracker, kind of sequence, detections and rate."""
    runs: dict[tuple[str, str, float, str], list[SequenceResult]] = {}
    for sequence in sequences:
        key = (sequence.source, sequence.kind, sequence.rate_hz)
        for peer in peers:
            result = run_tracker(peer.build(sequence.rate_hz), sequence)
            runs.setdefault((*key, peer.title), []).append(result)
    return [
        {"source": source, "kind": kind, "rate_hz": rate_hz, "tracker": title, **_figures(results)}
        for (source, kind, rate_hz, title), results in runs.items()
    ]


def _figures(runs: Many[SequenceResult]) -> dict[str, float]:
    counts = combined(runs)
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


def tables(rows: Many[dict[str, Any]]) -> dict[str, ResultTable]:
    """A table for each source of detections, by the name of its file.

    HOTA / IDF1 of each kind of sequence and rate, the best bold; id switches of the
    first kind; and the CPU time of a frame, over all.
    """
    found = {}
    for source in dict.fromkeys(row["source"] for row in rows):
        own = [row for row in rows if row["source"] == source]
        keys = list(dict.fromkeys((row["kind"], row["rate_hz"]) for row in own))
        first = keys[0][0]
        heads = [f"{kind}, {rate:g} Hz" for kind, rate in keys]
        lines = []
        for name in dict.fromkeys(row["tracker"] for row in own):
            line = [row for row in own if row["tracker"] == name]
            switches = sum(row["id_switches"] for row in line if row["kind"] == first)
            cost = np.mean([row["cpu_ms"] for row in line])
            cells = [_cell(line, own, key) for key in keys]
            lines.append([name, *cells, str(switches), f"{cost:.2f}"])
        found[FILES.get(source, "peers-" + re.sub(r"\W+", "-", source))] = ResultTable(
            f"Trackers on {source}",
            "HOTA / IDF1; switches; CPU ms an update",
            [f"HOTA / IDF1, {source}", *heads, f"switches, {first}", "CPU ms"],
            lines,
        )
    return found


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
    add_out(parser)
    parser.add_argument("--kind", default=",".join(KINDS), help="drone, static or both")
    parser.add_argument("--detections", default=",".join(flights.DETECTIONS))
    parser.add_argument("--rates", default=",".join(map(str, RATES)), help="frames a second")
    parser.add_argument("--flights", type=int, help="of each kind at most; default all")
    parser.add_argument("--seconds", type=float, default=flights.FRAMES / RATE_HZ)
    parser.add_argument("--only", default="", help="trackers whose name begins with this")
    parser.add_argument("--folder", type=Path, help="sequences as MOTChallenge has them instead")
    given = parser.parse_args(args)
    begun = time.monotonic()
    # With threads of their own the trackers would be compared by cores.
    cv2.setNumThreads(1)
    chosen = Selection(
        given.kind.split(","),
        given.detections.split(","),
        [int(rate) for rate in given.rates.split(",")],
        given.flights,
        given.seconds,
    )
    subjects = [
        each for each in (OURS, OURS_WITHOUT_MOTION, *PEERS) if each.name.startswith(given.only)
    ]
    try:
        sequences = read_folder(given.folder) if given.folder else chosen.sequences()
        rows = measure(sequences, subjects)
    except WindhoverError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    found = tables(rows)
    for each in found.values():
        print(each.markdown())
    save(found, given.out, "bench.peers.run")
    (given.out / "peers.json").write_text(json.dumps(rows, indent=1) + "\n")
    print(f"{time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
