"""Runs nodes in a process until they are done or someone says stop."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from windhover.errors import WindhoverError
from windhover_ros.environment import prepare_environment

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest(threading.Event):
    """Set by Ctrl-C or SIGTERM while in use as a context (main thread only).

    A second signal ends the process at once.
    """

    def __enter__(self) -> StopRequest:
        self._before = {n: signal.signal(n, self._on_signal) for n in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, *_: object) -> None:
        if self.is_set():
            raise KeyboardInterrupt
        self.set()


@contextmanager
def ros(args: Sequence[str] | None = None) -> Iterator[None]:
    """ROS is up inside, down after; signals are left to :class:`StopRequest`.

    Args:
        args: ROS arguments; ``None`` takes those of the process.
    """
    prepare_environment()
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    rclpy.init(
        args=sys.argv if args is None else list(args),
        signal_handler_options=SignalHandlerOptions.NO,
    )
    try:
        yield
    finally:
        rclpy.try_shutdown()


@contextmanager
def spinning(nodes: Sequence[Any]) -> Iterator[None]:
    """Serve the nodes' callbacks in one thread of their own.

    The main thread stays free for signals: Python runs their handlers only
    there, and never while rclpy waits in it.
    """
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor

    executor = SingleThreadedExecutor()
    for node in nodes:
        executor.add_node(node)

    def spin() -> None:
        with suppress(ExternalShutdownException):
            executor.spin()

    thread = threading.Thread(target=spin, name="executor", daemon=True)
    thread.start()
    try:
        yield
    finally:
        executor.shutdown(timeout_sec=5.0)
        thread.join(timeout=5.0)


def run_node(make: Callable[[], Any], until: Callable[[Any], bool] | None = None) -> int:
    """The whole life of a process with one node.

    Args:
        make: builds the node.
        until: says, asked a few times a second, whether the node is done.

    Returns:
        The exit status: 0, or 2 after an error that a person has to mend.
    """
    try:
        with StopRequest() as stop, ros():
            node = make()
            try:
                if node.params.autostart:
                    node.bring_up()
                with spinning([node]):
                    while not stop.wait(0.2):
                        if until is not None and until(node):
                            break
            finally:
                node.close()
    except WindhoverError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0
