"""Faults of what is around the chain: the clock, the disk of a process a node, another chain."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import rclpy
from rosgraph_msgs.msg import Clock

from tests.faults.chain import Chain, last_recorded, wait
from tests.faults.observer import Observer
from tests.faults.scenarios import (
    Outcome,
    frames_lost,
    is_new,
    outlast_full_disk,
    own_processes,
    small_disk,
)
from windhover_ros.images import to_time

NODES = ("thermal_camera", "detector", "tracker", "monitor")
STOPPED = "/clock stopped"
FULL = "are free beside"
TWO_CHAINS = "two chains run in ROS domain"


class PlayedClock:
    """``/clock`` at 50 Hz, as a simulator gives it, until it is stopped."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self._done = threading.Event()
        self._node = rclpy.create_node("fault_clock")
        self._out = self._node.create_publisher(Clock, "/clock", 10)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> PlayedClock:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(10.0)
        self._node.destroy_node()

    def _run(self) -> None:
        while not self._done.wait(0.02):
            if not self.stopped.is_set():
                self._out.publish(Clock(clock=to_time(time.time_ns())))


def clock_stops(folder: Path, model: Path, length_s: float = 5.0) -> Outcome:
    """``/clock`` stands still for a while, with ``use_sim_time``."""
    sections: dict[str, dict[str, Any]] = {name: {"use_sim_time": True} for name in NODES}
    with PlayedClock() as clock, Observer() as watch, Chain(folder, model, {}, sections) as chain:
        watch.flowing(30)
        begins_s = time.monotonic()
        clock.stopped.set()
        watch.wait(lambda: watch.saying(STOPPED) >= set(NODES), "all nodes' words", 120.0)
        time.sleep(max(0.0, begins_s + length_s - time.monotonic()))
        ends_s = time.monotonic()
        clock.stopped.clear()
        back_s = watch.back_s(ends_s)
        watch.wait(lambda: not watch.saying(STOPPED), "the end of the warnings")
        watch.flowing()
        lost = frames_lost(watch, begins_s, ends_s)
        intact = not chain.crashed and watch.count(begins_s, ends_s) > 0
        return Outcome(lost, back_s, intact, f"reported by {', '.join(NODES)}; then no longer")


def disk_full_own_process(folder: Path, model: Path, mib: int = 24) -> Outcome:
    """The disk fills up under the recorder in a process of its own, and has room again later."""
    with small_disk(folder, mib) as disk:
        if disk is None:
            return Outcome("", None, True, "not run: this user may not mount a small disk")
        ballast = disk / "ballast"
        ballast.write_bytes(bytes((mib - 11) << 20))
        out = disk / "out"
        with (
            Observer() as watch,
            own_processes(folder, model, record=out, noise=True) as chain,
        ):
            pid = _recorder(chain)
            watch.wait(lambda: "recorder" in watch.saying(FULL), "the recorder's words")
            full = outlast_full_disk(watch, out, ballast)
            same = _recorder(chain) == pid
        count, _, how_2 = last_recorded(out)
        intact = not chain.crashed and same and 0 < full.recorded < count
        note = (
            f"the recorder reports it; recording {full.how}, goes on in bag_1 ({how_2}) once there "
            f"is room, in the same process; longest silence of tracks {full.gap_s:.2f} s, "
            f"{full.length_s:.0f} s full"
        )
        return Outcome("no result; images and results off the disk", None, intact, note)


def two_chains(folder: Path, model: Path, patience_s: float = 25.0) -> Outcome:
    """A second chain in the same ROS domain, for a while."""
    places = folder / "first", folder / "second"
    for place in places:
        place.mkdir()
    faults = {"two_chains_s": patience_s}
    with Observer() as watch, Chain(places[0], model, dict(faults)) as chain:
        watch.flowing(30)
        alone = bool(watch.saying(TWO_CHAINS))
        begins_s = time.monotonic()
        with Chain(places[1], model, dict(faults)) as other:
            other.event("first frame")
            watch.wait(lambda: "monitor" in watch.saying(TWO_CHAINS), "the monitor's word")
            told_s = time.monotonic() - other.event("first frame")
            gap_s = watch.longest_gap_s(begins_s, time.monotonic())
        watch.wait(lambda: not watch.saying(TWO_CHAINS), "the end of the warning")
        watch.flowing()
        intact = not alone and not chain.crashed and not other.crashed
        note = (
            f"the monitor warns after {told_s:.0f} s, and no longer once one has ended; longest "
            f"silence {gap_s:.2f} s"
        )
        return Outcome("none; both chains' tracks come", None, intact, note)


def _recorder(chain: Chain) -> int:
    wait(lambda: is_new(chain, "recorder", 0), "the recorder's process")
    return chain.child("recorder")


SCENARIOS: Mapping[str, Callable[..., Outcome]] = {
    "/clock stops 5 s": clock_stops,
    "disk full while recording, a process a node": disk_full_own_process,
    "two chains in one domain": two_chains,
}
