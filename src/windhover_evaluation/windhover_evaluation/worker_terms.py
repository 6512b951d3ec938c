"""Whether a worker elsewhere has the same code and sees the same files as this process."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2

_SMALL, _SAMPLED = 256, 32  # bytes of a file, names of a folder


@dataclass(frozen=True, slots=True)
class Terms:
    """What a worker of a cluster must have in common with this process.

    Attributes:
        versions: what it is -> its version.
        code: package -> digest of its source.
        files: path -> what :func:`_mark` gives for it.
    """

    versions: tuple[tuple[str, str], ...]
    code: tuple[tuple[str, str], ...]
    files: tuple[tuple[str, tuple[str, ...]], ...]


_accepted: set[Terms] = set()  # what does not suit may be mended, and is looked at again


def terms_of(packages: Sequence[str], files: Sequence[Path]) -> Terms:
    """What a worker must have in common with this process.

    Args:
        packages: whose code it runs.
        files: files and folders that it must see; those that are not here are left out.
    """
    return Terms(
        _versions(),
        tuple((name, _digest(name)) for name in packages),
        tuple(_marks(files)),
    )


def _marks(files: Sequence[Path]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for path in files:
        with suppress(OSError):  # who reads it says so
            yield str(path.absolute()), _mark(path)


def objection_of(terms: Terms) -> str | None:
    """Why this process does not suit, in the words after its name; ``None`` if it does."""
    if terms in _accepted:
        return None
    for (what, wanted), (_, found) in zip(terms.versions, _versions(), strict=True):
        if wanted != found:
            return f"has {what} {found}, not {wanted}; install the same there"
    for name, digest in terms.code:
        if _digest(name) != digest:
            return f"has another version of {name}; install the same there"
    for path, mark in terms.files:
        if not _sees(Path(path), mark):
            what = "sees another" if os.path.lexists(path) else "does not see"
            return f"{what} {path}; mount the same folder there under the same path"
    _accepted.add(terms)
    return None


def _versions() -> tuple[tuple[str, str], ...]:
    names = {"NumPy": "numpy", "Dask": "distributed"}
    return (
        ("Python", ".".join(platform.python_version_tuple()[:2])),
        *((shown, importlib.metadata.version(name)) for shown, name in names.items()),
        ("OpenCV", str(cv2.__version__)),
    )


@lru_cache(maxsize=16)
def _digest(package: str) -> str:
    """Of a package's source; empty where it is not installed."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return ""
    digest = hashlib.sha256()
    for folder in found.submodule_search_locations:
        for path in sorted(Path(folder).rglob("*.py")):
            digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _mark(path: Path) -> tuple[str, ...]:
    """What tells that two machines see the same here.

    Raises:
        OSError: there is nothing.
    """
    if path.is_dir():
        # Hidden ones are what is being written. A few of many names, which each task carries.
        names = sorted(e.name for e in path.iterdir() if not e.name.startswith("."))
        return ("folder", *names[:: len(names) // _SAMPLED + 1])
    size = path.stat().st_size
    return ("file", str(size), path.read_text("latin-1") if size <= _SMALL else "")


def _sees(path: Path, mark: tuple[str, ...]) -> bool:
    """Whether a path is here what it is elsewhere; a folder may have got more since."""
    try:
        if mark[0] == "folder":
            return path.is_dir() and all(os.path.lexists(path / name) for name in mark[1:])
        return _mark(path) == mark
    except OSError:
        return False
