"""One function a fault: injects it into the real chain and returns the outcome."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from tests.faults.chain import ROOT, Chain, last_recorded, wait
from tests.faults.injected import RATE_HZ
from tests.faults.observer import Observer
from tests.support.fixtures import blob_image

# From the first frame to a fault, so that the rate before it is known.
AFTER_S = 3.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a fault.

    Attributes:
        lost: what it cost.
        back_s: from its end (for one without an end: from its start) until tracks flowed
            again; ``None`` where they never stopped.
        intact: no process crashed, and a recording is readable.
        notes: further observations.
    """

    lost: str
    back_s: float | None
    intact: bool
    notes: str = ""


def own_processes(
    folder: Path, model: Path, record: Path | None = None, noise: bool = False
) -> Chain:
    """A process a node; the camera plays images at 30 Hz again and again.

    Args:
        folder: to work in.
        model: the bundle.
        record: whether it records, and where to.
        noise: images that do not compress.
    """
    flight = folder / "flight"
    flight.mkdir()
    drawn = np.random.default_rng(0)
    for step in range(30):
        image = blob_image(step)
        if noise:
            dark = image < 100
            image[dark] = drawn.integers(0, 100, int(dark.sum()), np.uint8)
        cv2.imwrite(str(flight / f"{step:03d}.png"), image)
    sections = {
        "thermal_camera": {"source": str(flight), "loop": True},
        "detector": {"backend": "cpu"},
    }
    return Chain(folder, model, {}, sections, ("--node-per-process",), record)


def frames_lost(watch: Observer, start_s: float, end_s: float) -> str:
    """Of the frames due at the rate at which tracks came before: on a busy machine fewer
    than the camera gives."""
    before = [t.at_s for t in watch.tracks if start_s - 2.0 < t.at_s < start_s]
    rate_hz = (len(before) - 1) / (before[-1] - before[0]) if len(before) > 2 else RATE_HZ
    due = round((end_s - start_s) * min(rate_hz, RATE_HZ))
    return f"{max(0, due - watch.count(start_s, end_s))} of {due}"


def camera_unplugged(folder: Path, model: Path, length_s: float = 3.0) -> Outcome:
    """Gone for a while, and there again."""
    with Observer() as watch, Chain(folder, model, {"unplug": [AFTER_S, length_s]}) as chain:
        gone_s = chain.event("unplugged")
        there_s = chain.event("first frame") + AFTER_S + length_s
        back_s = watch.back_s(there_s)
        watch.flowing()
        lost = frames_lost(watch, gone_s, there_s + back_s)
        return Outcome(lost, back_s, not chain.crashed)


def thermal_frozen(folder: Path, model: Path, length_s: float = 5.0) -> Outcome:
    """The same picture again and again, as from a sensor that hangs."""
    with Observer() as watch, Chain(folder, model, {"freeze": [AFTER_S, length_s]}) as chain:
        begins_s = chain.event("freeze begins")
        ends_s = chain.event("freeze ends", 120.0 + length_s)
        back_s = watch.back_s(ends_s)
        watch.flowing()
        lost = frames_lost(watch, begins_s, ends_s + back_s)
        values = watch.diagnostics.get("thermal_camera", {})
        note = f"{values.get('freezes', '0')} freeze reported in diagnostics"
        return Outcome(lost, back_s, not chain.crashed, note)


def backend_fails(folder: Path, model: Path, every: int = 40, most: int = 3) -> Outcome:
    """Every Nth run, until the next backend takes its place."""
    with Observer() as watch, Chain(folder, model, {"backend": every}) as chain:
        first_s = chain.event("backend fails")
        wait(lambda: len(chain.events("backend fails")) >= most, "failures")
        wait(lambda: watch.diagnostics.get("detector", {}).get("backend") == "cpu", "the fallback")
        watch.flowing()
        failures = chain.events("backend fails")
        back_s = max(watch.back_s(at) for at in failures)
        lost = frames_lost(watch, first_s, failures[-1] + back_s)
        note = f"longest of {len(failures)} failures; then the next backend runs"
        return Outcome(lost, back_s, not chain.crashed, note)


