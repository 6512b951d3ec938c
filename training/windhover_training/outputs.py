"""Outputs that are complete or absent, and never in place of another by accident.

A command that makes a folder fills a hidden one beside it and renames it at the end, so
that what has the asked-for name is always complete. Single files are written by
``windhover.files``; here is only what it lacks: the refusal to overwrite.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from windhover.errors import ConfigError, DataError

#: File in every folder made here: ``--force`` replaces no folder that lacks it.
MARK = ".windhover-output"


def refuse_to_overwrite(
    path: Path, *, force: bool = False, mark: str = MARK, option: str = "--out"
) -> None:
    """Stop before any work where ``path`` is in the way.

    Args:
        path: file or folder that is to be written.
        force: the person asked for it to be replaced.
        mark: file that tells a folder of ours.
        option: that names another place.

    Raises:
        ConfigError: it exists and ``force`` is not given, or it is a folder that no
            command of ours made, which is never replaced.
    """
    if not path.exists() and not path.is_symlink():
        return
    if path.is_dir() and not any(path.iterdir()):
        return
    if not force:
        raise ConfigError(
            f"{path}: exists already; give --force to replace it, or another {option}"
        )
    if path.is_symlink() or (path.is_dir() and not (path / mark).is_file()):
        raise ConfigError(
            f"{path}: was not made by this command, so --force does not replace it; "
            f"remove it yourself or give another {option}"
        )


@contextmanager
def new_folder(
    path: Path,
    *,
    force: bool = False,
    resume: bool = False,
    mark: str = MARK,
    option: str = "--out",
) -> Iterator[Path]:
    """Fill a folder that gets its name only once it is complete.

    Args:
        path: folder to make; its parents are made as well.
        force: replace one that an earlier run made, once the new one is complete.
        resume: keep what was done if the block fails or is interrupted; the next call
            yields the same folder again, with that in it.
        mark: file that tells a folder of ours; any but the usual one is left to the block.
        option: that names another place.

    Yields:
        The folder to write into, on the same file system as ``path``.

    Raises:
        ConfigError: as :func:`refuse_to_overwrite`.
        DataError: the folder can't be made, written to or renamed.
    """
    path = path.absolute()
    refuse_to_overwrite(path, force=force, mark=mark, option=option)
    # A resumable one must be found again; others must not meet in one folder.
    part = path.with_name(f".{path.name}.{'partial' if resume else f'{os.getpid()}.partial'}")
    try:
        part.mkdir(parents=True, exist_ok=True)
        if mark == MARK:
            (part / mark).touch()
    except OSError as error:
        raise DataError(
            f"{part}: can't be made ({error.strerror}); choose another {option}"
        ) from None
    try:
        yield part
    except BaseException as error:
        if not resume:
            shutil.rmtree(part, ignore_errors=True)
        if isinstance(error, OSError):
            what = error.strerror or type(error).__name__
            raise DataError(
                f"{error.filename or path}: {what}; free some space or choose another {option}"
            ) from error
        raise
    try:
        _swap(part, path)
    except OSError as error:
        raise DataError(
            f"{path}: can't be put in place ({error.strerror}); it is complete in {part}"
        ) from None


def clear_folder(part: Path) -> None:
    """Empty a folder that :func:`new_folder` gave, where what is in it is of no use."""
    for entry in part.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != MARK:
            entry.unlink()


def _swap(part: Path, path: Path) -> None:
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    if path.exists():
        path.rename(old)
    try:
        part.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)
