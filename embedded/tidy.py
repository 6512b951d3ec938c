"""Runs a command and leaves the machine as it was: ``python -m embedded.tidy COMMAND...``.

The command's temporary files go to a folder in the checkout that is removed after
it. The tracing library in the ROS wheels makes files in /dev/shm whenever it is
loaded and leaves them: those that were not there before are removed too.
"""

from __future__ import annotations

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


def tracing_files() -> set[Path]:
    """Files of the tracing library in shared memory."""
    return set(SHARED_MEMORY.glob(_TRACING)) if SHARED_MEMORY.is_dir() else set()


def run(command: list[str]) -> int:
    """Run ``command`` and remove what it leaves outside the checkout.

    Returns:
        Its exit status.
    """
    before = tracing_files()
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
        for path in tracing_files() - before:
            path.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
