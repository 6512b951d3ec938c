"""Compiles and links the generated sources: five libraries, three extensions."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from embedded.generate import TYPE_SUPPORTS, Generated
from embedded.host import SetupError
from embedded.progress import Progress
from embedded.toolchain import Toolchain


@dataclass(frozen=True, slots=True)
class Target:
    """A shared object to build.

    Attributes:
        name: file name.
        sources: C and C++ files.
        libraries: names for ``-l`` of what it links, besides its dependencies' twins.
    """

    name: str
    sources: tuple[Path, ...]
    libraries: tuple[str, ...]


def library_targets(made: Generated) -> list[Target]:
    """The shared libraries of a message package, each after those that it links."""
    name = made.package.name
    own = f"{name}__rosidl_generator_c"

    def twins(kind: str) -> tuple[str, ...]:
        return tuple(f"{dependency}__{kind}" for dependency in made.interfaces)

    def target(kind: str, pattern: str, *links: str) -> Target:
        sources = tuple(sorted(made.folder(kind).glob(pattern)))
        return Target(f"lib{name}__{kind}.so", sources, (*links, *twins(kind)))

    structs = (own, *twins("rosidl_generator_c"), "rosidl_runtime_c", "rcutils")
    return [
        target("rosidl_generator_c", "msg/detail/*.c", "rosidl_runtime_c", "rcutils"),
        target(
            "rosidl_typesupport_fastrtps_c",
            "msg/detail/*.cpp",
            *structs,
            "rosidl_typesupport_fastrtps_c",
            "rosidl_typesupport_fastrtps_cpp",
            "rmw",
            "fastcdr",
        ),
        target(
            "rosidl_typesupport_introspection_c",
            "msg/detail/*.c",
            *structs,
            "rosidl_typesupport_introspection_c",
        ),
        target("rosidl_typesupport_c", "msg/*.cpp", *structs, "rosidl_typesupport_c"),
        target("rosidl_generator_py", "msg/*.c", f"{name}__rosidl_typesupport_c", *structs),
    ]


def extension_targets(made: Generated) -> list[Target]:
    """The Python extension modules, one a type support."""
    name = made.package.name
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    return [
        Target(
            f"{name}_s__{kind}{suffix}",
            (made.folder("rosidl_generator_py") / f"_{name}_s.ep.{kind}.c",),
            (
                f"{name}__rosidl_generator_py",
                f"{name}__{kind}",
                f"{name}__rosidl_typesupport_c",
                f"{name}__rosidl_generator_c",
                "rosidl_typesupport_c",
                "rosidl_runtime_c",
                "rcutils",
            ),
        )
        for kind in ("rosidl_typesupport_c", *TYPE_SUPPORTS)
    ]


class Builder:
    """Builds the targets of one package into ``libraries`` and ``extensions``."""

    def __init__(self, made: Generated, prefix: Path, site: Path, tools: Toolchain) -> None:
        self._made = made
        self._tools = tools
        self._prefix = prefix
        self._site = site
        self._objects = made.root / "objects"
        self.libraries = made.root / "lib"
        self.extensions = made.root / "extensions"

    def build(self, progress: Progress) -> None:
        """Compile every source, then link every target.

        Args:
            progress: called with the steps done and the steps in all.

        Raises:
            SetupError: the compiler or the linker failed.
        """
        libraries = library_targets(self._made)
        extensions = extension_targets(self._made)
        targets = [*libraries, *extensions]
        sources = [source for target in targets for source in target.sources]
        total = len(sources) + len(targets)
        done = 0
        for folder in (self._objects, self.libraries, self.extensions):
            folder.mkdir(parents=True)
        includes = self._includes()
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            for _ in pool.map(lambda source: self._compile(source, includes), sources):
                done += 1
                progress(done, total)
        for target in targets:
            folder, rpath = (
                (self.libraries, "$ORIGIN")
                if target in libraries
                else (self.extensions, self._rpath())
            )
            self._link(target, folder, rpath)
            done += 1
            progress(done, total)

    def _includes(self) -> list[str]:
        import numpy as np

        include = self._prefix / "include"
        folders = [
            *sorted(path for path in self._made.root.glob("rosidl_*") if path.is_dir()),
            include,
            # Jazzy nests: include/<package>/<package>/header.h
            *sorted(path for path in include.iterdir() if (path / path.name).is_dir()),
            *self._tools.includes,
            Path(np.get_include()),
        ]
        return [f"-I{folder}" for folder in folders]

    def _object(self, source: Path) -> Path:
        flat = source.relative_to(self._made.root).as_posix().replace("/", "+")
        return self._objects / f"{flat}.o"

    def _compile(self, source: Path, includes: list[str]) -> None:
        language = (
            [*self._tools.cxx, "-std=c++17"]
            if source.suffix == ".cpp"
            else [*self._tools.c, "-std=gnu11"]
        )
        _run([*language, "-O2", "-fPIC", *includes, "-c", source, "-o", self._object(source)])

    def _rpath(self) -> str:
        # From site-packages/<package>/ to the prefix's lib/, wherever the prefix is.
        inside = self._site / self._made.package.name
        return f"$ORIGIN/{os.path.relpath(self._prefix / 'lib', inside)}"

    def _link(self, target: Target, folder: Path, rpath: str) -> None:
        installed = self._prefix / "lib"
        bundled = sorted(self._site.glob("ros_*.libs"))
        _run(
            [
                *self._tools.link,
                "-Wl,--as-needed",
                f"-Wl,-soname,{target.name}",
                f"-Wl,-rpath,{rpath}",
                *(f"-Wl,-rpath-link,{path}" for path in (self.libraries, installed, *bundled)),
                f"-L{self.libraries}",
                f"-L{installed}",
                *(self._object(source) for source in target.sources),
                *(f"-l{library}" for library in target.libraries),
                # By its file: the link that -lstdc++ looks for comes with g++ only.
                "-l:libstdc++.so.6",
                "-o",
                folder / target.name,
            ]
        )


def _run(command: list[str | Path]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        errors = [line for line in result.stderr.splitlines() if "error" in line]
        what = (errors or result.stderr.splitlines() or ["no message"])[0]
        raise SetupError(
            f"{command[0]} failed: {what}: check that a C and C++ compiler that fit this "
            "Python are installed, then run 'make setup' again"
        )
