"""``windhover`` with a fault put in at a boundary: the camera's or the backend's.

    python -m tests.faults.injected '{"unplug": [2.0, 3.0]}' up --config F ...

FAKE: the camera, for there is none here; it gives moving blobs at 30 Hz with stamps of
now. Everything behind it is the real chain. Times count from the first frame. What
happens is written with its monotonic time into the file that FAULT_LOG names.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from tests.support.fixtures import blob_image
from windhover.errors import BackendError, SourceError
from windhover.types import Frame

URI = "v4l2:///dev/injected"
RATE_HZ = 30.0
HOUR_NS = 3600 * 10**9


class Faults:
    """What is to go wrong, and a log of what did.

    Args:
        plan: ``unplug``, ``freeze`` and ``memory``: [from, for] seconds; ``clock``: [from,
            for] with stamps an hour ahead; ``backend``: every Nth run fails; ``hang``: at
            seconds the backend hangs; ``noise``: frames that do not compress; ``still``:
            seconds after which the camera goes on with big frames only.
    """

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.began: float | None = None
        self._log = open(os.environ["FAULT_LOG"], "a", buffering=1)  # noqa: SIM115, PTH123

    def log(self, what: str) -> None:
        self._log.write(json.dumps({"what": what, "at": time.monotonic()}) + "\n")

    def since(self) -> float:
        if self.began is None:
            self.began = time.monotonic()
            self.log("first frame")
        return time.monotonic() - self.began

    def within(self, name: str) -> bool:
        if name not in self.plan:
            return False
        start, length = self.plan[name]
        return bool(start <= self.since() < start + length)


class InjectedCamera:
    """Fits ``windhover.sources.base.Source``."""

    name, rate_hz, length, live = URI, RATE_HZ, None, True

    def __init__(self, faults: Faults) -> None:
        if faults.began is not None and faults.within("unplug"):
            raise SourceError(f"{URI} is not there; plug the camera in")
        self._faults = faults
        self._noise = np.random.default_rng(0)
        faults.log("camera opened")

    def __iter__(self) -> Iterator[Frame]:
        faults, due, step, before = self._faults, time.monotonic(), 0, ""
        while True:
            due += 1 / RATE_HZ
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due, time.monotonic() - 1.0)
            faults.since()
            if faults.within("unplug"):
                faults.log("unplugged")
                raise SourceError(f"{URI}: camera went away; check its cable and power")
            step += 0 if faults.within("freeze") else 1
            ahead = HOUR_NS if faults.within("clock") else 0
            now = next((name for name in ("freeze", "clock") if faults.within(name)), "")
            if now != before:
                faults.log(f"{now} begins" if now else f"{before} ends")
                before = now
            yield Frame(self._image(step), "mono8", time.time_ns() + ahead, "camera", step)

    def close(self) -> None:
        pass

    def _image(self, step: int) -> Any:
        image = blob_image(step % 30)
        if self._faults.plan.get("noise"):
            dark = image < 100
            image[dark] = self._noise.integers(0, 100, int(dark.sum()), np.uint8)
        if self._faults.within("memory"):
            image = np.kron(image, np.ones((16, 16), np.uint8))
        return image


def spoil(backend: Any, faults: Faults) -> Any:
    """Make a real backend fail every Nth run, or hang."""
    run, runs = backend.run, 0
    backend.name = "dlc"

    def failing(image: Any) -> Any:
        nonlocal runs
        runs += 1
        every = faults.plan.get("backend")
        if every and runs % every == 0:
            faults.log("backend fails")
            raise BackendError("the injected backend failed; nothing to do, it is a test")
        if faults.began is not None and faults.since() > faults.plan.get("hang", float("inf")):
            faults.plan.pop("hang")
            faults.log("backend hangs")
            threading.Event().wait()
        return run(image)

    backend.run = failing
    return backend


def limit_memory(faults: Faults) -> None:
    """Hold this process's address space to what it has and 64 MiB, for a while."""
    start, length = faults.plan["memory"]
    while faults.began is None:
        time.sleep(0.05)
    time.sleep(max(0.0, start - faults.since()))
    with open("/proc/self/statm") as file:  # noqa: PTH123
        now = int(file.read().split()[0]) * resource.getpagesize()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + (64 << 20), hard))
    faults.log("memory begins")
    time.sleep(length)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    faults.log("memory ends")


def main() -> int:
    """Put the faults in and run the command."""
    faults = Faults(json.loads(sys.argv.pop(1)))
    from windhover import inference
    from windhover.inference import fallback
    from windhover_bringup.cli import main as windhover
    from windhover_cameras import base

    base.open_source = lambda *_, **__: InjectedCamera(faults)
    cpu = inference.BACKENDS["cpu"]
    spoiled = replace(cpu, open=lambda *a, **o: spoil(cpu.open(*a, **o), faults))
    # Under the name of the fastest, with the real one to fall back to.
    entries = {"dlc": spoiled, "cpu": cpu}
    inference.BACKENDS = fallback.BACKENDS = entries
    if "memory" in faults.plan:
        threading.Thread(target=limit_memory, args=(faults,), daemon=True).start()
    return windhover(sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
