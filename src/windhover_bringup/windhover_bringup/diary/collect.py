"""Collects what a board is, how fast it runs a model, and what it finds. Reads only.

No picture is kept unless that is asked for: results are boxes. Without a source the frames are
drawn from a seed, the same on every machine, so that results of two machines can be compared.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from windhover.errors import WindhoverError
from windhover.health.latency import StageTimings
from windhover.health.machine_status import read_machine_status
from windhover.inference import BACKENDS, available_backends, emulates
from windhover.machine import machine_facts
from windhover.model.bundle import Bundle
from windhover.model.detector import Detector
from windhover.sources import open_source
from windhover.types import Frame

FORMAT = "windhover-diary/1"
EMULATOR_FRAMES = 2
"""An emulator takes seconds a frame."""
RESULT_FRAMES = 10
_SAMPLE_S = 1.0
_WARM_UP = 5
_SIZE = (720, 1280)
_TEXTS = (
    "etc/os-release",
    "proc/version",
    "proc/meminfo",
    "sys/devices/soc0/soc_id",
    "sys/devices/soc0/machine",
    "sys/devices/soc0/revision",
)


@dataclass(frozen=True, slots=True)
class DiaryPlan:
    """What is to be collected.

    Attributes:
        model: bundle folder or name.
        frames: to time on each backend, at least 1.
        source: URI of frames of one camera; "" draws them.
        pictures: keep the frames whose results are kept.
    """

    model: str
    frames: int = 100
    source: str = ""
    pictures: bool = False


def collect(plan: DiaryPlan, say: Callable[[str], None]) -> dict[str, Any]:
    """Everything, by the name of its file in the archive.

    Args:
        plan: what.
        say: called with what is done next.

    Returns:
        JSON documents, and the bytes of pictures.

    Raises:
        WindhoverError: the bundle or the source can't be used.
    """
    bundle = Bundle.load(plan.model)
    frames = list(islice(_frames(plan, bundle), RESULT_FRAMES))
    say("machine and versions")
    parts: dict[str, Any] = {
        "machine.json": _machine(bundle),
        "versions.json": _versions(),
        "doctor.json": _doctor(),
    }
    with _Sampler() as sampler:
        for status in available_backends():
            say(f"backend {status.name}")
            entry: dict[str, Any] = {"usable": status.usable, "detail": status.detail}
            if status.usable:
                try:
                    entry |= _measure(bundle, status.name, frames, plan.frames)
                except WindhoverError as error:
                    entry["failure"] = str(error)
            parts[f"backends/{status.name}.json"] = entry
    parts["samples.json"] = sampler.samples
    if plan.pictures:
        for number, frame in enumerate(frames):
            parts[f"pictures/{number}.png"] = cv2.imencode(".png", frame.image)[1].tobytes()
    return parts


def _machine(bundle: Bundle) -> dict[str, Any]:
    root = Path("/")
    return {
        "format": FORMAT,
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "model": f"{bundle.name} {bundle.version}",
        "digest": bundle.digest,
        **machine_facts(),
        "kernel": platform.release(),
        "load": list(os.getloadavg()),
        "files": {name: text for name in _TEXTS if (text := _text(root / name)) is not None},
        "clocks": {
            str(file.parent): _text(file)
            for file in sorted(root.glob("sys/devices/system/cpu/cpufreq/policy*/scaling_*"))
            if file.name in {"scaling_cur_freq", "scaling_max_freq", "scaling_governor"}
        },
        "status": asdict(read_machine_status(root)),
    }


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None


def _versions() -> dict[str, str]:
    found = ((one.metadata["Name"], one.version) for one in importlib.metadata.distributions())
    return {"python": platform.python_version(), **dict(sorted(found))}


def _doctor() -> list[dict[str, Any]]:
    from windhover_bringup.doctor.checkup import run_checks

    return [finding.as_dict() for finding in run_checks()]


def _frames(plan: DiaryPlan, bundle: Bundle) -> Iterator[Frame]:
    if not plan.source:
        yield from _drawn(bundle)
        return
    source = open_source(plan.source, as_gray=bundle.modality == "thermal")
    try:
        yield from source
    finally:
        source.close()


def _drawn(bundle: Bundle) -> Iterator[Frame]:
    """Frames of noise with lighter blocks, from a seed."""
    rng = np.random.default_rng(0)
    channels, encoding = {
        "thermal": ((), "mono8"),
        "rgb": ((3,), "bgr8"),
        "rgbt": ((4,), "8UC4"),
    }[bundle.modality]
    for number in range(RESULT_FRAMES):
        image = rng.integers(30, 90, (*_SIZE, *channels), np.uint8)
        for x, y, side in rng.integers((50, 50, 12), (1100, 600, 90), (6, 3)):
            image[y : y + side, x : x + side // 2] = 220
        yield Frame(image, encoding, 10**18 + number * 33_000_000, index=number)


def _measure(bundle: Bundle, name: str, frames: list[Frame], count: int) -> dict[str, Any]:
    emulated = emulates(name)
    options: dict[str, Any] = (
        {"profiling": "basic"} if "profiling" in BACKENDS[name].options else {}
    )
    timings = StageTimings()
    with Detector(bundle, name, **options) as detector:
        results = [_result(detector, frame) for frame in frames[: 1 if emulated else None]]
        for number in range(_WARM_UP + count if not emulated else EMULATOR_FRAMES):
            before = time.perf_counter_ns()
            detector.detect(frames[number % len(frames)])
            if emulated or number >= _WARM_UP:
                for stage, duration_ns in detector.timings.by_stage().items():
                    timings.record(stage, duration_ns)
                timings.record("total", time.perf_counter_ns() - before)
        measured = getattr(detector.backend, "measurements", None) if options else None
        return {
            "facts": dict(detector.facts()),
            # A latency is a device's, or it is none.
            ("emulator_host_ms" if emulated else "latency_ms"): {
                stage: summary.as_dict() for stage, summary in timings.summaries().items()
            },
            "htp": [asdict(one) for one in measured()] if measured else [],
            "results": results,
        }


def _result(detector: Detector, frame: Frame) -> list[dict[str, Any]]:
    return [
        {
            "label": record["name"],
            "score": round(record["score"], 4),
            "box": [round(v, 2) for v in record["box"]],
        }
        for record in detector.detect(frame).to_dict()
    ]


class _Sampler:
    """Temperatures, clocks and memory, once a second while it is in use."""

    def __init__(self) -> None:
        self.samples: list[dict[str, Any]] = []
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> _Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.monotonic()
        while True:
            status = asdict(read_machine_status())
            self.samples.append({"s": round(time.monotonic() - began, 2), **status})
            if self._done.wait(_SAMPLE_S):
                return