def backend_hangs(folder: Path, model: Path) -> Outcome:
    """A run never returns."""
    with Observer() as watch, Chain(folder, model, {"hang": AFTER_S}) as chain:
        hangs_s = chain.event("backend hangs")
        back_s = watch.back_s(hangs_s + 0.2) + 0.2
        watch.flowing()
        lost = frames_lost(watch, hangs_s, hangs_s + back_s)
        return Outcome(lost, back_s, not chain.crashed, "the stuck thread is left to itself")


def clock_jumps(folder: Path, model: Path, length_s: float = 2.0) -> Outcome:
    """An hour ahead, and back again."""
    with Observer() as watch, Chain(folder, model, {"clock": [AFTER_S, length_s]}) as chain:
        begins_s = chain.event("clock begins")
        ends_s = chain.event("clock ends")
        watch.flowing()
        back_s = max(watch.back_s(begins_s), watch.back_s(ends_s))
        lost = frames_lost(watch, begins_s, ends_s + watch.back_s(ends_s))
        gap_s = watch.longest_gap_s(begins_s, ends_s)
        note = f"all tracks end at a jump; longest silence {gap_s:.2f} s"
        return Outcome(lost, back_s, not chain.crashed, note)


def memory_short(folder: Path, model: Path, length_s: float = 3.0) -> Outcome:
    """64 MiB more than it has, and frames 256 times as large."""
    with Observer() as watch, Chain(folder, model, {"memory": [AFTER_S, length_s]}) as chain:
        begins_s = chain.event("memory begins")
        ends_s = chain.event("memory ends")
        back_s = watch.back_s(ends_s)
        watch.flowing()
        lost = frames_lost(watch, begins_s, ends_s + back_s)
        return Outcome(lost, back_s, not chain.crashed)


def _with_peer(kind: str, folder: Path, model: Path, length_s: float) -> Outcome:
    with Observer() as watch, own_processes(folder, model) as chain:
        watch.flowing(60)
        before_mib = chain.anon_mib()
        peer = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.peer", kind, str(length_s)],
            stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        assert peer.stdout is not None
        peer.stdout.readline()
        begins_s = time.monotonic()
        sent, _ = peer.communicate(timeout=240)
        ends_s = time.monotonic()
        back_s = watch.back_s(ends_s)
        watch.flowing(30)
        grown_mib = chain.anon_mib() - before_mib
        lost = frames_lost(watch, begins_s, ends_s)
        refused = watch.diagnostics.get("detector", {}).get("frames_refused", "0")
        note = (
            f"{int(sent) / length_s:.0f} messages a second; {refused} refused; "
            f"{grown_mib:+.1f} MiB of memory that no file backs"
        )
        return Outcome(lost, back_s, not chain.crashed, note)


def peer_floods(folder: Path, model: Path, length_s: float = 5.0) -> Outcome:
    """A peer publishes images on the detector's topic as fast as it can."""
    return _with_peer("flood", folder, model, length_s)


def malformed_messages(folder: Path, model: Path, length_s: float = 3.0) -> Outcome:
    """Wrong step, size, encoding, huge dimensions, and bytes that are no message."""
    return _with_peer("malformed", folder, model, length_s)


NODES = ("detector", "tracker", "monitor", "recorder", "thermal_camera")


def node_killed(folder: Path, model: Path, nodes: tuple[str, ...] = NODES) -> Outcome:
    """``kill -9`` of one node after the other while recording."""
    out = folder / "out"
    worst_s, killed, unsaved_s = 0.0, [], 0.0
    with Observer() as watch, own_processes(folder, model, out) as chain:
        watch.flowing(30)
        for node in nodes:
            pid = chain.child(node)
            os.kill(pid, signal.SIGKILL)
            at, clock_s = time.monotonic(), time.time()
            if node == "recorder":
                unsaved_s = clock_s - last_recorded(out)[1]
            wait(lambda pid=pid, node=node: is_new(chain, node, pid), f"a new {node}")
            watch.flowing(20)
            silent_s = watch.longest_gap_s(at, time.monotonic())
            worst_s = max(worst_s, silent_s)
            killed.append(f"{node} {silent_s:.1f} s")
        intact = not chain.crashed
    count, _, how = last_recorded(out)
    note = (
        f"silence by node: {', '.join(killed)}; {count} tracks recorded ({how}), the last "
        f"{unsaved_s:.1f} s before the recorder's end are lost"
    )
    return Outcome("what is under way", worst_s, intact and count > 0, note)


