"""Runs a command and leaves the machine as it was: ``python -m embedded.tidy COMMAND...``.

The command's temporary files go to a folder in the checkout that is removed after
it. The tracing library in the ROS wheels makes files in /dev/shm whenever it is
loaded and leaves them, and Fast DDS leaves those of a process that was killed: those
that were not there before, and that no process has mapped, are removed too. Processes
that the command started and did not end are ended: they would keep using the machine, and
keep readers of the command's output waiting.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHARED_MEMORY = Path("/dev/shm")
_TRACING = "lttng-ust-wait-*"
_FAST_DDS = ("fastrtps_*", "sem.fastrtps_*")
_PR_SET_CHILD_SUBREAPER = 36
_GRACE_S = 3.0
# From the making of a segment to its mapping, on a machine that is full of other work.
_MAPPED_WITHIN_S = 0.5


def tracing_files() -> set[Path]:
    """Files of the tracing library in shared memory."""
    return set(SHARED_MEMORY.glob(_TRACING)) if SHARED_MEMORY.is_dir() else set()


def fast_dds_files() -> set[Path]:
    """Fast DDS's segments and semaphores in shared memory."""
    if not SHARED_MEMORY.is_dir():
        return set()
    return {path for pattern in _FAST_DDS for path in SHARED_MEMORY.glob(pattern)}


def mapped_text() -> str:
    """The mappings of all processes, as the kernel lists them."""
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


def adopt() -> None:
    """Become the parent of orphaned descendants, where the kernel supports that."""
    with contextlib.suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children_of(pid: int) -> list[int]:
    """Ids of the processes that a process has started, also of those that nobody waited for."""
    found: list[int] = []
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, tasks.read_text().split())
    return found


def children() -> list[int]:
    """Process ids of this process's children that still run."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return children_of(os.getpid())


def end_children() -> None:
    """End what the command left running, and report each process."""
    reported: set[int] = set()
    began = time.monotonic()
    # A process that ends gives us its own children.
    while (left := children()) and (since_s := time.monotonic() - began) < 2 * _GRACE_S:
        for pid in set(left) - reported:
            reported.add(pid)
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
                command = " ".join(words.split("\0")).strip()
                sys.stderr.write(f"tidy: ending process {pid}, left running: {command}\n")
                os.kill(pid, signal.SIGTERM)
        for pid in left if since_s > _GRACE_S else ():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def run(command: list[str]) -> int:
    """Run ``command``, end what it leaves running and remove what it leaves behind.

    Returns:
        Its exit status.
    """
    before, segments = tracing_files(), fast_dds_files()
    parent = ROOT / ".cache"
    parent.mkdir(exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix="tmp-", dir=parent))
    adopt()
    try:
        process = subprocess.Popen(command, env=os.environ | {"TMPDIR": str(temporary)})
        # The terminal tells the command of Ctrl-C too: let it finish its own way.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        return process.wait()
    finally:
        end_children()
        shutil.rmtree(temporary, ignore_errors=True)
        left = abandoned(fast_dds_files() - segments)
        if left:
            # Others' too, which may be about to be mapped.
            time.sleep(_MAPPED_WITHIN_S)
        for path in (tracing_files() - before) | abandoned(left):
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
