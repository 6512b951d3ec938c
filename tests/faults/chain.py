"""A chain in other processes with a fault in it, and what can be observed of it."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from rosbags.highlevel import AnyReader

from bench.drone_soak import anon_mib
from embedded.tidy import children_of
from tests.faults.injected import URI
from tests.support.processes import kill
from windhover.errors import DataError
from windhover_bringup.recording.recovery import recover

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Chain:
    """``windhover up`` with a fault.

    Attributes:
        folder: for its config, log and recording.
        model: the bundle.
        faults: as in ``test.faults.injected``.
        sections: config over the defaults.
        arguments: more of the command line.
        record: whether it records, and where to.
    """

    folder: Path
    model: Path
    faults: dict[str, Any] = field(default_factory=dict)
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    record: Path | None = None

    def __enter__(self) -> Chain:
        sections = {
            "thermal_camera": {"source": URI},
            "detector": {"model": str(self.model), "backend": "dlc"},
            "bringup": {"overlay": False},
        }
        for name, values in self.sections.items():
            sections.setdefault(name, {}).update(values)
        config = {f"/**/{name}": {"ros__parameters": v} for name, v in sections.items()}
        file = self.folder / "config.yaml"
        file.write_text(yaml.safe_dump(config))
        out = ["--out", str(self.record)] if self.record else []
        self.log = self.folder / "faults.log"
        self.output = self.folder / "output.txt"
        with self.output.open("w") as stream:
            self.process = subprocess.Popen(
                [
                    sys.executable, "-m", "tests.faults.injected", json.dumps(self.faults), "up",
                    "--config", str(file), *out, *self.arguments,
                ],
                stdout=stream, stderr=subprocess.STDOUT, cwd=ROOT,
                env={**os.environ, "FAULT_LOG": str(self.log)},
            )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(60.0)
            kill(self.process)
            self.process.wait()

    @property
    def crashed(self) -> bool:
        """Whether it ended with anything but 0, or left a traceback."""
        return self.process.poll() not in {None, 0} or "Traceback" in self.output.read_text()

    def events(self, what: str) -> list[float]:
        """Monotonic times at which something happened."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [e["at"] for e in map(json.loads, lines) if e["what"] == what]

    def event(self, what: str, timeout_s: float = 120.0) -> float:
        """When something happens first; waits for it.

        Raises:
            TimeoutError: it does not within the time.
        """
        deadline = time.monotonic() + timeout_s
        while not (found := self.events(what)):
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise TimeoutError(f"{what}: did not happen; {self.output.read_text()[-2000:]}")
            time.sleep(0.05)
        return found[0]

    def rss_mib(self) -> float:
        """Memory of the process and its children."""
        pages = [Path(f"/proc/{pid}/statm").read_text().split()[1] for pid in self.family()]
        return sum(map(int, pages)) * resource.getpagesize() / 2**20

    def anon_mib(self) -> float:
        """That which no file backs: not the peers' shared memory, which is theirs."""
        return anon_mib(self.process.pid)

    def family(self) -> list[int]:
        """Process ids of the process and its children."""
        return [self.process.pid, *children_of(self.process.pid)]

    def child(self, node: str) -> int:
        """Process id of a node with its own process."""
        for pid in self.family():
            # One that was killed may go in between.
            with suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == node[:15]:
                    return pid
        raise LookupError(f"no process of {node}")


def last_recorded(out: Path) -> tuple[int, float, str]:
    """Tracks in a run's recordings, the last one's time, and how they were read.

    Returns:
        Count, seconds since the epoch of the last, and ``whole`` or ``recovered``.
    """
    count, last_ns, how = 0, 0, "whole"
    for saved in out.glob("bag*_recovered"):
        shutil.rmtree(saved)
    for bag in sorted(out.glob("bag*")):
        place = bag
        if not (bag / "metadata.yaml").exists():
            try:
                place, how = recover(bag).path, "recovered"
            except DataError:
                continue
        with AnyReader([place]) as reader:
            connections = [c for c in reader.connections if c.topic == "/tracks"]
            stamps = [stamp for _, stamp, _ in reader.messages(connections)]
        count += len(stamps)
        last_ns = max([last_ns, *stamps])
    return count, last_ns / 1e9, how


def wait(done: Callable[[], object], what: str, timeout_s: float = 120.0) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: it does not within the time.
    """
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:g} s")
        time.sleep(0.05)
