"""The QNN functions that are called here: their slots and their arguments.

A slot is a function's place in the interface's table. Slots are stable within
the versions that :mod:`.library` accepts.
"""

from __future__ import annotations

import ctypes as c
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from windhover.inference.qnn_api.errors import QnnError
from windhover.inference.qnn_api.structs import Interface

HANDLE = POINTER = c.c_void_p
STATUS = c.c_uint64


class Prototype(NamedTuple):
    """Where a function stands and what it takes."""

    slot: int
    arguments: tuple[Any, ...]


CORE: Mapping[str, Prototype] = {
    "backendCreate": Prototype(1, (HANDLE, POINTER, POINTER)),
    "backendGetBuildId": Prototype(4, (POINTER,)),
    "backendFree": Prototype(8, (HANDLE,)),
    "contextCreate": Prototype(9, (HANDLE, HANDLE, POINTER, POINTER)),
    "contextGetBinarySize": Prototype(11, (HANDLE, POINTER)),
    "contextGetBinary": Prototype(12, (HANDLE, POINTER, c.c_uint64, POINTER)),
    "contextCreateFromBinary": Prototype(
        13, (HANDLE, HANDLE, POINTER, c.c_char_p, c.c_uint64, POINTER, HANDLE)
    ),
    "contextFree": Prototype(14, (HANDLE, HANDLE)),
    "graphSetConfig": Prototype(17, (HANDLE, POINTER)),
    "graphFinalize": Prototype(19, (HANDLE, HANDLE, HANDLE)),
    "graphRetrieve": Prototype(20, (HANDLE, c.c_char_p, POINTER)),
    "graphExecute": Prototype(
        21, (HANDLE, POINTER, c.c_uint32, POINTER, c.c_uint32, HANDLE, HANDLE)
    ),
    "logCreate": Prototype(25, (POINTER, c.c_uint32, POINTER)),
    "logFree": Prototype(27, (HANDLE,)),
    "profileCreate": Prototype(28, (HANDLE, c.c_uint32, POINTER)),
    "profileGetEvents": Prototype(30, (HANDLE, POINTER, POINTER)),
    "profileGetSubEvents": Prototype(31, (c.c_uint64, POINTER, POINTER)),
    "profileGetEventData": Prototype(32, (c.c_uint64, POINTER)),
    "profileFree": Prototype(34, (HANDLE,)),
    "memRegister": Prototype(35, (HANDLE, POINTER, c.c_uint32, POINTER)),
    "memDeRegister": Prototype(36, (POINTER, c.c_uint32)),
    "deviceGetInfrastructure": Prototype(39, (POINTER,)),
    "deviceCreate": Prototype(40, (HANDLE, POINTER, POINTER)),
    "deviceFree": Prototype(43, (HANDLE,)),
    "errorGetMessage": Prototype(48, (c.c_uint64, POINTER)),
}

SYSTEM: Mapping[str, Prototype] = {
    "systemContextCreate": Prototype(0, (POINTER,)),
    "systemContextGetMetadata": Prototype(2, (HANDLE, c.c_char_p, c.c_uint64, POINTER)),
    "systemContextFree": Prototype(3, (HANDLE,)),
    "systemLogCreate": Prototype(5, (POINTER, c.c_uint32, POINTER)),
    "systemLogFree": Prototype(7, (HANDLE,)),
    "systemDlcCreateFromFile": Prototype(8, (HANDLE, c.c_char_p, POINTER)),
    "systemDlcComposeGraphs": Prototype(
        10,
        # The interface goes by value: all of its 640 bytes.
        (HANDLE, POINTER, c.c_uint32, HANDLE, HANDLE, Interface, c.c_uint32, POINTER, POINTER),
    ),
    "systemDlcFree": Prototype(12, (HANDLE,)),
}


class Functions:
    """Calls functions by name and raises where one fails.

    Args:
        table: function pointers, by slot.
        prototypes: of the functions to offer.
        name_code: gives a status its name.

    Raises:
        QnnError: the library lacks one of them.
    """

    def __init__(
        self,
        table: Any,
        prototypes: Mapping[str, Prototype],
        name_code: Callable[[int], str],
    ) -> None:
        missing = [name for name, known in prototypes.items() if not table[known.slot]]
        if missing:
            raise QnnError("getProviders", 0, f"the library lacks {', '.join(missing)}")
        self.name_code = name_code
        self._functions = {
            name: c.CFUNCTYPE(STATUS, *known.arguments)(table[known.slot])
            for name, known in prototypes.items()
        }

    def __call__(self, name: str, *arguments: Any, logged: Callable[[], str] | None = None) -> None:
        """Call a function; ``logged`` gives what QNN logged meanwhile, for the error.

        Raises:
            QnnError: it did not return success.
        """
        status = self._functions[name](*arguments)
        if status:
            raise QnnError(name, status, self.name_code(status), logged() if logged else "")
