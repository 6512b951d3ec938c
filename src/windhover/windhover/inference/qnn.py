"""Inference on the HTP with ONNX Runtime's QNN provider: takes int8.onnx."""

from __future__ import annotations

import logging
import platform
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windhover.errors import BackendError, ConfigError
from windhover.inference.base import check_input
from windhover.inference.build import compile_context
from windhover.inference.cache import cache_folder
from windhover.inference.ort import bind_outputs, one_line, onnxruntime_module, tensor_specs
from windhover.inference.ort_qnn import open_session, qnn_versions
from windhover.inference.qnn_api.context import FINALIZE_EFFORT
from windhover.inference.qnn_api.memory import shares_memory
from windhover.inference.qnn_api.power import RPC_LATENCY_US, VOTES
from windhover.inference.soc import (
    DEFAULT_SOC,
    Soc,
    find_soc,
    missing_requirement,
    on_device,
    warn_about_emulator,
    where_it_runs,
)
from windhover.model.bundle import Bundle
from windhover.model.graph import check_graph
from windhover.model.manifest import Role

_log = logging.getLogger(__name__)

_WRAPPER = "graph.onnx"


class QnnBackend:
    """Runs a bundle's int8.onnx on the HTP of a chip, or on its emulator.

    The graph is compiled for the chip when it is first opened; the result is
    kept (see :mod:`windhover.inference.cache`) and loaded from then on. Outputs
    are bound once, so a frame allocates no tensors.

    Args:
        bundle: whose int8.onnx to run.
        soc: chip to compile for, of :data:`windhover.inference.soc.SOCS`.
        performance: of :data:`windhover.inference.qnn_api.power.VOTES`, asked for
            again with each run; without effect on an emulator.

    Raises:
        BackendError: ONNX Runtime or its QNN provider is not installed, or the
            graph can't be run completely on the HTP.
        BundleError: the graph is not the one the bundle declares.
        ConfigError: an option is out of range.
    """

    name = "qnn"

    def __init__(self, bundle: Bundle, soc: str = DEFAULT_SOC, performance: str = "burst") -> None:
        chip = find_soc(soc)
        if performance not in VOTES:
            raise ConfigError(
                f"performance {performance!r} is unknown; use one of {', '.join(VOTES)}"
            )
        ort = onnxruntime_module()
        path = _model_of(bundle)
        session = _open(bundle, path, chip, _speed_options(performance))
        inputs, outputs = tensor_specs(session.get_inputs()), tensor_specs(session.get_outputs())
        check_graph(bundle, inputs, outputs, path.name)
        self._session: Any = session
        self._path = path
        self._input_name = bundle.input.name
        self._shape = bundle.input.shape
        self._run_options = ort.RunOptions()
        if on_device():
            self._run_options.add_run_config_entry("qnn.htp_perf_mode", performance)
        self._binding, self._outputs = bind_outputs(session, bundle, outputs)
        self.device = (
            f"{where_it_runs()}, for {chip}, ONNX Runtime {ort.__version__}, "
            f"QNN {qnn_versions().split('-')[0]}, {path.name}"
        )
        warn_about_emulator("qnn", path.name)

    def run(self, image: NDArray[np.uint8]) -> Sequence[NDArray[np.generic]]:
        """See :meth:`windhover.inference.base.Backend.run`."""
        if self._session is None:
            raise BackendError(f"the qnn backend of {self._path} is closed; open it again")
        check_input(image, self._shape, self._path)
        try:
            self._binding.bind_cpu_input(self._input_name, image)
            self._session.run_with_iobinding(self._binding, self._run_options)
        except Exception as error:  # ONNX Runtime's own errors share no public base
            raise BackendError(
                f"a run of {self._path} with QNN failed ({one_line(error)}); open the backend again"
            ) from error
        return self._outputs

    def close(self) -> None:
        """Release the device; calling it twice is fine."""
        self._binding = None
        self._session = None


def probe() -> tuple[bool, str]:
    """Whether this backend can run here, and with what or what to install."""
    try:
        versions = qnn_versions()
    except BackendError as error:
        return False, str(error)
    problem = missing_requirement()
    if problem is not None:
        return False, problem
    slow = "" if on_device() else ": for checks, seconds a frame"
    return True, f"{where_it_runs()}{slow} (QNN {versions})"


def _model_of(bundle: Bundle) -> Path:
    path = bundle.file(Role.INT8_ONNX)
    if path is None:
        has = ", ".join(role.value for role in bundle.files)
        raise BackendError(
            f"bundle {bundle.name} has no int8_onnx for the qnn backend, only {has}; "
            "choose another backend or bundle"
        )
    return path


def _speed_options(performance: str) -> dict[str, str]:
    if not on_device():
        return {}
    return {
        "htp_performance_mode": performance,
        "rpc_control_latency": str(RPC_LATENCY_US),
        # Fails to open where the system has no such memory.
        **({"enable_htp_shared_memory_allocator": "1"} if shares_memory() else {}),
    }


def _open(bundle: Bundle, path: Path, soc: Soc, speed: dict[str, str]) -> Any:
    """A session on the compiled graph, which is made first where there is none."""
    kept = _cache_folder(bundle, soc)
    if (kept / _WRAPPER).is_file():
        try:
            return open_session(kept / _WRAPPER, soc, speed)
        except BackendError as error:
            _log.warning("%s is not used and compiled again: %s", kept, error)
            shutil.rmtree(kept, ignore_errors=True)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix=".compiling-") as name:
            compile_context(path, Path(name) / _WRAPPER, soc)
            # Whole or not at all; where another process was first, its folder stays.
            if not kept.exists():
                Path(name).rename(kept)
                Path(name).mkdir()
    except OSError as error:
        _log.warning("%s can't be kept compiled (%s); set WINDHOVER_CACHE", path, error)
        return open_session(path, soc, speed)
    return open_session(kept / _WRAPPER, soc, speed)


def _cache_folder(bundle: Bundle, soc: Soc) -> Path:
    """Named by all that the compiled graph depends on."""
    digest = bundle.files[Role.INT8_ONNX].sha256[:16]
    key = f"{digest}-{soc.name}-o{FINALIZE_EFFORT}-{qnn_versions()}-{platform.machine()}"
    return cache_folder() / key
