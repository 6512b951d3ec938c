"""A process that has imported every node, and becomes any of them in the time of a fork.

Python and what a node imports take about a second of CPU time, which a node that crashed
must not be away for. So all processes of ``windhover up --node-per-process`` are forked
from one that has done it already; they share its memory until they write to it.

The forker never comes up in ROS and runs no code of its own in another thread (LTTng's,
which rcl brings, sleep), so a fork is safe. A node is no child of its: it forks twice, and
the kernel gives the node to the nearest subreaper, the process that asked. So a forker
that is killed takes no node along, and the next one is started at once.
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

# Longest wait for a process: on a busy machine, with the forker to be started first.
ANSWER_S = 60.0
_PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 15, 36
_LONGEST = 1 << 16


class Forker:
    """Starts processes by way of a forker, which it starts anew when that has ended.

    Args:
        modules: to import before the first fork; each has a ``main()``.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self._modules = list(modules)
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        self._open()

    def _open(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(ANSWER_S)
        command = [sys.executable, "-m", __name__, str(theirs.fileno()), *self._modules]
        # Idle threads of OpenBLAS would not survive a fork; nodes have no use for them.
        environment = {"OPENBLAS_NUM_THREADS": "1", **child_environment()}
        with theirs:
            self._process = subprocess.Popen(
                command, env=environment, pass_fds=[theirs.fileno()], start_new_session=True
            )
        self._socket = ours

    @property
    def pid(self) -> int:
        """Process id of the forker that is there now."""
        return self._process.pid

    def start(self, module: str, arguments: Sequence[str], name: str) -> int:
        """Start a process.

        Args:
            module: whose ``main()`` it runs.
            arguments: its ``sys.argv`` behind the program.
            name: under which ``ps`` and ``top`` show it.

        Returns:
            Its process id; it is a child of this process.

        Raises:
            WindhoverError: it could not be started.
        """
        request = json.dumps({"module": module, "arguments": list(arguments), "name": name})
        for last in (False, True):
            try:
                self._socket.send(request.encode())
                answer = self._socket.recv(_LONGEST)
                if int(answer or 0):
                    return int(answer)
            except OSError as error:
                if last:
                    raise WindhoverError(f"{name} could not be started: {error}") from error
            self.keep_up(ended=True)
        raise WindhoverError(f"{name} could not be started; see the message above")

    def keep_up(self, ended: bool = False) -> None:
        """Start the forker anew if it has ended; call it a few times a second."""
        if ended or self._process.poll() is not None:
            self._close()
            self._open()

    def __enter__(self) -> Forker:
        return self

    def __exit__(self, *_: object) -> None:
        """End the forker, not the processes that it started."""
        self._close()

    def _close(self) -> None:
        self._socket.close()
        try:
            self._process.wait(1.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def forked_status(pid: int) -> int | None:
    """Exit status of a process that was started, negative after a signal; None while it runs.

    Once it was given the process is gone; do not ask again.
    """
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def reap_others(known: Sequence[int]) -> None:
    """Take leave of ended processes that came to us since their parent was killed.

    Args:
        known: whose status is asked for elsewhere.
    """
    ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if ended is not None and ended.si_pid not in known:
        os.waitpid(ended.si_pid, 0)


def _serve(link: socket.socket) -> int:
    """Fork what is asked for until the other end is gone; in the child run it.

    Returns:
        The exit status of this process, or of a forked one.
    """
    while request := link.recv(_LONGEST):
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
            return _become(json.loads(request))
        os.close(writer)
        # Once this has ended, the node belongs to the process that asked.
        os.waitpid(middle, 0)
        with os.fdopen(reader, "rb") as pipe:
            link.send(pipe.read() or b"0")
    return 0


def _become(asked: Mapping[str, Any]) -> int:
    os.setsid()
    _prctl(_PR_SET_NAME, str(asked["name"]).encode()[:15])
    module = sys.modules[asked["module"]]
    sys.argv = [str(module.__file__), *asked["arguments"]]
    return int(module.main())


def _preload(modules: Sequence[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    _load_type_support()
    # What is there now is never freed: no page of it is touched, and copied, for that.
    gc.collect()
    gc.freeze()


def _load_type_support() -> None:
    """What rclpy would import with a node's first publisher of each type."""
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
    """Import, then serve; started by :class:`Forker` alone."""
    # Until a node has its own handler a signal waits: it would end it with a traceback.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    link = socket.socket(fileno=int(sys.argv[1]))
    _preload(sys.argv[2:])
    return _serve(link)


if __name__ == "__main__":
    raise SystemExit(main())
