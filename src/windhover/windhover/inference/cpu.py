"""Inference on the CPU with ONNX Runtime: runs anywhere, prefers int8.onnx."""

from __future__ import annotations

import hashlib
import logging
import platform
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from windhover.errors import BackendError, ConfigError
from windhover.files import write_bytes_atomic
from windhover.inference.base import check_input
from windhover.inference.cache import cache_folder
from windhover.inference.ort import (
    LOG_FATAL,
    bind_outputs,
    one_line,
    onnxruntime_module,
    tensor_specs,
)
from windhover.model.bundle import Bundle
from windhover.model.graph import check_graph
from windhover.model.manifest import FileSpec, Role

_log = logging.getLogger(__name__)

Precision = Literal["auto", "int8", "float"]

_CPU = ["CPUExecutionProvider"]
_EXACT = "session.x64quantprecision"

_ROLES: dict[str, tuple[Role, ...]] = {
    "auto": (Role.INT8_ONNX, Role.FLOAT_ONNX),
    "int8": (Role.INT8_ONNX,),
    "float": (Role.FLOAT_ONNX,),
}


class CpuBackend:
    """Runs a bundle's ONNX graph on the CPU.

    The input is read in place and the outputs are bound once, so a frame
    copies and allocates no tensors.

    Args:
        bundle: whose graph to open.
        precision: ``auto`` takes int8.onnx where there is one, else float.onnx;
            ``int8`` and ``float`` insist.
        threads: of the convolutions; 0 lets ONNX Runtime take one per core.
        keep: keep the graph as ONNX Runtime optimised it (see
            :mod:`windhover.inference.cache`), and open that from then on: a fifth of
            the CPU time, for a detector that has to be back soon.

    Raises:
        BackendError: ONNX Runtime is not installed or can't open the graph, or
            the bundle has no file of that precision.
        BundleError: the graph is not the one the bundle declares.
        ConfigError: an option is out of range.
    """

    name = "cpu"

    def __init__(
        self, bundle: Bundle, precision: Precision = "auto", threads: int = 0, keep: bool = False
    ) -> None:
        if precision not in get_args(Precision):
            raise ConfigError(f"precision {precision!r} is unknown; use auto, int8 or float")
        if not 0 <= threads <= 256:
            raise ConfigError(f"threads is {threads}; use 0 (one per core) to 256")
        ort = onnxruntime_module()
        spec = _choose_file(bundle, precision)
        path = spec.path
        try:
            session = (
                _open_cached(bundle.root / path, spec.sha256, threads)
                if keep
                else _open(bundle.root / path, threads)
            )
        except Exception as error:  # ONNX Runtime's own errors share no public base
            raise BackendError(
                f"{bundle.root / path} can't be opened by ONNX Runtime {ort.__version__} "
                f"({one_line(error)}); export the bundle again or update onnxruntime"
            ) from error
        inputs, outputs = tensor_specs(session.get_inputs()), tensor_specs(session.get_outputs())
        check_graph(bundle, inputs, outputs, path)
        self._session: Any = session
        self._path = path
        self._input_name = bundle.input.name
        self._shape = bundle.input.shape
        self.device = (
            f"CPU (ONNX Runtime {ort.__version__}, {path}, "
            f"{f'{threads} threads' if threads else 'a thread per core'})"
        )
        self._binding, self._outputs = bind_outputs(session, bundle, outputs)

    def run(self, image: NDArray[np.uint8]) -> Sequence[NDArray[np.generic]]:
        """See :meth:`windhover.inference.base.Backend.run`."""
        if self._session is None:
            raise BackendError(f"the cpu backend of {self._path} is closed; open it again")
        check_input(image, self._shape, self._path)
        try:
            self._binding.bind_cpu_input(self._input_name, image)
            self._session.run_with_iobinding(self._binding)
        except Exception as error:  # as above
            raise BackendError(
                f"a run of {self._path} on the CPU failed ({one_line(error)}); "
                "open the backend again"
            ) from error
        return self._outputs

    def close(self) -> None:
        """Release the graph's memory; calling it twice is fine."""
        self._binding = None
        self._session = None


def probe() -> tuple[bool, str]:
    """Whether this backend can run here, and with what or what to install."""
    try:
        ort = onnxruntime_module()
    except BackendError as error:
        return False, str(error)
    return True, f"ONNX Runtime {ort.__version__}"


def _options(threads: int) -> Any:
    options = onnxruntime_module().SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = LOG_FATAL
    return options


def _open(path: Path, threads: int, optimised: Path | None = None) -> Any:
    """A session whose 8-bit sums are exact on every CPU.

    x86 without VNNI adds pairs of 8-bit products in 16 bits and saturates; scores of the
    same graph then differ by up to 64 steps from those of another CPU. ONNX Runtime avoids
    it on demand and does nothing where the CPU has VNNI.

    Args:
        path: of the graph.
        threads: of the convolutions; 0: one per core.
        optimised: where ONNX Runtime writes the graph that it optimised.
    """
    ort = onnxruntime_module()

    def session(exact: bool) -> Any:
        options = _options(threads)
        if exact:
            options.add_session_config_entry(_EXACT, "1")
        if optimised is not None:
            options.optimized_model_filepath = str(optimised)
        return ort.InferenceSession(path, options, providers=_CPU)

    try:
        return session(exact=True)
    except Exception:  # two convolutions that share a weight, or the graph can't be opened
        opened = session(exact=False)
    _log.warning(
        "%s: ONNX Runtime can't keep 8-bit sums from saturating on this CPU, so scores may be "
        "off; export the bundle again",
        path,
    )
    return opened


def _open_cached(path: Path, sha256: str, threads: int) -> Any:
    """A session of a graph as it was optimised before, or of the graph, to be kept."""
    ort = onnxruntime_module()
    kept = _cache_path(sha256)
    if kept.is_file():
        options = _options(threads)
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            return ort.InferenceSession(kept, options, providers=_CPU)
        except Exception as error:  # damaged: it is made again
            _log.warning("%s is not used, the graph is optimised again: %s", kept, one_line(error))
    try:
        with tempfile.TemporaryDirectory(prefix="windhover-") as folder:
            optimised = Path(folder) / "graph.onnx"
            session = _open(path, threads, optimised)
            write_bytes_atomic(kept, optimised.read_bytes())
            return session
    except OSError as error:
        _log.warning("%s can't be kept optimised (%s); set WINDHOVER_CACHE", path, error)
    return _open(path, threads)


def _cache_path(sha256: str) -> Path:
    """Named by all that ONNX Runtime's optimised graph depends on."""
    version = onnxruntime_module().__version__
    return cache_folder() / f"{sha256[:16]}-exact-ort{version}-{_cpu_key()}.onnx"


def _cpu_key() -> str:
    """Which instructions the CPU has: kernels, and so layouts, are chosen by them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    facts = sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))})
    digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()
    return f"{platform.machine()}-{digest[:8]}"


def _choose_file(bundle: Bundle, precision: str) -> FileSpec:
    for role in _ROLES[precision]:
        spec = bundle.files.get(role)
        if spec is not None:
            return spec
    wanted = " or ".join(role.value for role in _ROLES[precision])
    has = ", ".join(role.value for role in bundle.files)
    raise BackendError(
        f"bundle {bundle.name} has no {wanted} for the cpu backend, only {has}; "
        "choose another precision or bundle"
    )
