"""Inference on the CPU with ONNX Runtime: runs anywhere, prefers int8.onnx."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from windhover.errors import BackendError, ConfigError
from windhover.inference.base import check_input
from windhover.inference.ort import (
    LOG_FATAL,
    bind_outputs,
    one_line,
    onnxruntime_module,
    tensor_specs,
)
from windhover.model.bundle import Bundle
from windhover.model.graph import check_graph
from windhover.model.manifest import Role

Precision = Literal["auto", "int8", "float"]

_ROLES: dict[str, tuple[Role, ...]] = {
    "auto": (Role.INT8_ONNX, Role.FLOAT_ONNX),
    "int8": (Role.INT8_ONNX,),
    "float": (Role.FLOAT_ONNX,),
}


class CpuBackend:
    """Runs a bundle's ONNX graph on the CPU.

    The input is read where it lies and the outputs are bound once, so a frame
    copies and allocates no tensors.

    Args:
        bundle: whose graph to open.
        precision: ``auto`` takes int8.onnx where there is one, else float.onnx;
            ``int8`` and ``float`` insist.
        threads: of the convolutions; 0 lets ONNX Runtime take one per core.

    Raises:
        BackendError: ONNX Runtime is not installed or can't open the graph, or
            the bundle has no file of that precision.
        BundleError: the graph is not the one the bundle declares.
        ConfigError: an option is out of range.
    """

    name = "cpu"

    def __init__(self, bundle: Bundle, precision: Precision = "auto", threads: int = 0) -> None:
        if precision not in get_args(Precision):
            raise ConfigError(f"precision {precision!r} is unknown; use auto, int8 or float")
        if not 0 <= threads <= 256:
            raise ConfigError(f"threads is {threads}; use 0 (one per core) to 256")
        ort = onnxruntime_module()
        path = _choose_file(bundle, precision)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = LOG_FATAL
        try:
            session = ort.InferenceSession(
                bundle.root / path, options, providers=["CPUExecutionProvider"]
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


def _choose_file(bundle: Bundle, precision: str) -> str:
    for role in _ROLES[precision]:
        spec = bundle.files.get(role)
        if spec is not None:
            return spec.path
    wanted = " or ".join(role.value for role in _ROLES[precision])
    has = ", ".join(role.value for role in bundle.files)
    raise BackendError(
        f"bundle {bundle.name} has no {wanted} for the cpu backend, only {has}; "
        "choose another precision or bundle"
    )
