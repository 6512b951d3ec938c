"""Unpacks Debian and Ubuntu packages without root and without installing them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from embedded.host import SetupError


def unpack(packages: list[str], root: Path, remedy: str) -> None:
    """Unpack packages of the distribution into ``root``, once.

    apt verifies them as usual, with its lists and cache under ``root``.

    Args:
        packages: names for ``apt-get download``.
        root: folder that takes the tree.
        remedy: what to do by hand where this does not work.

    Raises:
        SetupError: apt is not there, has no such package or can't reach its archive.
    """
    done = root / f"{'+'.join(packages)}.unpacked"
    if done.is_file():
        return
    failure = f"{' and '.join(packages)} can't be fetched: {remedy}"
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise SetupError(failure)
    downloads, lists = root / "downloads", root / "lists"
    for folder in (downloads, lists / "partial"):
        folder.mkdir(parents=True, exist_ok=True)
    apt = ["apt-get", "-qq", "-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={root}"]
    apt += ["-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=1"]
    print(f"  unpacking {' '.join(packages)} into {os.path.relpath(root)}", flush=True)
    for command in ([*apt, "update"], [*apt, "download", *packages]):
        run = subprocess.run(command, cwd=downloads, capture_output=True, check=False)
        if run.returncode:
            raise SetupError(failure)
    for package in sorted(downloads.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", package, root], check=True)
    for folder in (downloads, lists):
        shutil.rmtree(folder)
    done.touch()
