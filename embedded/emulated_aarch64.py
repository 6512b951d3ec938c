"""The QNN binding on 64-bit ARM under emulation, held against the same binding here.

    python -m embedded.emulated_aarch64 /work/arm64

qemu-user translates the ARM instructions and hands system calls to this machine's kernel: no
HTP, no FastRPC and no board stand behind it, and no time taken here is a latency. What is
compared: memory layouts, library versions, what libQnnSystem reads out of every compiled
context, and what it composes from every .dlc. docs/guides/deploy.md says how the root is made.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embedded.host import SetupError
from windhover.errors import BackendError
from windhover.inference.qnn_api import library, structs
from windhover.inference.qnn_api.binary import read_binary
from windhover.inference.qnn_api.context import Context
from windhover.inference.qnn_api.device import HtpDevice
from windhover.inference.qnn_api.functions import CORE, Functions
from windhover.inference.qnn_api.library import Libraries
from windhover.inference.qnn_api.log import QnnLog
from windhover.inference.qnn_api.tensors import GraphSpec
from windhover.inference.soc import DEFAULT_SOC, find_soc

REPOSITORY = Path(__file__).resolve().parents[1]
QEMU = "qemu-aarch64-static"
PACKAGES = "opt/windhover/python"
"""Where in the root the drone's Python packages are, as in docker/Dockerfile.qcs8550."""

# Writes graphs down and runs none: it needs no HTP, and composing with it calls libQnnSystem
# as composing with libQnnHtp.so does, the interface passed by value included.
_WRITER = "libQnnIr.so"
# On a machine whose cores are busy with other work the imports alone took four minutes.
_TIMEOUT_S = 1800

Facts = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Emulator:
    """What runs a Python of 64-bit ARM here.

    Attributes:
        qemu: qemu-user's program.
        root: a root file system of 64-bit ARM.
        python: the Python in it.
    """

    qemu: Path
    root: Path
    python: Path

    @classmethod
    def find(cls, root: Path) -> Emulator:
        """The emulator of a root.

        Raises:
            SetupError: qemu-user, the root, its Python or the packages are missing.
        """
        qemu = shutil.which(QEMU)
        if qemu is None:
            raise SetupError(
                f"{QEMU} is missing: install it with 'apt-get install qemu-user-static'"
            )
        pythons = sorted(root.glob("usr/bin/python3.[0-9]*[0-9]"))
        if not pythons:
            raise SetupError(f"{root} has no Python of 64-bit ARM: docs/guides/deploy.md makes it")
        if not (root / PACKAGES / "onnxruntime_qnn").is_dir():
            raise SetupError(
                f"{root / PACKAGES} lacks onnxruntime_qnn: docs/guides/deploy.md installs it"
            )
        return cls(Path(qemu), root, pythons[-1])

    def describe(self) -> Facts:
        """What :func:`describe` returns there.

        Raises:
            SetupError: it failed; with the last line that it wrote.
        """
        sources = (REPOSITORY, REPOSITORY / "src" / "windhover", self.root / PACKAGES)
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, sources)),
            # qemu-user maps each thread's stack: one thread of OpenBLAS is enough.
            "OPENBLAS_NUM_THREADS": "1",
        }
        module = "embedded.emulated_aarch64"
        done = subprocess.run(
            [self.qemu, "-L", self.root, self.python, "-m", module, "--describe"],
            capture_output=True, text=True, timeout=_TIMEOUT_S, check=False,
            cwd=REPOSITORY, env=environment,
        )  # fmt: skip
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
            raise SetupError(f"{self.python} under {QEMU} failed: {last}")
        facts: Facts = json.loads(done.stdout)
        return facts


def describe() -> Facts:
    """What the binding finds on this processor, as JSON can hold it.

    Raises:
        BackendError: the QNN libraries or a model can't be read.
    """
    libraries = library.load_libraries()
    models = REPOSITORY / "models"
    contexts = sorted(models.rglob("qcs8550.bin"))
    graphs = sorted(models.rglob("int8.dlc"))
    with _Composer(libraries) as composer:
        return {
            "machine": platform.machine(),
            "python": platform.python_version(),
            "layouts": _layouts(),
            "libraries": _versions(libraries),
            "contexts": {str(p.relative_to(models)): _context(libraries, p) for p in contexts},
            "graphs": {
                str(p.relative_to(models)): _graph(Context.describe(composer, p)) for p in graphs
            },
            "htp": _htp(libraries),
        }


def differences(here: Any, there: Any, where: str = "") -> Iterator[str]:
    """The places where two sets of facts differ, with both values."""
    if isinstance(here, dict) and isinstance(there, dict):
        for key in sorted({*here, *there}):
            yield from differences(here.get(key), there.get(key), f"{where}/{key}")
    elif here != there:
        yield f"{where}: {here!r} here, {there!r} under emulation"


