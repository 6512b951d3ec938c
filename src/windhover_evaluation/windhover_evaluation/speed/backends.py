"""How fast a bundle's graph runs on each backend of this machine.

Only inference is timed, on one fixed random image; the stages before and after it
are in the table of ``bench/``. Each backend is measured in a separate process,
so that peak memory is its own and a crash of a driver ends one row only.

An HTP emulator's time is the host's and says nothing of a device. It is kept apart
under another name (:attr:`Speed.host_seconds`) and never becomes a latency.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from windhover.errors import BackendError, ConfigError, WindhoverError
from windhover.health.latency import NS_PER_MS, NS_PER_S
from windhover.inference import BACKENDS, open_backend
from windhover.inference.base import Backend
from windhover.inference.dlc import DlcBackend
from windhover.inference.qnn_api.profile import Measurement
from windhover.inference.soc import on_device
from windhover.model.bundle import Bundle

FORMAT = "windhover-bench/1"
EMULATOR_FRAMES = 3
EMULATOR_NOTE = "emulator, not a latency"

_WARM_UP = 5
_HTP_MEASURE = "Accelerator (execute) time"


@dataclass(frozen=True, slots=True)
class Latency:
    """Inference on hardware, milliseconds.

    Attributes:
        average_ms: mean.
        p50_ms: median.
        p99_ms: 99th percentile, linear between neighbours.
        throughput_hz: frames a second, one after the other.
    """

    average_ms: float
    p50_ms: float
    p99_ms: float
    throughput_hz: float


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured of one backend.

    Attributes:
        backend: its name.
        runs_on: the hardware or emulator, in words.
        frames: that were timed.
        latency: ``None`` on an emulator.
        host_seconds: an emulator's mean seconds a frame on this host.
        htp_ms: median time on the HTP alone as QNN's profiling gives it; ``None``
            unless backend dlc runs on a device.
        peak_mib: largest resident memory of the process that ran it, Python and
            the opening of the graph included.
        failure: why nothing was measured; empty otherwise.
    """

    backend: str
    runs_on: str = ""
    frames: int = 0
    latency: Latency | None = None
    host_seconds: float | None = None
    htp_ms: float | None = None
    peak_mib: float | None = None
    failure: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON; keys without a value are left out."""
        own = {key: value for key, value in asdict(self).items() if value not in (None, "")}
        return {**own, "note": EMULATOR_NOTE} if self.host_seconds is not None else own


def backend_names(text: str) -> tuple[str, ...]:
    """The backends that ``all`` or a list such as ``cpu,dlc`` names.

    Raises:
        ConfigError: there is no such backend.
    """
    if text == "all":
        return tuple(sorted(BACKENDS))
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    unknown = [name for name in names if name not in BACKENDS]
    if unknown or not names:
        raise ConfigError(
            f"there is no backend {', '.join(unknown) or repr(text)}; use all or some of "
            f"{', '.join(sorted(BACKENDS))}"
        )
    return names


def measure_backends(model: str | Path, names: Iterable[str], frames: int) -> list[Speed]:
    """Measure backends one after the other, each in a separate process.

    Args:
        model: bundle folder or name.
        names: of :data:`~windhover.inference.BACKENDS`.
        frames: to time, at least 1; an emulator runs :data:`EMULATOR_FRAMES` at most.

    Returns:
        In the order of ``names``; one that can't run has its reason as ``failure``.

    Raises:
        BundleError: the bundle is missing or damaged.
        ConfigError: ``frames`` is out of range.
    """
    if not 1 <= frames <= 100_000:
        raise ConfigError(f"{frames} frames can't be measured; use 1 to 100000")
    root = str(Bundle.load(model).root)
    return [_in_a_process(root, name, frames) for name in names]


def _in_a_process(root: str, name: str, frames: int) -> Speed:
    # Not forked: QNN and ONNX Runtime keep threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        try:
            return pool.submit(measure, root, name, frames).result()
        except BrokenProcessPool:
            return Speed(name, failure="its process died; run 'windhover doctor'")


def measure(root: str, name: str, frames: int) -> Speed:
    """Measurement one backend in this process.

    Args:
        root: folder of the bundle.
        name: of the backend.
        frames: to time.
    """
    try:
        bundle = Bundle.load(root)
        backend = open_backend(bundle, name)
        try:
            return _measured(bundle, backend, frames)
        finally:
            backend.close()
    except WindhoverError as error:
        return Speed(name, failure=str(error))


def _measured(bundle: Bundle, backend: Backend, frames: int) -> Speed:
    emulated = BACKENDS[backend.name].on_htp and not on_device()
    if emulated:
        frames = min(frames, EMULATOR_FRAMES)
    times = _times_ns(bundle, backend, frames, warm_up=1 if emulated else _WARM_UP)
    # Read before profiling opens a second context.
    peak = peak_mib()
    return Speed(
        backend.name,
        backend.device,
        frames,
        None if emulated else _latency(times),
        float(np.mean(times)) / NS_PER_S if emulated else None,
        _htp_ms(bundle, backend, frames),
        peak,
    )


def _times_ns(bundle: Bundle, backend: Backend, frames: int, warm_up: int) -> list[int]:
    image = np.random.default_rng(0).integers(0, 256, bundle.input.shape, np.uint8)
    for _ in range(warm_up):
        backend.run(image)
    times = []
    for _ in range(frames):
        begun = time.perf_counter_ns()
        backend.run(image)
        times.append(time.perf_counter_ns() - begun)
    return times


def _latency(times_ns: Sequence[int]) -> Latency:
    samples = np.array(times_ns, np.float64) / NS_PER_MS
    p50, p99 = np.percentile(samples, (50.0, 99.0))
    mean = float(samples.mean())
    return Latency(mean, float(p50), float(p99), 1e3 / mean)


def _htp_ms(bundle: Bundle, backend: Backend, frames: int) -> float | None:
    """Time on the HTP alone, by a second run: profiling slows what it measures."""
    if not isinstance(backend, DlcBackend) or not on_device():
        return None
    backend.close()
    with_profile = DlcBackend(bundle, profiling="basic")
    image = np.zeros(bundle.input.shape, np.uint8)
    samples = []
    try:
        for _ in range(min(frames, 50)):
            with_profile.run(image)
            samples.append(htp_time_ms(with_profile.measurements()))
    finally:
        with_profile.close()
    return float(np.median(samples))


def htp_time_ms(measurements: Iterable[Measurement]) -> float:
    """Milliseconds that the accelerator took of a profiled run.

    Raises:
        BackendError: QNN did not say.
    """
    for each in measurements:
        if each.name == _HTP_MEASURE and each.unit == "us":
            return each.value / 1e3
    raise BackendError(f"QNN's profile has no {_HTP_MEASURE!r}; use the versions doctor names")


def peak_mib() -> float | None:
    """Largest resident memory of this process so far, MiB; ``None`` where it is not known."""
    # Not getrusage: its peak includes the parent process's.
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(found[0]) / 1024 if found else None
