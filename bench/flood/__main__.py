"""What a flood costs in memory, and where it stops: ``python -m bench.flood [--seconds 60]``.

``flood.cpp`` is compiled against the Fast DDS of the ROS wheels. Its reader keeps the last message
and takes one each 20 ms. A writer of 30 images a second, a camera's, sends beside one that sends
as fast as it can. Whenever the camera's message comes with an older source timestamp than the one
that the reader holds, Fast DDS discards it and loses its memory: ``received_change_keep_last`` of
``DataReaderHistory.cpp`` returns true for a change that was not added, so that nobody releases it.
The reader's pool has ``max_samples`` places; when all but one are lost it goes on with that one:
it keeps the oldest message until it is taken. Seen with 2.14.5, and in the sources up to 3.6.2.

The last row is the detector under the same flood, in a process of its own beside its camera's, as
``tests/faults`` runs it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.drone_soak import anon_mib
from bench.table import ROOT, ResultTable, add_out, save
from embedded.domain import isolate

BYTES = 81_960  # an image of 320x256, 8 bits, with its header
SIZE_KIB = BYTES / 1024
FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Flooded:
    """One run.

    Attributes:
        rate_hz: messages a second of the writer that floods.
        start_mib: memory that no file backs, of the flooded process, before.
        used_mib: the same at each sixth of the flood, and after it.
        heard: of 30 messages that came after the flood, those that were taken.
    """

    rate_hz: float
    start_mib: float
    used_mib: tuple[float, ...]
    heard: str

    def row(self, name: str) -> tuple[str, ...]:
        """As cells of the table."""
        used = ", ".join(f"{mib - self.start_mib:+.1f}" for mib in self.used_mib)
        return name, f"{self.rate_hz:.0f}", f"{self.start_mib:.1f}", used, self.heard


def build(folder: Path) -> Path:
    """Compile ``flood.cpp``."""
    program = folder / "flood"
    subprocess.run(
        ["g++", "-O2", "-std=c++17", f"-I{sys.prefix}/include", str(FOLDER / "flood.cpp"),
         "-o", str(program), f"-L{sys.prefix}/lib", "-lfastrtps", "-lfastcdr",
         "-Wl,--allow-shlib-undefined"],
        check=True,
    )  # fmt: skip
    return program


def sampled(pid: int, seconds: float) -> tuple[float, ...]:
    """Memory of a process at each sixth of a time, MiB."""
    used, began = [], time.monotonic()
    for part in range(1, 7):
        time.sleep(max(0.0, began + seconds * part / 6 - time.monotonic()))
        used.append(anon_mib(pid))
    return tuple(used)


class Bare:
    """Bare Fast DDS.

    Args:
        program: the compiled one.
        seconds: length of a flood.
    """

    def __init__(self, program: Path, seconds: float) -> None:
        self._program = program
        self._seconds = seconds
        libraries = [f"{sys.prefix}/lib", *map(str, Path(sys.prefix).glob("lib/*/*/*rtps.libs"))]
        self._env = {
            **os.environ,
            "LD_LIBRARY_PATH": ":".join(libraries),
            "FASTRTPS_DEFAULT_PROFILES_FILE": str(ROOT / "config" / "fastdds.xml"),
        }

    def flood(self, cameras: int, max_samples: int) -> Flooded:
        """Flood a reader.

        Args:
            cameras: writers of 30 messages a second beside the one that floods.
            max_samples: of the reader.
        """
        reader = self._start("read", "blobs", max_samples)
        assert reader.stdout is not None
        try:
            reader.stdout.readline()
            taken = _Counted(reader)
            for _ in range(cameras):
                self._start("write", "blobs", BYTES, self._seconds, 30)
            start_mib = anon_mib(reader.pid)
            writer = self._start("write", "blobs", BYTES, self._seconds, 0)
            used = sampled(reader.pid, self._seconds)
            sent = int(writer.communicate(timeout=60)[0])
            time.sleep(3.0)
            used += (anon_mib(reader.pid),)
            before = taken()
            self._start("write", "blobs", BYTES, 3, 10).wait(60)
            time.sleep(2.0)
            return Flooded(sent / self._seconds, start_mib, used, str(taken() - before))
        finally:
            reader.kill()
            reader.wait()

    def _start(self, *words: object) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(self._program), *map(str, words)], stdout=subprocess.PIPE, text=True, env=self._env
        )


class _Counted:
    """The last number that a reader printed."""

    def __init__(self, reader: subprocess.Popen[str]) -> None:
        assert reader.stdout is not None
        self._file = reader.stdout
        os.set_blocking(self._file.fileno(), False)
        self._last = 0

    def __call__(self) -> int:
        while line := self._file.readline():
            self._last = int(line)
        return self._last


def detector(folder: Path, seconds: float) -> Flooded:
    """The flooded detector; its camera sends 30 images a second."""
    from tests.faults.observer import Observer
    from tests.faults.scenarios import own_processes
    from windhover_ros.runner import ros
    from windhover_sim.blob_bundle import build_blob_bundle

    model = folder / "blob"
    build_blob_bundle(model, height=256, width=320)
    with ros([]), Observer() as watch, own_processes(folder, model) as chain:
        watch.flowing(60)
        pid = chain.child("detector")
        start_mib = anon_mib(pid)
        peer = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.peer", "flood", str(seconds)],
            stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        assert peer.stdout is not None
        peer.stdout.readline()
        used = sampled(pid, seconds)
        sent = int(peer.communicate(timeout=60)[0])
        time.sleep(3.0)
        used += (anon_mib(pid),)
        watch.flowing(30)
        return Flooded(sent / seconds, start_mib, used, "tracks flow")


def table(runs: dict[str, Callable[[], Flooded]]) -> ResultTable:
    """Run all of them."""
    rows = []
    for name, run in runs.items():
        rows.append(run().row(name))
        print(" | ".join(rows[-1]), flush=True)
    return ResultTable(
        "Memory under a flood",
        "memory of the flooded process that no file backs, MiB",
        ("reader", "messages a second", "before", "growth at each sixth, and after",
         "heard after, of 30"),
        rows,
        [
            f"Messages of {SIZE_KIB:.0f} KiB; the reader keeps the last one and takes one each "
            "20 ms.",
            "Fast DDS 2.14.5 loses a message, its memory and its place in the reader's pool "
            "whenever a full reader gets one with an older source timestamp than the one it "
            "holds, which takes a second writer. It stops when max_samples are lost: 5000 by "
            f"default, {5000 * SIZE_KIB / 1024:.0f} MiB of these messages (calculated). "
            "config/fastdds.xml sets 16. The reader still hears, and keeps the oldest message "
            "until it is taken.",
            "Before, at commit 9b9ffae, the detector grew by 122.1 MiB in 60 s at 9095 messages "
            "a second, by 10 MiB each 5 s. A part of that was rclpy's events executor, which "
            "queues 145 bytes a message; a flooded node is now served by a wait set.",
        ],
    )  # fmt: skip


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="length of each flood")
    add_out(parser)
    asked = parser.parse_args()
    isolate()
    with tempfile.TemporaryDirectory(prefix="windhover-") as place:
        folder = Path(place)
        bare = Bare(build(folder), asked.seconds)
        made = table({
            "bare Fast DDS, one writer": lambda: bare.flood(0, 5000),
            "bare Fast DDS, two writers": lambda: bare.flood(1, 5000),
            "the same, max_samples 100": lambda: bare.flood(1, 100),
            "the same, max_samples 16": lambda: bare.flood(1, 16),
            "detector in its own process": lambda: detector(folder, asked.seconds),
        })  # fmt: skip
    save({"flood": made}, asked.out, "bench.flood")
    return 0


if __name__ == "__main__":
    sys.exit(main())
