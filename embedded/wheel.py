"""Packs a built message package as a wheel, so that pip installs and removes it."""

from __future__ import annotations

import base64
import hashlib
import sys
import sysconfig
import zipfile
from pathlib import Path

from embedded.compile import Builder
from embedded.generate import Generated

KEY_FILE = "windhover_build_key"


def tag() -> str:
    """Wheel tag of an extension built by this Python, e.g. ``cp311-cp311-linux_x86_64``."""
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return f"{python}-{python}-{platform}"


def _index_files(made: Generated) -> dict[str, bytes]:
    package = made.package
    index = "share/ament_index/resource_index"
    interfaces = sorted(
        message.with_suffix(suffix).as_posix()
        for message in package.messages
        for suffix in (".idl", ".json", ".msg")
    )
    return {
        f"{index}/packages/{package.name}": b"",
        f"{index}/rosidl_interfaces/{package.name}": "\n".join(interfaces).encode(),
        f"{index}/package_run_dependencies/{package.name}": ";".join(package.dependencies).encode(),
    }


def _share_files(made: Generated) -> dict[str, bytes]:
    package = made.package
    files = {f"share/{package.name}/package.xml": (package.folder / "package.xml").read_bytes()}
    roots = {
        ".msg": package.folder,
        ".idl": made.folder("rosidl_adapter"),
        ".json": made.folder("rosidl_generator_type_description"),
    }
    for message in package.messages:
        for suffix, root in roots.items():
            name = message.with_suffix(suffix)
            files[f"share/{package.name}/{name.as_posix()}"] = (root / name).read_bytes()
    return files


def _contents(made: Generated, built: Builder, key: str) -> dict[str, bytes]:
    package = made.package
    stem = f"{package.name}-{package.version}"
    python = made.folder("rosidl_generator_py")
    files = {
        f"{package.name}/{path.relative_to(python).as_posix()}": path.read_bytes()
        for path in sorted(python.rglob("*.py"))
    }
    files |= {f"{package.name}/{path.name}": path.read_bytes() for path in _files(built.extensions)}
    data = _index_files(made) | _share_files(made)
    data |= {f"lib/{path.name}": path.read_bytes() for path in _files(built.libraries)}
    data[f"share/{package.name}/{KEY_FILE}"] = key.encode()
    files |= {f"{stem}.data/data/{name}": content for name, content in data.items()}
    files[f"{stem}.dist-info/METADATA"] = (
        f"Metadata-Version: 2.1\nName: {package.name}\nVersion: {package.version}\n"
    ).encode()
    files[f"{stem}.dist-info/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: windhover\nRoot-Is-Purelib: false\nTag: {tag()}\n"
    ).encode()
    return files


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file())


def write_wheel(made: Generated, built: Builder, key: str, folder: Path) -> Path:
    """Write the wheel of a built package.

    Args:
        made: what the generators wrote.
        built: what the compiler made of it.
        key: content hash that the installed package will carry.
        folder: where the wheel goes.

    Returns:
        Path of the wheel.
    """
    stem = f"{made.package.name}-{made.package.version}"
    path = folder / f"{stem}-{tag()}.whl"
    record = f"{stem}.dist-info/RECORD"
    lines = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _contents(made, built, key).items():
            archive.writestr(name, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            lines.append(f"{name},sha256={digest.decode()},{len(content)}")
        archive.writestr(record, "\n".join([*lines, f"{record},,", ""]))
    return path