def is_new(chain: Chain, node: str, pid: int) -> bool:
    """Whether a node has a process, and another one than before."""
    try:
        return chain.child(node) != pid
    except LookupError:
        return False


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[Path | None]:
    """A file system of so many MiB; ``None`` where this user may not mount one."""
    place = folder / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(place)],
        capture_output=True, check=False,
    )  # fmt: skip
    try:
        yield place if done.returncode == 0 else None
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", "-l", str(place)], check=True)


@dataclass(frozen=True, slots=True)
class FullDisk:
    """What was seen while the disk was full.

    Attributes:
        recorded: tracks that were recorded until then.
        how: their recording was read.
        gap_s: longest silence of tracks.
        length_s: until there was a new recording.
    """

    recorded: int
    how: str
    gap_s: float
    length_s: float


def outlast_full_disk(watch: Observer, out: Path, ballast: Path) -> FullDisk:
    """From a disk that is full to one with room, where recording goes on."""
    full_s = time.monotonic()
    watch.flowing(30)
    gap_s = watch.longest_gap_s(full_s, time.monotonic())
    recorded, _, how = last_recorded(out)
    ballast.unlink()
    wait((out / "bag_1").exists, "a new recording")
    length_s = time.monotonic() - full_s
    watch.flowing(60)
    return FullDisk(recorded, how, gap_s, length_s)


def disk_full(folder: Path, model: Path, mib: int = 24) -> Outcome:
    """The disk fills up while it records, and has room again later."""
    with small_disk(folder, mib) as disk:
        if disk is None:
            return Outcome("", None, True, "not run: this user may not mount a small disk")
        ballast = disk / "ballast"
        ballast.write_bytes(bytes((mib - 13) << 20))
        out = disk / "out"
        with Observer() as watch, Chain(folder, model, {"noise": 1}, record=out) as chain:
            wait(lambda: "recording stopped" in chain.output.read_text(), "the disk's end", 120.0)
            full = outlast_full_disk(watch, out, ballast)
        count, _, how_2 = last_recorded(out)
        intact = not chain.crashed and 0 < full.recorded < count
        note = (
            f"recording {full.how}, goes on in bag_1 ({how_2}) once there is room; longest silence "
            f"of tracks {full.gap_s:.2f} s, {full.length_s:.0f} s full"
        )
        return Outcome("no result; images and results off the disk", None, intact, note)


def soak(folder: Path, model: Path, minutes: float = 5.0) -> Outcome:
    """Full rate with a recording."""
    out = folder / "out"
    with Observer() as watch, Chain(folder, model, record=out) as chain:
        watch.flowing(30)
        time.sleep(min(20.0, minutes * 20))
        start_s, rss = time.monotonic(), [chain.rss_mib()]
        while (left_s := start_s + minutes * 60 - time.monotonic()) > 0:
            time.sleep(min(60.0, left_s))
            rss.append(chain.rss_mib())
        end_s = time.monotonic()
        lost = frames_lost(watch, start_s, end_s)
        gap_s = watch.longest_gap_s(start_s, end_s)
        rate_hz = watch.count(start_s, end_s) / (end_s - start_s)
        intact = not chain.crashed
    count, _, how = last_recorded(out)
    size = sum(file.stat().st_size for file in out.rglob("*.mcap")) / 2**20
    shutil.rmtree(out)
    note = (
        f"{minutes:g} min at {rate_hz:.1f} frames/s; RSS {rss[0]:.0f} to {rss[-1]:.0f} MiB "
        f"({rss[-1] - rss[0]:+.1f}, at most {max(rss):.0f}); longest silence {gap_s:.2f} s; "
        f"recording {how}, {count} tracks, {size:.0f} MiB"
    )
    return Outcome(lost, None, intact and count > 0, note)


SCENARIOS: Mapping[str, Callable[..., Outcome]] = {
    "camera unplugged 3 s": camera_unplugged,
    "thermal camera frozen 5 s": thermal_frozen,
    "backend fails every 40th run": backend_fails,
    "backend hangs": backend_hangs,
    "peer floods the input topic 5 s": peer_floods,
    "malformed messages 3 s": malformed_messages,
    "clock jumps an hour, and back": clock_jumps,
    "kill -9 of each node while recording": node_killed,
    "disk full while recording": disk_full,
    "memory short 3 s": memory_short,
    "soak at full rate": soak,
}
