"""Child processes of tests: each of them ends, whatever becomes of the test."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded.tidy import children_of
from tests.support.fixtures import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
_started: list[subprocess.Popen[str]] = []


def start(*command: Any, **options: Any) -> subprocess.Popen[str]:
    """Start a process with its output in pipes; the end of the test is its end as well.

    Args:
        *command: of its command line.
        **options: of ``subprocess.Popen``.
    """
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    # On SIGABRT it then writes where each of its threads stands.
    options["env"] = {**options.get("env", os.environ), "PYTHONFAULTHANDLER": "1"}
    child = subprocess.Popen([str(word) for word in command], **options)
    _started.append(child)
    return child


def windhover(*words: Any, **options: Any) -> subprocess.Popen[str]:
    """Start the ``windhover`` command."""
    return start(sys.executable, "-m", "windhover_bringup", *words, cwd=ROOT, **options)


def finished(child: subprocess.Popen[str], timeout_s: float = 2 * PATIENCE_S) -> tuple[str, str]:
    """What a process writes until it ends; fails, and says where it stands, if it does not."""
    try:
        return child.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        kill(child, signal.SIGABRT)
        out, err = child.communicate()
        pytest.fail(
            f"{child.args} did not end within {timeout_s:.0f} s:\n{out[-2000:]}\n{err or ''}"
        )


def end(child: subprocess.Popen[str], number: int = signal.SIGINT) -> str:
    """End a process with a signal that it takes for a good end.

    Returns:
        What it has written to stdout.
    """
    child.send_signal(number)
    out, err = finished(child)
    assert child.returncode == 0, err
    assert "Traceback" not in err
    return out


def kill(child: subprocess.Popen[str], number: int = signal.SIGKILL) -> None:
    """End a process that still runs by a signal, and those that it has started by SIGKILL."""
    if child.poll() is not None:
        return
    family = list(_descendants(child.pid))
    child.send_signal(number)
    with contextlib.suppress(subprocess.TimeoutExpired):
        # Not communicate: its children have its pipes open.
        child.wait(5.0)
    child.kill()
    for pid in family:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def _descendants(pid: int) -> Iterator[int]:
    for each in children_of(pid):
        yield each
        yield from _descendants(each)


@pytest.fixture(autouse=True)
def _no_process_outlives_its_test() -> Iterator[None]:
    yield
    while _started:
        child = _started.pop()
        kill(child)
        child.wait()
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                pipe.close()
