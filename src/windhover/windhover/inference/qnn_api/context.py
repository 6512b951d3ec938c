"""A compiled graph: composed from a .dlc and finalised, or loaded as it was saved."""

from __future__ import annotations

import ctypes as c
import re
import threading
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windhover.errors import BackendError
from windhover.inference.qnn_api.binary import read_binary
from windhover.inference.qnn_api.device import HtpDevice
from windhover.inference.qnn_api.errors import explain_errors
from windhover.inference.qnn_api.log import QnnLog
from windhover.inference.qnn_api.memory import SharedBuffers
from windhover.inference.qnn_api.structs import ConfigList, GraphInfo, HtpGraphConfig
from windhover.inference.qnn_api.tensors import GraphSpec, TensorArray, copy_graph
from windhover.inference.soc import soc_name

FINALIZE_EFFORT = 3
"""Optimisation that the compiler makes; 3 is the most and takes the chip into account."""

PROVED_DLC = ("2.3",)
"""Versions of the .dlc's form that this binding was tested with."""

_DLC_VERSION = re.compile(r"dlc\.metadata(?P<version>\d+\.\d+)\.\d+")
_OPTION_OPTIMIZATION, _OPTION_VTCM_MB = 1, 3
_TYPE_FINALIZE_FLAG = 3
_GRAPH_INFO_VERSION = 1
_REBUILD = "build it again from int8.onnx, or fetch the bundle again"
_free = c.CDLL(None).free
_free.argtypes = (c.c_void_p,)


class Context:
    """One graph, compiled for one device and ready to run.

    One thread at a time: a second that runs it meanwhile is refused. Close it
    before its device.

    Attributes:
        graph: its name, inputs and outputs.
    """

    def __init__(self, device: HtpDevice, handle: c.c_void_p, graph: GraphSpec) -> None:
        self.graph = graph
        self._device = device
        self._handle = handle
        self._inputs = TensorArray(graph.inputs)
        self._outputs = TensorArray(graph.outputs)
        self._running = threading.Lock()
        self._shared_input: NDArray[Any] | None = None
        self._graph_handle = c.c_void_p()
        device.call("graphRetrieve", handle, graph.name.encode(), c.byref(self._graph_handle))

    @classmethod
    def compose(cls, device: HtpDevice, path: Path) -> Context:
        """Build the graph of a .dlc on a device and compile it, which takes seconds.

        Raises:
            BackendError: the file is no .dlc with one graph, or the device
                can't run it.
        """
        handle = c.c_void_p()
        with explain_errors(f"{path} can't be composed for {device.soc}", _REBUILD):
            device.call("contextCreate", device.backend, device.handle, None, c.byref(handle))
            try:
                return cls._finalised(device, handle, path)
            except Exception:
                device.libraries.core("contextFree", handle, None)
                raise

    @classmethod
    def describe(cls, device: HtpDevice, path: Path) -> GraphSpec:
        """What the graph of a .dlc is, without compiling it.

        Raises:
            BackendError: the file is no .dlc with one graph, or has an op that
                the device lacks.
        """
        handle = c.c_void_p()
        with explain_errors(f"{path} can't be composed for {device.soc}", _REBUILD):
            device.call("contextCreate", device.backend, device.handle, None, c.byref(handle))
            try:
                with _open_dlc(device, path) as (dlc, log):
                    return _compose(device, handle, dlc, path, log)
            finally:
                device.libraries.core("contextFree", handle, None)

    @classmethod
    def load(cls, device: HtpDevice, data: bytes, label: str) -> Context:
        """Load a context binary.

        Args:
            device: to run it on.
            data: what :meth:`binary` gave.
            label: what to call it in an error.

        Raises:
            BackendError: it is none, or was compiled for another chip.
        """
        spec = read_binary(device.libraries, data, label)
        if spec.soc_model != device.soc.model:
            raise BackendError(
                f"{label} is compiled for {soc_name(spec.soc_model)} and this is {device.soc}; "
                "build it for this chip"
            )
        handle = c.c_void_p()
        with explain_errors(
            f"{label} can't be loaded with QNN {device.libraries.version}", _REBUILD
        ):
            device.call(
                "contextCreateFromBinary",
                device.backend,
                device.handle,
                None,
                data,
                len(data),
                c.byref(handle),
                None,
            )
            try:
                return cls(device, handle, spec.graph)
            except Exception:
                device.libraries.core("contextFree", handle, None)
                raise

    def binary(self) -> bytes:
        """The compiled graph, to be kept and loaded.

        Raises:
            QnnError: QNN can't save it.
        """
        size, written = c.c_uint64(), c.c_uint64()
        self._device.call("contextGetBinarySize", self._handle, c.byref(size))
        data = c.create_string_buffer(size.value)
        self._device.call("contextGetBinary", self._handle, data, size, c.byref(written))
        return data.raw[: written.value]

    def bind_outputs(self, arrays: Sequence[NDArray[np.generic]]) -> None:
        """Let every run write into these arrays, given in the graph's order.

        Raises:
            BackendError: one does not fit its output.
        """
        for index, array in enumerate(arrays):
            self._outputs.point(index, array)

    def share(self) -> tuple[SharedBuffers, list[NDArray[Any]]]:
        """Let every run read and write memory that is shared with the HTP.

        Returns:
            The buffers, to be closed before the context, whose first array is the input;
            and the output arrays in the graph's order.

        Raises:
            BackendError: there is no shared memory here, or QNN does not take it.
        """
        inputs = len(self.graph.inputs)
        shared = SharedBuffers(
            self._device, self._handle, (*self.graph.inputs, *self.graph.outputs)
        )
        for index, handle in enumerate(shared.handles):
            if index < inputs:
                self._inputs.share(index, handle)
            else:
                self._outputs.share(index - inputs, handle)
        self._shared_input = shared.arrays[0]
        return shared, shared.arrays[inputs:]

    def execute(self, image: NDArray[np.generic], profile: c.c_void_p | None = None) -> None:
        """Run the graph on an array, into the bound outputs.

        Args:
            image: the graph's only input; read in place, or copied into the memory
                that is shared with the HTP.
            profile: a profile handle that takes the events of this run.

        Raises:
            BackendError: the array does not fit, or another thread is running it.
            QnnError: the run failed.
        """
        if not self._running.acquire(blocking=False):
            raise BackendError(
                f"graph {self.graph.name} is run by two threads at once; give each its own backend"
            )
        try:
            if self._shared_input is None:
                self._inputs.point(0, image)
            else:
                np.copyto(self._shared_input, image, casting="no")
            self._device.call(
                "graphExecute",
                self._graph_handle,
                self._inputs.structs,
                len(self._inputs.structs),
                self._outputs.structs,
                len(self._outputs.structs),
                profile,
                None,
            )
        finally:
            self._running.release()

    def close(self) -> None:
        """Free the graph; calling it twice is fine."""
        if self._handle:
            self._device.libraries.core("contextFree", self._handle, None)
            self._handle = c.c_void_p()

    @classmethod
    def _finalised(cls, device: HtpDevice, handle: c.c_void_p, path: Path) -> Context:
        # The .dlc's weights are read until the graph is compiled.
        with _open_dlc(device, path) as (dlc, log):
            context = cls(device, handle, _compose(device, handle, dlc, path, log))
            context._finalise()
            return context

    def _finalise(self) -> None:
        effort = HtpGraphConfig(option=_OPTION_OPTIMIZATION)
        effort.value.optimization.type = _TYPE_FINALIZE_FLAG
        effort.value.optimization.value = FINALIZE_EFFORT
        vtcm = HtpGraphConfig(option=_OPTION_VTCM_MB)
        vtcm.value.vtcm_mb = self._device.soc.vtcm_mb
        configs = ConfigList(effort, vtcm)
        self._device.call("graphSetConfig", self._graph_handle, configs.array)
        self._device.call("graphFinalize", self._graph_handle, None, None)


