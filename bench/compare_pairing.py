"""Pairs and their time error, compared with message_filters' ApproximateTimeSynchronizer.

    python -m bench.compare_pairing [--bag BAG] [--out out/bench]

Both get the same stamps in the same order of arrival. Stamps are simulated for five
cases, or read from a recording of both cameras. message_filters comes with a ROS
installation and is not on PyPI: without it only our side is measured.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from bench.table import ResultTable, add_out, save
from windhover.pairing.matching import Pairer, PairingPolicy
from windhover.types import Frame

MS = 1_000_000
SECONDS = 60
IMAGE = np.zeros((1, 1), np.uint8)


@dataclass(frozen=True)
class Case:
    """Two cameras' stamps in the order in which they arrive.

    Attributes:
        name: in the table.
        events: arrival time, ``rgb`` or ``thermal``, stamp; nanoseconds.
        thermal_period_ns: nominal.
    """

    name: str
    events: Sequence[tuple[int, str, int]]
    thermal_period_ns: int

    @property
    def rgb_frames(self) -> int:
        """How many RGB frames there are."""
        return sum(modality == "rgb" for _, modality, _ in self.events)


def camera(rate_hz: float, seed: int, jitter_ms: float, loss: float, offset_ms: float,
           drift: float = 0.0) -> np.ndarray:  # fmt: skip
    """Stamps of a camera, nanoseconds."""
    rng = np.random.default_rng(seed)
    at_ms = offset_ms + 1e3 * np.arange(int(rate_hz * SECONDS)) / rate_hz * (1 + drift)
    at_ms = at_ms + rng.uniform(-jitter_ms, jitter_ms, len(at_ms))
    return 10**15 + np.round(at_ms[rng.random(len(at_ms)) >= loss] * MS).astype(np.int64)


def with_latency(name: str, rgb: np.ndarray, thermal: np.ndarray, thermal_hz: float) -> Case:
    """Frames arrive 15 to 25 ms (RGB) and 8 to 14 ms (thermal) after they were taken."""
    rng = np.random.default_rng(9)
    events = []
    for modality, stamps, low, high in (("rgb", rgb, 15, 25), ("thermal", thermal, 8, 14)):
        delays = np.round(rng.uniform(low, high, len(stamps)) * MS).astype(np.int64)
        events += [(int(s + d), modality, int(s)) for s, d in zip(stamps, delays, strict=True)]
    return Case(name, sorted(events), round(1e9 / thermal_hz))


def cases() -> list[Case]:
    """Pairs of cameras as drones carry them."""
    rgb = camera(30, 1, 1, 0, 7)
    stall = camera(30, 2, 1, 0, 0, 2e-4)
    seconds = (stall - 10**15) / 1e9
    return [
        with_latency("30 and 30 Hz, drifting", rgb, camera(30, 2, 1, 0, 0, 2e-4), 30),
        with_latency("30 and 25 Hz", rgb, camera(25, 3, 1, 0, 0), 25),
        with_latency("30 and 9 Hz", rgb, camera(9, 4, 1, 0, 0), 9),
        with_latency(
            "30 and 30 Hz, 5 ms jitter, 30 % lost",
            camera(30, 5, 5, 0.3, 7),
            camera(30, 6, 5, 0.3, 0),
            30,
        ),
        with_latency(
            "30 and 30 Hz, thermal stalls 10 s", rgb, stall[(seconds < 20) | (seconds > 30)], 30
        ),
    ]


def recorded(bag: Path) -> Case:
    """The stamps of both cameras of a recording, in the order of its log times."""
    from rosbags.highlevel import AnyReader
    from rosbags.typesys import Stores, get_typestore

    events = []
    with AnyReader([bag], default_typestore=get_typestore(Stores.ROS2_JAZZY)) as reader:
        for connection, log_ns, data in reader.messages():
            for modality in ("rgb", "thermal"):
                if f"/camera/{modality}/image_raw" in connection.topic:
                    message: Any = reader.deserialize(data, connection.msgtype)
                    stamp = message.header.stamp
                    events.append((log_ns, modality, stamp.sec * 10**9 + stamp.nanosec))
    steps = np.diff(sorted(stamp for _, modality, stamp in events if modality == "thermal"))
    return Case(f"recording {bag.name}", sorted(events), int(np.median(steps)))


def ours(case: Case) -> tuple[list[int], list[int]]:
    """Time errors of our pairs, and how long each RGB frame was held, nanoseconds."""
    pairer = Pairer(PairingPolicy(thermal_period_ns=case.thermal_period_ns))
    errors: list[int] = []
    held: list[int] = []
    arrived: dict[int, int] = {}

    def take(now: int) -> None:
        for found in pairer.take(now):
            assert found.rgb is not None
            held.append(now - arrived[found.rgb.stamp_ns])
            if found.offset_ns is not None:
                errors.append(abs(found.offset_ns))

    for now, modality, stamp in case.events:
        due = pairer.due_ns()
        while due is not None and due <= now:
            take(due)
            due = pairer.due_ns()
        frame = Frame(IMAGE, "mono8", stamp)
        if modality == "rgb":
            arrived[stamp] = now
            pairer.add_rgb(frame, now)
        else:
            pairer.add_thermal(frame, now)
        take(now)
    return errors, held


def theirs(case: Case, slop_s: float, queue: int) -> list[int]:
    """Time errors of ApproximateTimeSynchronizer's pairs, nanoseconds."""
    from builtin_interfaces.msg import Time
    from message_filters import ApproximateTimeSynchronizer, SimpleFilter

    inputs = {"rgb": SimpleFilter(), "thermal": SimpleFilter()}
    synchronizer = ApproximateTimeSynchronizer(list(inputs.values()), queue, slop_s)
    errors: list[int] = []

    def pair(rgb: SimpleNamespace, thermal: SimpleNamespace) -> None:
        errors.append(abs(rgb.stamp_ns - thermal.stamp_ns))

    synchronizer.registerCallback(pair)
    for _, modality, stamp in case.events:
        header = SimpleNamespace(stamp=Time(sec=stamp // 10**9, nanosec=stamp % 10**9))
        inputs[modality].signalMessage(SimpleNamespace(header=header, stamp_ns=stamp))
    return errors


def row(case: Case, name: str, errors: Sequence[int], held: Sequence[int] | None) -> list[str]:
    """One row of the table."""
    paired = f"{len(errors)} of {case.rgb_frames} ({len(errors) / case.rgb_frames:.0%})"
    values = np.array(errors) / MS
    cells = [f"{values.mean():.2f}", f"{np.percentile(values, 99):.2f}", f"{values.max():.2f}"]
    waited = ""
    if held is not None:
        waited = f"{np.median(held) / MS:.1f} / {max(held) / MS:.1f}"
    return [case.name, name, paired, *cells, waited]


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bag", type=Path, help="recording of both cameras")
    add_out(parser)
    arguments = parser.parse_args()
    compared = importlib.util.find_spec("message_filters") is not None
    rows = []
    for case in [recorded(arguments.bag)] if arguments.bag else cases():
        rows.append(row(case, "ours", *ours(case)))
        if compared:
            half_s = case.thermal_period_ns / 2e9
            for slop_s in (half_s, 0.1, 0.5):
                name = f"ApproximateTimeSynchronizer, slop {slop_s * 1e3:.0f} ms"
                rows.append(row(case, name, theirs(case, slop_s, 10), None))
    table = ResultTable(
        "Pairing against ApproximateTimeSynchronizer",
        "time error and holding time in ms",
        ("RGB and thermal", "by", "RGB frames paired", "mean", "p99", "worst",
         "held, median / longest"),
        rows,
        () if compared else ("message_filters is not installed: ours alone",),
    )  # fmt: skip
    print(table.markdown())
    save({"pairing": table}, arguments.out, "bench.compare_pairing")
    return 0


if __name__ == "__main__":
    sys.exit(main())
