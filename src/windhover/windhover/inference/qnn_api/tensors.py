"""A graph's inputs and outputs: what they are, and pointing QNN at NumPy arrays."""

from __future__ import annotations

import ctypes as c
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windhover.errors import BackendError
from windhover.inference.qnn_api.structs import GraphInfo, Tensor

# Qnn_DataType_t, those that a detector's graph may have.
_DTYPES = {0x0108: "uint8", 0x0408: "uint8", 0x0232: "float32", 0x0116: "uint16", 0x0416: "uint16"}
_SCALE_OFFSET = 0
_MEMORY_RAW, _MEMORY_HANDLE = 0, 1


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One input or output of a graph.

    Attributes:
        name: as in the .dlc.
        shape: fixed sizes.
        dtype: NumPy name, or QNN's number of a type that is not handled here.
        scale: ``real = (q - zero_point) * scale``; ``None`` where not quantised so.
        zero_point: see ``scale``.
        layout: the tensor's bytes as QNN gave them, without addresses that outlive it.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None
    layout: bytes


@dataclass(frozen=True, slots=True)
class GraphSpec:
    """A graph's name and tensors, copied out of QNN's memory."""

    name: str
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]


def copy_graph(info: GraphInfo) -> GraphSpec:
    """Read QNN's description of a graph."""
    return GraphSpec(
        c.string_at(info.name).decode(),
        tuple(_copy_tensor(info.inputs[i]) for i in range(info.input_count)),
        tuple(_copy_tensor(info.outputs[i]) for i in range(info.output_count)),
    )


def _copy_tensor(tensor: Tensor) -> TensorInfo:
    quantised = tensor.quantize.definition == 1 and tensor.quantize.encoding == _SCALE_OFFSET
    return TensorInfo(
        (tensor.name or b"").decode(),
        tuple(tensor.dimensions[: tensor.rank]),
        _DTYPES.get(tensor.data_type, f"QNN type {tensor.data_type:#06x}"),
        float(tensor.quantize.scale) if quantised else None,
        -int(tensor.quantize.offset) if quantised else None,
        bytes(tensor),
    )


def qnn_data_type(info: TensorInfo) -> int:
    """QNN's number of a tensor's type."""
    return int(Tensor.from_buffer_copy(info.layout).data_type)


class TensorArray:
    """Tensors as QNN's execute takes them, over memory that is ours.

    Args:
        infos: what they are.
    """

    def __init__(self, infos: Sequence[TensorInfo]) -> None:
        self.infos = tuple(infos)
        self.structs: Any = (Tensor * len(infos))()
        self._names = [info.name.encode() for info in infos]
        self._sizes = [(c.c_uint32 * len(info.shape))(*info.shape) for info in infos]
        self._arrays: list[NDArray[np.generic] | None] = [None] * len(infos)
        for i, info in enumerate(infos):
            struct = self.structs[i]
            c.memmove(c.byref(struct), info.layout, c.sizeof(Tensor))
            struct.name = self._names[i]
            struct.dimensions = self._sizes[i]
            struct.dynamic_dimensions = None
            struct.memory_type = _MEMORY_RAW

    def point(self, index: int, array: NDArray[np.generic]) -> None:
        """Let a tensor be an array's memory, with no copy; the array is kept.

        Raises:
            BackendError: its dtype, shape or layout is not the tensor's.
        """
        info = self.infos[index]
        if array.dtype != info.dtype or array.shape != info.shape:
            raise BackendError(
                f"tensor {info.name} takes {info.dtype} {info.shape}, "
                f"not {array.dtype} {array.shape}"
            )
        if not array.flags.c_contiguous:
            raise BackendError(f"tensor {info.name} needs a contiguous array; copy it first")
        struct = self.structs[index]
        struct.memory_type = _MEMORY_RAW
        struct.data = array.ctypes.data
        struct.data_size = array.nbytes
        self._arrays[index] = array

    def share(self, index: int, handle: c.c_void_p) -> None:
        """Let a tensor be memory that is registered with the context, by its handle."""
        struct = self.structs[index]
        struct.memory_type = _MEMORY_HANDLE
        # A handle stands where a buffer's address would.
        struct.data = handle
        struct.data_size = 0
        self._arrays[index] = None
