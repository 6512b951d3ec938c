"""Runs a command and leaves the machine as it was: ``python -m embedded.tidy COMMAND...``.

The command's temporary files go to a folder in the checkout that is removed after
it. The tracing library in the ROS wheels makes files in /dev/shm whenever it is
loaded and leaves them, and Fast DDS leaves those of a process that was killed: those
that were not there before, and that no process has mapped, are removed too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED_MEMORY = Path("/dev/shm")
_TRACING = "lttng-ust-wait-*"
_FAST_DDS = ("fastrtps_*", "sem.fastrtps_*")


def tracing_files() -> set[Path]:
    """Files of the tracing library in shared memory."""
    return set(SHARED_MEMORY.glob(_TRACING)) if SHARED_MEMORY.is_dir() else set()


def fast_dds_files() -> set[Path]:
    """Fast DDS's segments and semaphores in shared memory."""
    if not SHARED_MEMORY.is_dir():
        return set()
    return {path for pattern in _FAST_DDS for path in SHARED_MEMORY.glob(pattern)}


def mapped_text() -> str:
    """What all processes have mapped, as the kernel lists it."""
    maps = []
    for path in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):  # it ended meanwhile, or is another user's
            maps.append(path.read_text())
    return "".join(maps)


def abandoned(files: set[Path]) -> set[Path]:
    """Those of Fast DDS's files that no process has mapped any more."""
    mapped = mapped_text() if files else ""
    # A segment's lock, NAME_el, is held and not mapped.
    return {path for path in files if path.name.removesuffix("_el") not in mapped}


def run(command: list[str]) -> int:
    """Run ``command`` and remove what it leaves outside the checkout.

    Returns:
        Its exit status.
    """
    before, segments = tracing_files(), fast_dds_files()
    parent = ROOT / ".cache"
    parent.mkdir(exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix="tmp-", dir=parent))
    try:
        process = subprocess.Popen(command, env=os.environ | {"TMPDIR": str(temporary)})
        # The terminal tells the command of Ctrl-C too: let it finish its own way.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return process.wait()
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        for path in (tracing_files() - before) | abandoned(fast_dds_files() - segments):
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
