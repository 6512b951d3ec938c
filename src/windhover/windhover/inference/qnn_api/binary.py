"""Reading the description of a context binary before a driver loads it."""

from __future__ import annotations

import ctypes as c
from dataclasses import dataclass

from windhover.errors import BackendError
from windhover.inference.qnn_api.errors import explain_errors
from windhover.inference.qnn_api.library import Libraries
from windhover.inference.qnn_api.structs import BinaryInfo
from windhover.inference.qnn_api.tensors import GraphSpec, copy_graph

_VERSION = 3


@dataclass(frozen=True, slots=True)
class BinarySpec:
    """The description that a context binary carries.

    Attributes:
        soc_model: of the chip it was compiled for.
        build: the QNN build that compiled it.
        graph: its only graph.
    """

    soc_model: int
    build: str
    graph: GraphSpec


def read_binary(libraries: Libraries, data: bytes, label: str) -> BinarySpec:
    """Read a context binary's description.

    Args:
        libraries: to read it with.
        data: the binary.
        label: what to call it in an error.

    Raises:
        BackendError: it is no context binary, or not one with a single graph.
    """
    system, handle = libraries.system, c.c_void_p()
    remedy = "build it again, or fetch the bundle again"
    with explain_errors(f"{label} can't be read as a QNN context", remedy):
        system("systemContextCreate", c.byref(handle))
        try:
            found = c.POINTER(BinaryInfo)()
            system("systemContextGetMetadata", handle, data, len(data), c.byref(found))
            return _copy(found, label)
        finally:
            system("systemContextFree", handle)


def _copy(found: c._Pointer[BinaryInfo], label: str) -> BinarySpec:
    info = found.contents
    if info.version != _VERSION or info.graph_count != 1:
        raise BackendError(
            f"{label} has {info.graph_count} graphs in a description of version {info.version}, "
            f"where one in version {_VERSION} is read; build it again"
        )
    build = (info.build or b"unknown").decode(errors="replace")
    return BinarySpec(info.soc_model, build, copy_graph(info.graphs[0]))
