"""The compilers and headers needed to build a Python extension in C and C++.

A machine with gcc may still lack g++ (type supports are C++) and Python's headers.
On Debian and Ubuntu those are then unpacked into the cache from the distribution's
own packages, so that nothing is installed on the machine and no root is needed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from embedded.debian import unpack
from embedded.host import SetupError

_REMEDY = (
    "install a C++ compiler and Python's headers, on Debian and Ubuntu with "
    "'apt-get install g++ python3-dev'"
)


@dataclass(frozen=True, slots=True)
class Toolchain:
    """Commands to which sources and options are added.

    Attributes:
        c: compiles C.
        cxx: compiles C++.
        link: links a shared object that may hold C++.
        includes: folders of Python's headers.
    """

    c: tuple[str, ...]
    cxx: tuple[str, ...]
    link: tuple[str, ...]
    includes: tuple[Path, ...]

    @property
    def identity(self) -> bytes:
        """The compilers' versions, for a content hash."""
        versions = [
            subprocess.run([command[0], "--version"], capture_output=True, check=True).stdout
            for command in (self.c, self.cxx)
        ]
        return b"".join(versions)


def find_toolchain(cache: Path) -> Toolchain:
    """The machine's compilers and headers, completed with unpacked ones.

    Args:
        cache: folder for what has to be unpacked.

    Raises:
        SetupError: there is no C compiler, or the rest can't be had.
    """
    c = tuple(os.environ.get("CC", "gcc").split())
    if shutil.which(c[0]) is None:
        raise SetupError(
            f"the C compiler {c[0]} is missing: install it, on Debian and Ubuntu with "
            "'apt-get install gcc'"
        )
    link = (*c, "-shared")
    cxx = tuple(os.environ.get("CXX", "g++").split())
    python = Path(sysconfig.get_path("include"))
    has_cxx = shutil.which(cxx[0]) is not None
    has_headers = (python / "Python.h").is_file()
    if has_cxx and has_headers:
        return Toolchain(c, cxx, link, (python,))
    unpacked = cache / "toolchain"
    if not has_cxx:
        unpack(_cxx_packages(c), unpacked, _REMEDY)
        cxx = _unpacked_cxx(c, unpacked)
    if not has_headers:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        unpack([f"lib{version}-dev"], unpacked, _REMEDY)
        python = unpacked / "usr" / "include" / version
    # Debian's pyconfig.h includes one from a folder with the machine's name.
    return Toolchain(c, cxx, link, (python, unpacked / "usr" / "include"))


def _ask(c: tuple[str, ...], option: str) -> str:
    asked = subprocess.run([*c, option], capture_output=True, text=True, check=True)
    return asked.stdout.strip()


def _cxx_packages(c: tuple[str, ...]) -> list[str]:
    major = _ask(c, "-dumpversion").split(".")[0]
    machine = _ask(c, "-dumpmachine").replace("_", "-")
    # From GCC 13 on the compiler itself is in the package with the machine's name.
    compiler = f"g++-{major}" if int(major) < 13 else f"g++-{major}-{machine}"
    return [compiler, f"libstdc++-{major}-dev"]


def _unpacked_cxx(c: tuple[str, ...], root: Path) -> tuple[str, ...]:
    major, machine = _ask(c, "-dumpversion").split(".")[0], _ask(c, "-dumpmachine")
    usr = root / "usr"
    programs = [usr / folder / "gcc" / machine / major for folder in ("lib", "libexec")]
    headers = [
        usr / "include" / "c++" / major,
        usr / "include" / machine / "c++" / major,
        usr / "include" / "c++" / major / machine,
    ]
    options = [f"-B{folder}/" for folder in programs if folder.is_dir()]
    for folder in headers:
        options += ["-isystem", str(folder)] if folder.is_dir() else []
    return (*c, *options, "-nostdinc++", "-x", "c++")
