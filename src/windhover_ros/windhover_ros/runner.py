"""Runs nodes in a process until they are done or a signal stops it."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from windhover.command_line import print_error
from windhover.errors import ConfigError, WindhoverError
from windhover_ros.arguments import parse_ros_arguments, ros_arguments
from windhover_ros.environment import prepare_environment

SAME_STOP_S = 1.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest(threading.Event):
    """Set by Ctrl-C or SIGTERM while in use as a context (main thread only).

    A second signal ends the process at once, unless it comes within a second of the
    first: a terminal and a launcher both pass one Ctrl-C on.

    Args:
        last: the process ends with it: a signal that comes late must not turn a good
            end into a bad one.
    """

    def __init__(self, last: bool = False) -> None:
        super().__init__()
        self._last = last
        self._at = 0.0

    def __enter__(self) -> StopRequest:
        self._before = {n: signal.signal(n, self._on_signal) for n in STOP_SIGNALS}
        # The fork server blocks them until here.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        return self

    def __exit__(self, *_: object) -> None:
        if self._last and self.is_set():
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, *_: object) -> None:
        if self.is_set() and time.monotonic() - self._at > SAME_STOP_S:
            raise KeyboardInterrupt
        if not self.is_set():
            self._at = time.monotonic()
        self.set()


@contextmanager
def ros(args: Sequence[str] | None = None) -> Iterator[None]:
    """ROS is up inside, down after; signals are left to :class:`StopRequest`.

    Args:
        args: ROS arguments; ``None`` takes those of the process.

    Raises:
        ConfigError: the environment lacks what ROS needs, an argument is wrong, a topic, node
            or namespace has a name that ROS does not take, or ROS refuses for want of security
            that was asked for.
    """
    prepare_environment()
    parse_ros_arguments(ros_arguments(args))
    import rclpy
    from rclpy.exceptions import NameValidationException
    from rclpy.impl.implementation_singleton import rclpy_implementation
    from rclpy.signals import SignalHandlerOptions

    try:
        _init(sys.argv if args is None else list(args), SignalHandlerOptions.NO)
        try:
            yield
        finally:
            rclpy.try_shutdown()
    except NameValidationException as error:
        raise ConfigError(" ".join(str(error).rstrip(" ^\n").split())) from error
    except rclpy_implementation.RCLError as error:
        if os.environ.get("ROS_SECURITY_ENABLE") != "true":
            raise
        # With security this is how ROS says that it has no keys, or no right, for something.
        raise ConfigError(
            f"ROS refuses, with ROS_SECURITY_ENABLE=true: {' '.join(str(error).split())}: check "
            "ROS_SECURITY_KEYSTORE, the enclave (--ros-args --enclave) and its permissions, and "
            "that this Fast DDS has security (the wheels' has none)"
        ) from error


def _init(args: list[str], handlers: Any) -> None:
    """rclpy.init, with what rcl refuses of the arguments as an error of ours."""
    import rclpy
    from rclpy.impl.implementation_singleton import rclpy_implementation as rcl
    from rclpy.utilities import get_default_context

    try:
        rclpy.init(args=args, signal_handler_options=handlers)
    except (rcl.RCLError, rcl.UnknownROSArgsError) as error:
        # A context that failed can't be used again.
        get_default_context(shutting_down=True)
        if os.environ.get("ROS_SECURITY_ENABLE") == "true":
            raise
        # Less the lines of rcl's own source.
        text = re.sub(r", at /\S+", "", str(error)).removeprefix("failed to initialize rcl: ")
        raise ConfigError(f"ROS does not take its arguments: {text}") from error


@contextmanager
def spin_in_threads(nodes: Sequence[Any]) -> Iterator[None]:
    """Serve each node's callbacks in a separate thread.

    A node that opens a backend keeps no other node waiting so. The main thread stays free for
    signals: Python runs their handlers only there, and never while rclpy waits in it.
    """
    from rclpy.executors import ExternalShutdownException

    from windhover_ros.executors import NodeExecutor

    done = threading.Event()

    def turn(executor: NodeExecutor, node: Any) -> None:
        try:
            executor.spin_once(timeout_s=0.5)
        except ExternalShutdownException:
            done.set()
        except Exception as error:
            # A message that can't be read must not stop the node from receiving others.
            node.get_logger().error(
                f"a callback failed and was skipped: {type(error).__name__}: {error}",
                throttle_duration_sec=10.0,
            )

    def spin(executor: NodeExecutor, node: Any) -> None:
        while not done.is_set():
            turn(executor, node)

    executors, threads = [], []
    for node in nodes:
        executor = NodeExecutor(node, getattr(node, "on_flood", lambda: None))
        executors.append(executor)
        name = f"{node.get_name()}-executor"
        threads.append(threading.Thread(target=spin, args=(executor, node), name=name, daemon=True))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for executor in executors:
            executor.wake()
        for thread, executor in zip(threads, executors, strict=True):
            thread.join(timeout=5.0)
            executor.shutdown(timeout_s=5.0)


def run_node(make: Callable[[], Any], until: Callable[[Any], bool] | None = None) -> int:
    """Run one node in this process.

    Args:
        make: builds the node.
        until: whether the node is done; called a few times a second.

    Returns:
        The exit status: 0, or 2 after an error of the user.
    """
    try:
        with StopRequest(last=True) as stop, ros():
            node = make()
            try:
                if node.params.autostart:
                    node.bring_up()
                with spin_in_threads([node]):
                    while not stop.wait(0.2):
                        if until is not None and until(node):
                            break
            finally:
                node.close()
    except WindhoverError as error:
        return print_error(str(error))
    return 0
