"""Finding and loading the QNN libraries, and the gate on their version."""

from __future__ import annotations

import ctypes as c
import os
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeVar

from windhover.errors import BackendError
from windhover.inference.qnn_api.errors import OTHER_CODES, QnnError
from windhover.inference.qnn_api.functions import CORE, SYSTEM, Functions
from windhover.inference.qnn_api.structs import Interface, SystemInterface, Version

PROVED_CORE = ((2, 40),)
"""Core API versions whose layouts and slots this binding was tested with."""

PROVED_SYSTEM = ((1, 15),)
"""The same for the system API."""

WHEEL = "onnxruntime-qnn==2.7.0"
"""What brings libraries of those versions."""

_Provided = TypeVar("_Provided", Interface, SystemInterface)
_INSTALL = f"pip install '{WHEEL}', or set WINDHOVER_QNN to the folder of a QNN SDK's libraries"


@dataclass(frozen=True)
class Libraries:
    """The loaded libraries. They are never unloaded: QNN keeps threads in them.

    Attributes:
        folder: that holds them.
        interface: the core interface, passed by value where QNN asks for it.
        core: functions of libQnnHtp.so.
        system: functions of libQnnSystem.so.
        build: QNN's own build name, such as ``v2.51.0...``.
        name_code: gives a status its name.
    """

    folder: Path
    interface: Interface
    core: Functions
    system: Functions
    build: str
    name_code: Callable[[int], str]

    @property
    def version(self) -> str:
        """QNN's release in short, such as ``2.51.0``."""
        return ".".join(self.build.lstrip("v").split(".")[:3])


def library_folder() -> Path:
    """Folder of the QNN libraries: ``$WINDHOVER_QNN``, else the wheel's.

    Raises:
        BackendError: there is none.
    """
    own = os.environ.get("WINDHOVER_QNN")
    if own:
        return Path(own)
    try:
        import onnxruntime_qnn
    except ImportError as error:
        raise BackendError(f"the QNN libraries are not installed; {_INSTALL}") from error
    return Path(onnxruntime_qnn.get_library_path()).parent


def search_paths(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Where a device's loader and its DSP look for QNN: what is set, then ``folder``.

    Args:
        environ: variables that may set them already.
        folder: of the QNN libraries.

    Returns:
        ``LD_LIBRARY_PATH`` for the CPU and ``ADSP_LIBRARY_PATH`` for the DSP.
    """
    # FastRPC separates with semicolons.
    variables = (("LD_LIBRARY_PATH", os.pathsep), ("ADSP_LIBRARY_PATH", ";"))
    found = {}
    for name, separator in variables:
        entries = [entry for entry in environ.get(name, "").split(separator) if entry]
        found[name] = separator.join(dict.fromkeys([*entries, str(folder)]))
    return found


def load_libraries() -> Libraries:
    """The QNN libraries of this machine, loaded once a process.

    Raises:
        BackendError: they are missing, can't be loaded, or are of a version
            that this binding was not proved with.
    """
    return _load(library_folder())


@cache
def _load(folder: Path) -> Libraries:
    core = open_htp(folder)
    interface = provider_of(core, "QnnInterface_getProviders", Interface)
    check_api_version("core", interface.core_version, PROVED_CORE, folder)
    system = open_library(folder, "libQnnSystem.so")
    services = provider_of(system, "QnnSystemInterface_getProviders", SystemInterface)
    check_api_version("system", services.version, PROVED_SYSTEM, folder)
    message = CORE["errorGetMessage"]
    ask = c.CFUNCTYPE(c.c_uint64, *message.arguments)(interface.table[message.slot])

    def name_code(status: int) -> str:
        text = c.c_char_p()
        if ask(status, c.byref(text)) == 0 and text.value:
            return text.value.decode(errors="replace").rstrip(".")
        return OTHER_CODES.get(status & 0xFFFF, "a status without a name")

    functions = Functions(interface.table, CORE, name_code)
    build = c.c_char_p()
    functions("backendGetBuildId", c.byref(build))
    return Libraries(
        folder,
        interface,
        functions,
        Functions(services.table, SYSTEM, name_code),
        (build.value or b"unknown").decode(errors="replace"),
        name_code,
    )


def check_api_version(
    api: str, found: Version, proved: tuple[tuple[int, int], ...], folder: Path
) -> None:
    """Let a version pass that was proved, and no other: layouts change between them.

    Raises:
        BackendError: the version is another.
    """
    if (found.major, found.minor) not in proved:
        known = ", ".join(f"{major}.{minor}" for major, minor in proved)
        raise BackendError(
            f"{folder} has QNN {api} API {found.major}.{found.minor} and the dlc backend was "
            f"proved with {known}; {_INSTALL}, or use backend qnn"
        )


def open_htp(folder: Path) -> c.CDLL:
    """Load libQnnHtp.so with what it looks for, whoever uses it afterwards.

    Raises:
        BackendError: it is missing or can't be loaded.
    """
    _prepare_device(folder)
    return open_library(folder, "libQnnHtp.so")


def _prepare_device(folder: Path) -> None:
    """Let FastRPC and libQnnHtp.so find their other halves in a folder of our own."""
    if platform.machine() != "aarch64":
        return
    # Read by FastRPC when it first opens the DSP.
    os.environ["ADSP_LIBRARY_PATH"] = search_paths(os.environ, folder)["ADSP_LIBRARY_PATH"]
    # libQnnHtp.so opens the compiler and the chip's stub by name, which finds them
    # once they are loaded; LD_LIBRARY_PATH can't change in a running process.
    for library in (folder / "libQnnHtpPrepare.so", *sorted(folder.glob("libQnnHtpV*Stub.so"))):
        with suppress(OSError), _preserved_stdout():
            c.CDLL(str(library))


def open_library(folder: Path, name: str) -> c.CDLL:
    """Load a library of QNN; what it prints meanwhile stays off stdout.

    Raises:
        BackendError: it is missing or can't be loaded.
    """
    path = folder / name
    if not path.is_file():
        raise BackendError(f"{path} is missing; {_INSTALL}")
    try:
        with _preserved_stdout():
            return c.CDLL(str(path))
    except OSError as error:
        raise BackendError(f"{path} can't be loaded ({error}); {_INSTALL}") from error


@contextmanager
def _preserved_stdout() -> Iterator[None]:
    """Drop what the compiler prints while it loads: stdout is the command's own."""
    sys.stdout.flush()
    libc = c.CDLL(None)
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        libc.fflush(None)
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def provider_of(library: c.CDLL, function: str, layout: type[_Provided]) -> _Provided:
    """The first interface that a library provides.

    Args:
        library: of QNN.
        function: of it, which lists its interfaces.
        layout: of an interface's struct.

    Raises:
        QnnError: it lists none.
    """
    providers = c.POINTER(c.POINTER(layout))()
    count = c.c_uint32()
    ask = getattr(library, function)
    ask.restype = c.c_uint64
    ask.argtypes = (c.c_void_p, c.c_void_p)
    status = ask(c.byref(providers), c.byref(count))
    if status or not count.value:
        raise QnnError(function, status, f"{count.value} providers")
    found: _Provided = providers[0].contents
    return found
