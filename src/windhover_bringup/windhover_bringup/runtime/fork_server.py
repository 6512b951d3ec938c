"""A process that has imported every node and forks to become any of them.

Importing Python and what a node needs takes about a second of CPU time, during which a node
that crashed would be absent. So all processes of ``windhover up --node-per-process`` are
forked from one that has done the imports; they share its memory until they write to it.

The fork server never initialises ROS and runs no Python code in other threads (those of LTTng,
which rcl brings, sleep), so a fork is safe. It forks twice, so that the kernel gives the node
to the nearest subreaper, which is the process that asked: if the fork server is killed, no node
dies with it, and the next fork server is started at once.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from windhover.errors import WindhoverError
from windhover_ros.environment import child_environment
from windhover_ros.runner import STOP_SIGNALS

# Longest wait for a process; on a busy machine the fork server itself has to start first.
ANSWER_TIMEOUT_S = 60.0
_PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 15, 36
_MAX_MESSAGE = 1 << 16


class ForkServer:
    """Starts processes through a fork server, which is restarted when it has ended.

    Args:
        modules: to import before the first fork; each has a ``main()``.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self._modules = list(modules)
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        self._open()

    def _open(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(ANSWER_TIMEOUT_S)
        command = [sys.executable, "-m", __name__, str(theirs.fileno()), *self._modules]
        # Threads of OpenBLAS do not survive a fork, and nodes do not use them.
        environment = {"OPENBLAS_NUM_THREADS": "1", **child_environment()}
        with theirs:
            self._process = subprocess.Popen(
                command, env=environment, pass_fds=[theirs.fileno()], start_new_session=True
            )
        self._socket = ours

    @property
    def pid(self) -> int:
        """Process id of the fork server that runs now."""
        return self._process.pid

    def start(self, module: str, arguments: Sequence[str], name: str) -> int:
        """Start a process.

        Args:
            module: whose ``main()`` it runs.
            arguments: its ``sys.argv`` after the program.
            name: that ``ps`` and ``top`` show.

        Returns:
            Its process id; it is a child of this process.

        Raises:
            WindhoverError: it could not be started.
        """
        request = json.dumps({"module": module, "arguments": list(arguments), "name": name})
        for last in (False, True):
            try:
                self._socket.send(request.encode())
                answer = self._socket.recv(_MAX_MESSAGE)
                if int(answer or 0):
                    return int(answer)
            except OSError as error:
                if last:
                    raise WindhoverError(f"{name} could not be started: {error}") from error
            self._restart()
        raise WindhoverError(f"{name} could not be started; see the message above")

    def restart_if_ended(self) -> None:
        """Restart the fork server if it has ended; call it a few times a second."""
        if self._process.poll() is not None:
            self._restart()

    def _restart(self) -> None:
        self._close()
        self._open()

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *_: object) -> None:
        """End the fork server but not the processes that it started."""
        self._close()

    def _close(self) -> None:
        self._socket.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def exit_status(pid: int) -> int | None:
    """Exit status of a started process, negative after a signal; ``None`` while it runs.

    Returning the status reaps the process: ask only once.
    """
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def reap_orphans(known: Sequence[int]) -> None:
    """Reap an ended process that the kernel gave to this one when its parent was killed.

    Args:
        known: process ids whose status is asked for elsewhere.
    """
    ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is not None and ended.si_pid not in known:
        os.waitpid(ended.si_pid, 0)


def _serve(link: socket.socket) -> int:
    """Fork a process for each request until the other end closes; the child runs it.

    Returns:
        The exit status of this process, or of a forked one.
    """
    while request := link.recv(_MAX_MESSAGE):
        sys.stdout.flush()
        sys.stderr.flush()
        reader, writer = os.pipe()
        middle = os.fork()
        if not middle:
            node = os.fork()
            if node:
                os.write(writer, str(node).encode())
                os._exit(0)
            for unused in (link.fileno(), reader, writer):
                os.close(unused)
            link.detach()
            return _run_module(json.loads(request))
        os.close(writer)
        # Once this has ended, the kernel gives the node to the process that asked.
        os.waitpid(middle, 0)
        with os.fdopen(reader, "rb") as pipe:
            link.send(pipe.read() or b"0")
    return 0


def _run_module(request: Mapping[str, Any]) -> int:
    os.setsid()
    _prctl(_PR_SET_NAME, str(request["name"]).encode()[:15])
    module = sys.modules[request["module"]]
    sys.argv = [str(module.__file__), *request["arguments"]]
    return int(module.main())


def _preload(modules: Sequence[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    _load_type_support()
    # Objects that exist now are never freed, so that no page of them is written and copied.
    gc.collect()
    gc.freeze()


def _load_type_support() -> None:
    """Import what rclpy imports with a node's first publisher of each type."""
    for name, module in list(sys.modules.items()):
        package, _, kind = name.partition(".")
        if kind in {"msg", "srv"} and package.endswith(("_msgs", "_interfaces")):
            for part in vars(module).values():
                load = getattr(type(part), "__import_type_support__", None)
                if load is not None:
                    load.__get__(part)()


def _prctl(option: int, value: int | bytes) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def main() -> int:
    """Import, then serve; started by :class:`ForkServer` only."""
    # Signals wait until a node has its own handler; earlier they would end in a traceback.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    link = socket.socket(fileno=int(sys.argv[1]))
    _preload(sys.argv[2:])
    return _serve(link)


if __name__ == "__main__":
    raise SystemExit(main())
