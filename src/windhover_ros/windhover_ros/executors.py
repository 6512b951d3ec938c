"""The executor of one node: woken by events, and by a wait set while it is flooded.

rclpy's events executor is woken by what happened and runs that alone, where the waiting
executors build a set of all entities of the node at each wake-up, which costs more than most
callbacks. But it queues an event for each message that arrives, without a bound, also where the
reader keeps the newest message only (https://github.com/ros2/rclcpp/issues/3213 says the same
of C++): a peer that sends faster than the node takes fills the memory. A wait set asks what is
there now, and holds nothing.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import redirect_stderr
from typing import Any

from rclpy.executors import SingleThreadedExecutor

# A marker is put into the queue after so many turns, and it is flooded where the marker takes
# both longer and more turns than these: one slow callback is no flood, and neither are many
# quick ones.
MARKER_TURNS = 20
MARKER_S = 0.5
# Then the wait set serves for so long before events are tried again, seconds.
WAITING_S = 10.0


def make_executor() -> Any:
    """The events executor of rclpy, where this rclpy has it."""
    try:
        from rclpy.experimental.events_executor import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor()
    # It enables faulthandler, which asks for a file: the stderr of a notebook, or of whoever
    # catches the output, is none.
    with redirect_stderr(sys.__stderr__):
        return EventsExecutor()


class NodeExecutor:
    """Serves a node from one thread, in bounded memory.

    Args:
        node: whose callbacks it runs.
        on_flood: called in that thread whenever the node was found flooded.
    """

    def __init__(self, node: Any, on_flood: Callable[[], None] = lambda: None) -> None:
        self._node = node
        self._on_flood = on_flood
        # Held while one executor takes the other's place.
        self._changing = threading.Lock()
        self._executor = make_executor()
        self._executor.add_node(node)
        self._waiting_until_s: float | None = None
        self._turns = 0
        self._marked_s: float | None = None

    @property
    def is_flooded(self) -> bool:
        """Whether the wait set serves, since messages came faster than they were taken."""
        return self._waiting_until_s is not None

    def spin_once(self, timeout_s: float) -> None:
        """Run what is next, or wait for it.

        Raises:
            Exception: the callback's.
        """
        self._choose()
        self._executor.spin_once(timeout_sec=timeout_s)

    def wake(self) -> None:
        """End a wait; called from any thread."""
        with self._changing:
            self._executor.wake()

    def shutdown(self, timeout_s: float) -> None:
        """Serve no longer."""
        with self._changing:
            self._executor.shutdown(timeout_sec=timeout_s)

    def _choose(self) -> None:
        now_s = time.monotonic()
        if self._waiting_until_s is not None:
            if now_s >= self._waiting_until_s:
                self._waiting_until_s = None
                self._replace(make_executor())
            return
        self._turns += 1
        if self._turns < MARKER_TURNS:
            return
        if self._marked_s is None:
            self._turns, self._marked_s = 0, now_s
            self._executor.create_task(self._on_marker)
        elif now_s - self._marked_s > MARKER_S:
            self._waiting_until_s = now_s + WAITING_S
            # What is queued is dropped with its executor, and no message with it: those are
            # with the reader, where the wait set finds them.
            self._replace(SingleThreadedExecutor())
            self._on_flood()

    def _on_marker(self) -> None:
        self._turns, self._marked_s = 0, None

    def _replace(self, executor: Any) -> None:
        with self._changing:
            before, self._executor = self._executor, executor
            before.remove_node(self._node)
            before.shutdown(timeout_sec=5.0)
            executor.add_node(self._node)
        self._turns, self._marked_s = 0, None
