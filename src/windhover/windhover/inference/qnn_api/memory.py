"""Buffers that the CPU and the HTP share, so that a run copies no tensor.

They come from FastRPC's allocator in libcdsprpc.so, which a Qualcomm device's system
brings, and are registered with a context, whose tensors then name a handle in place of an
address. Not run on a device yet.
"""

from __future__ import annotations

import ctypes as c
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windhover.errors import BackendError
from windhover.inference.qnn_api.device import HtpDevice
from windhover.inference.qnn_api.structs import MemDescriptor
from windhover.inference.qnn_api.tensors import TensorInfo, qnn_data_type

LIBRARY = "libcdsprpc.so"

_HEAP_SYSTEM, _DEFAULT_FLAGS = 25, 1
_TYPE_ION = 1


class RpcMemory:
    """FastRPC's allocator.

    Raises:
        BackendError: this system has none.
    """

    def __init__(self, name: str = LIBRARY) -> None:
        try:
            library = c.CDLL(name)
            self._alloc, self._free = library.rpcmem_alloc, library.rpcmem_free
            self._to_fd = library.rpcmem_to_fd
        except (OSError, AttributeError) as error:
            raise BackendError(f"there is no shared memory with the HTP here ({error})") from error
        self._alloc.restype, self._alloc.argtypes = c.c_void_p, (c.c_int, c.c_uint32, c.c_int)
        self._free.restype, self._free.argtypes = None, (c.c_void_p,)
        self._to_fd.restype, self._to_fd.argtypes = c.c_int, (c.c_void_p,)

    def allocate(self, size: int) -> tuple[int, int]:
        """Address and file descriptor of so many bytes.

        Raises:
            BackendError: there is not that much.
        """
        address = self._alloc(_HEAP_SYSTEM, _DEFAULT_FLAGS, size)
        if not address:
            raise BackendError(f"FastRPC gives no {size} bytes of shared memory")
        descriptor = self._to_fd(address)
        if descriptor < 0:
            self._free(address)
            raise BackendError("FastRPC gives no file for its shared memory")
        return address, descriptor

    def free(self, address: int) -> None:
        """Give an allocation back."""
        self._free(address)


def shares_memory() -> bool:
    """Whether this system has memory that the HTP shares."""
    try:
        RpcMemory()
    except BackendError:
        return False
    return True


class SharedBuffers:
    """An array in shared memory for each of some tensors, registered with a context.

    Close it before the context, and use no array of it after that.

    Attributes:
        arrays: NumPy arrays of the tensors' shapes and dtypes.
        handles: what QNN calls them, to be put into tensors.
    """

    def __init__(
        self,
        device: HtpDevice,
        context: c.c_void_p,
        infos: Sequence[TensorInfo],
        memory: RpcMemory | None = None,
    ) -> None:
        """Allocate and register.

        Args:
            device: of the context.
            context: QNN's handle of it.
            infos: the tensors.
            memory: allocator; this system's by default.

        Raises:
            BackendError: there is no shared memory here, or QNN does not take it.
        """
        self._device = device
        self._memory = memory or RpcMemory()
        self.arrays: list[NDArray[Any]] = []
        self.handles: list[c.c_void_p] = []
        self._undo: list[Callable[[], None]] = []
        try:
            for info in infos:
                self._add(context, info)
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        """Deregister and free, last first; calling it twice is fine."""
        while self._undo:
            self._undo.pop()()

    def _add(self, context: c.c_void_p, info: TensorInfo) -> None:
        dtype = np.dtype(info.dtype)
        size = int(np.prod(info.shape)) * dtype.itemsize
        address, descriptor = self._memory.allocate(size)
        self._undo.append(lambda: self._memory.free(address))
        sizes = (c.c_uint32 * len(info.shape))(*info.shape)
        request = MemDescriptor(rank=len(info.shape), dimensions=sizes)
        request.data_type = qnn_data_type(info)
        request.memory_type = _TYPE_ION
        request.descriptor = descriptor
        handle = c.c_void_p()
        self._device.call("memRegister", context, c.byref(request), 1, c.byref(handle))
        core = self._device.libraries.core
        self._undo.append(lambda: core("memDeRegister", c.byref(handle), 1))
        bytes_ = (c.c_uint8 * size).from_address(address)
        self.arrays.append(np.ctypeslib.as_array(bytes_).view(dtype).reshape(info.shape))
        self.handles.append(handle)