def compare(here: Facts, there: Facts) -> list[str]:
    """What differs, beside what belongs to a processor: its name, its Python and its HTP."""
    own = ("machine", "python", "htp")
    mine, other = ({k: v for k, v in f.items() if k not in own} for f in (here, there))
    return list(differences(mine, other))


class _Composer(HtpDevice):
    """Composes graphs with libQnnIr.so, which needs no device."""

    def __init__(self, libraries: Libraries) -> None:
        opened = library.open_library(libraries.folder, _WRITER)
        interface = library.provider_of(opened, "QnnInterface_getProviders", structs.Interface)
        library.check_api_version(
            "core", interface.core_version, library.PROVED_CORE, libraries.folder
        )
        # It has no devices, so it lacks their functions.
        offered = {name: known for name, known in CORE.items() if interface.table[known.slot]}
        core = Functions(interface.table, offered, libraries.name_code)
        self.libraries = dataclasses.replace(libraries, interface=interface, core=core)
        self.soc = find_soc(DEFAULT_SOC)
        self.backend = ctypes.c_void_p()
        self.handle = ctypes.c_void_p()
        self.log = QnnLog(core, "logCreate", "logFree")
        self.call("backendCreate", self.log.handle, None, ctypes.byref(self.backend))

    def __enter__(self) -> _Composer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _layouts() -> Facts:
    """Size, alignment and fields (offset, size) of every structure of the binding."""
    return {
        name: {
            "size": ctypes.sizeof(layout),
            "alignment": ctypes.alignment(layout),
            "fields": {
                field[0]: [getattr(layout, field[0]).offset, getattr(layout, field[0]).size]
                for field in layout._fields_
            },
        }
        for name, layout in vars(structs).items()
        if isinstance(layout, type) and issubclass(layout, ctypes.Structure | ctypes.Union)
    }


def _versions(libraries: Libraries) -> Facts:
    opened = library.open_library(libraries.folder, "libQnnSystem.so")
    system = library.provider_of(opened, "QnnSystemInterface_getProviders", structs.SystemInterface)
    numbers = {
        "core": libraries.interface.core_version,
        "backend": libraries.interface.backend_version,
        "system": system.version,
    }
    return {
        "build": libraries.build,
        **{name: [v.major, v.minor, v.patch] for name, v in numbers.items()},
    }


def _context(libraries: Libraries, path: Path) -> Facts:
    found = read_binary(libraries, path.read_bytes(), str(path))
    return {"soc_model": found.soc_model, "build": found.build, **_graph(found.graph)}


def _graph(graph: GraphSpec) -> Facts:
    """A graph's name and tensors; without their bytes, which hold addresses."""
    tensors = {
        kind: [
            [t.name, list(t.shape), t.dtype, t.scale, t.zero_point] for t in getattr(graph, kind)
        ]
        for kind in ("inputs", "outputs")
    }
    return {"graph": graph.name, **tensors}


def _htp(libraries: Libraries) -> str:
    """Whether an HTP opens; under emulation there is none, and this is how that reads."""
    try:
        HtpDevice(libraries, find_soc(DEFAULT_SOC)).close()
    except BackendError as error:
        return str(error)
    return "opens"


def _say(here: Facts, there: Facts) -> None:
    """Print what was compared, on one line each."""
    print(
        f"emulation of {there['machine']} (Python {there['python']}) on {here['machine']} "
        f"(Python {here['python']}), QNN {there['libraries']['build']}"
    )
    print(f"{len(there['layouts'])} layouts: {', '.join(there['layouts'])}")
    for kind in ("contexts", "graphs"):
        for path, found in there[kind].items():
            counts = f"{len(found['inputs'])} inputs, {len(found['outputs'])} outputs"
            print(f"{kind[:-1]} {path}: {found['graph']}, {counts}")
    print(f"HTP, here: {here['htp']}; under emulation: {there['htp']}")


def main(arguments: list[str] | None = None) -> int:
    """Compare; 0 where nothing differs, 1 where something does, 2 where it can't be run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("root", type=Path, nargs="?", help="root file system of 64-bit ARM")
    parser.add_argument("--describe", action="store_true", help="print this processor's facts")
    options = parser.parse_args(arguments)
    try:
        if options.describe:
            print(json.dumps(describe()))
            return 0
        if options.root is None:
            parser.error("name the root")
        emulator = Emulator.find(options.root)
        here, there = describe(), emulator.describe()
    except (SetupError, BackendError) as error:
        print(f"emulated_aarch64: {error}", file=sys.stderr)
        return 2
    _say(here, there)
    found = compare(here, there)
    print("\n".join(found) or "nothing differs")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