@contextmanager
def _open_dlc(device: HtpDevice, path: Path) -> Iterator[tuple[c.c_void_p, QnnLog]]:
    _check_dlc(path)
    system = device.libraries.system
    log = QnnLog(system, "systemLogCreate", "systemLogFree")
    dlc = c.c_void_p()
    try:
        name = str(path).encode()
        system("systemDlcCreateFromFile", log.handle, name, c.byref(dlc), logged=log.text)
        yield dlc, log
    finally:
        if dlc:
            system("systemDlcFree", dlc)
        log.close()


def _check_dlc(path: Path) -> None:
    """Refuse what QNN would call a lack of memory, or read as if it had QNN's own format."""
    # A .dlc is a zip archive with the version of its form in a member's name.
    if not zipfile.is_zipfile(path):
        raise BackendError(f"{path} is missing, cut short or no .dlc; {_REBUILD}")
    with zipfile.ZipFile(path) as archive:
        found = [_DLC_VERSION.fullmatch(name) for name in archive.namelist()]
    versions = [match["version"] for match in found if match]
    if not versions or any(version not in PROVED_DLC for version in versions):
        raise BackendError(
            f"{path} is a .dlc of version {', '.join(versions) or 'unknown'} and the dlc backend "
            f"was proved with {', '.join(PROVED_DLC)}; {_REBUILD}"
        )


def _compose(
    device: HtpDevice, context: c.c_void_p, dlc: c.c_void_p, path: Path, log: QnnLog
) -> GraphSpec:
    """Make the graphs of an open .dlc in a context; there must be one."""
    graphs, count = c.POINTER(GraphInfo)(), c.c_uint32()
    device.log.clear()
    device.libraries.system(
        "systemDlcComposeGraphs",
        dlc,
        None,
        0,
        device.backend,
        context,
        device.libraries.interface,
        _GRAPH_INFO_VERSION,
        c.byref(graphs),
        c.byref(count),
        logged=lambda: " ".join((log.text(), device.log.text())).strip(),
    )
    try:
        if count.value != 1:
            raise BackendError(f"{path} holds {count.value} graphs where one is run; {_REBUILD}")
        return copy_graph(graphs[0])
    finally:
        # The caller's to free, by the API's contract.
        for graph in graphs[: count.value]:
            for part in (graph.name, graph.inputs, graph.outputs):
                _free(c.cast(part, c.c_void_p))
        _free(c.cast(graphs, c.c_void_p))
