"""What one graph of a benchmark is worth: accuracy, size, time, nearness to float."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.transformers.float16 import convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from windhover.errors import BackendError, DataError, WindhoverError
from windhover.inference import open_backend
from windhover.inference.base import Backend
from windhover.inference.build import add_to_bundle
from windhover.inference.cpu import CpuBackend
from windhover.inference.ort_qnn import open_session
from windhover.inference.soc import DEFAULT_SOC, find_soc, where_it_runs
from windhover.model import Bundle, Role, write_bundle
from windhover.model.detector import Detector
from windhover_evaluation.fidelity.agreement import Fidelity, compare_backends
from windhover_evaluation.speed.estimate import estimate_bundle

from ..device.profile import ProfilePlan, profile
from ..device.transport import open_device
from ..engine.validation import Validator
from ..export.graph import finish_float, unfinished

Precision = Literal["int8", "fp16"]
_WARM_UP = 3


@dataclass(frozen=True)
class Budget:
    """What a candidate may cost.

    Attributes:
        model_mb: size of the graph's file, millions of bytes.
        inference_ms: a frame on the device.
        int8_loss: of mAP50 against the float graph, 0..1.
    """

    model_mb: float
    inference_ms: float
    int8_loss: float


@dataclass(frozen=True)
class CandidateResult:
    """One row of the benchmark.

    Attributes:
        model: architecture.
        precision: ``int8`` or ``fp16``.
        map50: on the validation images, graph run by ONNX Runtime on this machine's CPU.
        map50_95: the same.
        float_map50: of the float32 graph on the same images.
        model_mb: size of the graph's file, millions of bytes.
        cpu_ms: median time of a run on this machine's CPU with one thread: not the
            device's.
        emulator: nearness to the float32 graph on the HTP emulator, or None.
        emulator_note: why there is none.
        estimate_ms: from the graph alone, from and to; no measurement.
        device_ms: median on a device, or None where none was given.
    """

    model: str
    precision: Precision
    map50: float
    map50_95: float
    float_map50: float
    model_mb: float
    cpu_ms: float
    emulator: Fidelity | None
    emulator_note: str
    estimate_ms: tuple[float, float]
    device_ms: float | None = None

    def verdict(self, budget: Budget) -> tuple[bool, str]:
        """Whether to train it in earnest, and why."""
        against = []
        if self.model_mb > budget.model_mb:
            against.append(f"{self.model_mb:.1f} MB of {budget.model_mb:g}")
        loss = self.float_map50 - self.map50
        if self.precision == "int8" and loss > budget.int8_loss:
            against.append(f"INT8 loses {loss:.3f} mAP50, {budget.int8_loss:g} allowed")
        if self.device_ms is not None and self.device_ms > budget.inference_ms:
            against.append(f"{self.device_ms:.1f} ms of {budget.inference_ms:g} on the device")
        if self.device_ms is None and self.estimate_ms[0] > budget.inference_ms:
            against.append(f"at least {self.estimate_ms[0]:.1f} ms estimated")
        if against:
            return False, "; ".join(against)
        if self.device_ms is not None:
            return True, f"{self.device_ms:.1f} ms on the device"
        return True, "time on the device not measured"


def half_bundle(bundle: Bundle, folder: Path) -> Bundle:
    """Write a bundle whose float.onnx computes in float16; its ends stay as they are."""
    path = bundle.file(Role.FLOAT_ONNX)
    assert path is not None  # the exporter always writes it
    core = unfinished(onnx.load(path))
    half = convert_float_to_float16(core, keep_io_types=True)
    OnnxModel(half).topological_sort()  # the converter puts its casts last
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(finish_float(half), folder / "float.onnx")
    manifest = bundle.model_dump(mode="json", exclude={"format", "files"})
    for output in manifest["head"]["outputs"]:
        output |= {"scale": None, "zero_point": None}
    return write_bundle(folder, manifest | {"name": f"{bundle.name}-fp16"})


def measure(
    model: str, precision: Precision, bundle: Bundle, exam: Validator, emulated: int
) -> CandidateResult:
    """Measure one candidate.

    Args:
        model: architecture, for the row.
        precision: ``int8`` runs the bundle's int8.onnx; ``fp16`` its float.onnx, which
            :func:`half_bundle` made.
        bundle: what to run.
        exam: validation images.
        emulated: how many of them the HTP emulator sees, which takes seconds a frame;
            0 for none.
    """
    kind: Literal["int8", "float"] = "int8" if precision == "int8" else "float"
    path = bundle.file(Role.INT8_ONNX if kind == "int8" else Role.FLOAT_ONNX)
    assert path is not None
    scores, times = run_on_cpu(bundle, kind, exam)
    near, note = (None, "not asked for")
    if emulated:
        near, note = _emulate(bundle, precision, exam, emulated)
    estimate = estimate_bundle(bundle)
    likely = estimate.likely_ms if precision == "int8" else (estimate.scaled_ms["float"],) * 2
    return CandidateResult(
        model=model,
        precision=precision,
        map50=scores["map50"],
        map50_95=scores["map50_95"],
        float_map50=float("nan"),
        model_mb=path.stat().st_size / 1e6,
        cpu_ms=float(np.median(times[_WARM_UP:] or times)),
        emulator=near,
        emulator_note=note,
        estimate_ms=(min(likely), max(likely)),
    )


def on_device(bundle: Bundle, address: str) -> float:
    """Median milliseconds of a frame's inference on a device, by its fastest backend.

    Args:
        bundle: with int8.onnx; the HTP's files are added to it.
        address: ``adb:SERIAL`` or ``ssh:USER@HOST``.

    Raises:
        BackendError: the graph can't be compiled for the HTP.
        DataError: the device measured nothing.
        WindhoverError: it can't be reached, or has not what it takes.
    """
    ready = add_to_bundle(bundle.root, DEFAULT_SOC)
    result = profile(open_device(address), ProfilePlan(ready))
    found = [run["latency"] for run in result["backends"] if run.get("latency")]
    times = [timed.get("p50_ms", timed["average_ms"]) for timed in found]
    if not times:
        raise DataError(f"{address} measured no latency of {bundle.name}; see its windhover doctor")
    return float(min(times))


def run_on_cpu(
    bundle: Bundle, precision: Literal["int8", "float"], exam: Validator
) -> tuple[dict[str, float], list[float]]:
    """Scores of a bundle's graph on the CPU, and milliseconds of each frame's inference."""
    times: list[float] = []
    limits = bundle.thresholds.model_copy(update={"score": 0.005, "per_class": {}})
    with Detector(bundle, "cpu", thresholds=limits, precision=precision, threads=1) as detector:
        scores = exam.score_detector(detector, lambda t: times.append(t.inference_ns / 1e6))
    return scores, times


def against_float(row: CandidateResult, float_scores: Mapping[str, float]) -> CandidateResult:
    """The row with what the float32 graph reached."""
    return replace(row, float_map50=float_scores["map50"])


class HalfOnHtp:
    """A float graph on the HTP, which computes it in float16; elsewhere on its emulator."""

    name = "qnn"

    def __init__(self, bundle: Bundle) -> None:
        path = bundle.file(Role.FLOAT_ONNX)
        assert path is not None
        options = {"enable_htp_fp16_precision": "1"}
        self._session: Any = open_session(path, find_soc(DEFAULT_SOC), options)
        self._names = [output.name for output in bundle.head.outputs]
        self._input = bundle.input.name
        self.device = where_it_runs()

    def run(self, image: NDArray[np.uint8]) -> Sequence[NDArray[np.generic]]:
        """See :meth:`windhover.inference.base.Backend.run`."""
        outputs: list[NDArray[np.generic]] = self._session.run(self._names, {self._input: image})
        return outputs

    def close(self) -> None:
        """Release the device."""
        self._session = None


def _emulate(
    bundle: Bundle, precision: Precision, exam: Validator, count: int
) -> tuple[Fidelity | None, str]:
    """Nearness to float on the HTP emulator, or why it is not known."""
    try:
        reference = CpuBackend(bundle, precision="float", threads=1)
        other: Backend = open_backend(bundle, "qnn") if precision == "int8" else HalfOnHtp(bundle)
        frames = (frame for row, frame in exam.frames() if row < count)
        near = compare_backends(bundle, reference, {precision: other}, frames)[precision]
    except (BackendError, ImportError) as error:
        return None, f"not measured: {error}"
    except WindhoverError as error:
        return None, f"failed: {error}"
    return near, where_it_runs()
