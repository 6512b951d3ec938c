"""What the backends that run on ONNX Runtime share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windhover.errors import BackendError
from windhover.model.graph import TensorSpec
from windhover.model.manifest import Manifest

LOG_FATAL = 4
"""Log severity: its warnings go past ``logging`` to stderr, and errors are raised anyway."""

_DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}


def onnxruntime_module() -> Any:
    """ONNX Runtime, with its telemetry off.

    ``import windhover`` switches it off. Where somebody loaded the library before that,
    only later events can still be stopped.

    Raises:
        BackendError: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(
            f"onnxruntime can't be imported ({one_line(error)}); pip install onnxruntime"
        ) from error
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def tensor_specs(arguments: Sequence[Any]) -> list[TensorSpec]:
    """A session's inputs or outputs as the bundle's check takes them."""
    return [
        TensorSpec(
            a.name,
            tuple(size if isinstance(size, int) else None for size in a.shape),
            _DTYPES.get(a.type, a.type),
        )
        for a in arguments
    ]


def bind_outputs(
    session: Any, manifest: Manifest, outputs: Sequence[TensorSpec]
) -> tuple[Any, list[NDArray[np.generic]]]:
    """Arrays for a session's outputs, bound so that each run writes into them.

    On the CPU such an OrtValue is the NumPy array's own memory.

    Args:
        session: an open ONNX Runtime session.
        manifest: declares the outputs, whose order the arrays have.
        outputs: the session's own, already checked against the manifest.

    Returns:
        The session's IO binding and the arrays.
    """
    ort = onnxruntime_module()
    dtypes = {tensor.name: tensor.dtype for tensor in outputs}
    binding = session.io_binding()
    arrays: list[NDArray[np.generic]] = []
    for declared in manifest.head.outputs:
        array = np.empty(manifest.output_shape(declared), dtypes[declared.name])
        binding.bind_ortvalue_output(declared.name, ort.OrtValue.ortvalue_from_numpy(array))
        arrays.append(array)
    return binding, arrays


def one_line(error: Exception) -> str:
    """The first line of an error's text, or its type where it has none."""
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
