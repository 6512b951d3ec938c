"""Chooses each tracker's settings on the tuning flights, which the table leaves out.

    python -m bench.peers.tune [--only NAME]

For each setting in turn the value is kept that gives most of HOTA + IDF1, the mean
over kinds of flight and detections, at 10 frames a second. Prints what ``adapters.py`` then holds.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import cv2
import numpy as np

from bench.peers import flights
from bench.peers.adapters import PEERS, Peer
from bench.peers.score import follow, joined

RATES = (10,)
GRIDS: dict[str, dict[str, tuple[Any, ...]]] = {
    "Ultralytics ByteTrack": {"match_thresh": (0.8, 0.9, 0.7)},
    "Ultralytics BoT-SORT": {"match_thresh": (0.8, 0.9, 0.7)},
    "Roboflow ByteTrack": {
        "minimum_iou_threshold": (0.1, 0.2, 0.05),
        "minimum_consecutive_frames": (2, 1),
    },
    "Roboflow OC-SORT": {
        "minimum_iou_threshold": (0.3, 0.15, 0.05),
        "minimum_consecutive_frames": (3, 2, 1),
    },
    "Roboflow BoT-SORT": {
        "minimum_iou_threshold_first_assoc": (0.2, 0.1, 0.05),
        "minimum_iou_threshold_unconfirmed_assoc": (0.3, 0.15),
    },
    "norfair": {"threshold": (0.8, 0.9, 0.7), "delay_s": (0.1, 0.05, 0.2)},
}


def score(peer: Peer, settings: dict[str, Any]) -> float:
    """Mean of HOTA + IDF1 over all groups of tuning flights."""
    marks = []
    for source in flights.DETECTIONS:
        for rate_hz in RATES:
            for kind in ("drone", "static"):
                chosen = [flight for flight in flights.TUNING if flight.kind == kind]
                counts = joined(
                    follow(peer.build(rate_hz, **settings), flights.load(flight, rate_hz, source))
                    for flight in chosen
                )
                marks.append(counts.hota + counts.idf1)
    return float(np.mean(marks))


def tune(peer: Peer, grid: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    """The best of each setting in turn; the first value of each is where it starts."""
    best = {name: values[0] for name, values in grid.items()}
    top = score(peer, best)
    for name, values in grid.items():
        for value in values[1:]:
            mark = score(peer, {**best, name: value})
            print(f"{peer.name}: {name}={value}: {mark - top:+.4f}", flush=True)
            if mark > top:
                top, best = mark, {**best, name: value}
    return best


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="trackers whose name begins with this")
    only = parser.parse_args().only
    cv2.setNumThreads(1)
    for peer in PEERS:
        if peer.name.startswith(only):
            print(f"{peer.name}: {tune(peer, GRIDS[peer.name])}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
