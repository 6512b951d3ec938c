"""``windhover`` with a fault put in at a boundary: the camera's or the backend's.

    python -m tests.faults.injected '{"unplug": [2.0, 3.0]}' up --config F ...

FAKE: the cameras, for there are none here; they give moving blobs at 30 Hz with stamps of
now, RGB at 3840x2160 in NV12. Everything behind them is the real chain. Times count from the
first frame. What happens is written with its monotonic time into the file that FAULT_LOG names.
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
from windhover_sim.sensor import as_nv12

URI = "v4l2:///dev/injected"
RGB_URI = "v4l2:///dev/rgb"
RGB_SIZE = (3840, 2160)
RATE_HZ = 30.0
HOUR_NS = 3600 * 10**9
# Longer than a budget of 100 ms, and shorter than a backend that hangs.
SLOW_S = 0.15


class Faults:
    """What is to go wrong, and a log of what did.

    Args:
        plan: ``unplug``, ``freeze`` and ``memory``: [from, for] seconds; ``clock``: [from,
            for] with stamps an hour ahead; ``backend``: every Nth run fails; ``hang``: at
            seconds the backend hangs; ``noise``: frames that do not compress; ``still``:
            seconds after which the camera goes on with big frames only; ``faulty``: the
            camera that the first two are of, thermal by default; ``second_fails`` and
            ``second_slow``: [from, for] the second look; ``two_chains_s``: patience of the
            monitor with a second chain.
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

    rate_hz, length, live = RATE_HZ, None, True

    def __init__(self, faults: Faults, uri: str = URI) -> None:
        self.name = uri
        self._is_rgb = uri == RGB_URI
        self._is_faulty = self._is_rgb == (faults.plan.get("faulty", "thermal") == "rgb")
        if faults.began is not None and self._has("unplug", faults):
            raise SourceError(f"{uri} is not there; plug the camera in")
        self._faults = faults
        self._pictures = [rgb_picture(step) for step in range(3)] if self._is_rgb else []
        self._noise = np.random.default_rng(0)
        faults.log("camera opened")

    def __iter__(self) -> Iterator[Frame]:
        faults, due, step, before = self._faults, time.monotonic(), 0, ""
        while True:
            due += 1 / RATE_HZ
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due, time.monotonic() - 1.0)
            faults.since()
            if self._has("unplug", faults):
                faults.log("unplugged")
                raise SourceError(f"{self.name}: camera went away; check its cable and power")
            step += 0 if self._has("freeze", faults) else 1
            ahead = HOUR_NS if faults.within("clock") else 0
            now = next((name for name in ("freeze", "clock") if faults.within(name)), "")
            if now != before:
                faults.log(f"{now} begins" if now else f"{before} ends")
                before = now
            encoding = "nv12" if self._is_rgb else "mono8"
            yield Frame(self._image(step), encoding, time.time_ns() + ahead, "camera", step)

    def close(self) -> None:
        pass

    def _has(self, fault: str, faults: Faults) -> bool:
        return self._is_faulty and faults.within(fault)

    def _image(self, step: int) -> Any:
        if self._is_rgb:
            # In a buffer of its own, as a driver gives it.
            return self._pictures[step % len(self._pictures)].copy()
        image = blob_image(step % 30)
        if self._faults.plan.get("noise"):
            dark = image < 100
            image[dark] = self._noise.integers(0, 100, int(dark.sum()), np.uint8)
        if self._faults.within("memory"):
            image = np.kron(image, np.ones((16, 16), np.uint8))
        return image


def rgb_picture(step: int) -> Any:
    """A person who carries something that is too small for the first look, in NV12."""
    width, height = RGB_SIZE
    picture = np.full((height, width, 3), 40, np.uint8)
    left = 1200 + 12 * step
    picture[900:1044, left : left + 144, 2] = 230
    picture[946:1000, left + 148 : left + 202, 2] = 150
    return as_nv12(picture)


def spoil_second(backend: Any, faults: Faults) -> Any:
    """Make the second look's backend fail, or take its time, for a while."""
    run = backend.run

    def failing(chips: Any) -> Any:
        if faults.began is not None and faults.within("second_fails"):
            faults.log("second look fails")
            raise BackendError("the injected second look failed; nothing to do, it is a test")
        if faults.began is not None and faults.within("second_slow"):
            faults.log("second look is slow")
            time.sleep(SLOW_S)
        return run(chips)

    backend.run = failing
    return backend


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
    from windhover_bringup.monitor import node
    from windhover_cameras import base

    base.open_source = lambda uri, *_, **__: InjectedCamera(faults, uri)
    if "two_chains_s" in faults.plan:
        node.TWO_CHAINS_S = faults.plan["two_chains_s"]
    cpu = inference.BACKENDS["cpu"]

    def opened(bundle: Any, *words: Any, **options: Any) -> Any:
        # Chips are run in batches, frames are not.
        spoiling = spoil_second if bundle.input.batch > 1 else spoil
        return spoiling(cpu.open(bundle, *words, **options), faults)

    spoiled = replace(cpu, open=opened)
    # Under the name of the fastest, with the real one to fall back to.
    entries = {"dlc": spoiled, "cpu": cpu}
    inference.BACKENDS = fallback.BACKENDS = entries
    if "memory" in faults.plan:
        threading.Thread(target=limit_memory, args=(faults,), daemon=True).start()
    return windhover(sys.argv[1:])


if __name__ == "__main__":
    raise SystemExit(main())
