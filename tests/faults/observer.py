"""What another process sees of a chain while a fault is put upon it."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from vision_msgs.msg import Detection2DArray

from windhover_ros import qos
from windhover_ros.cdr import CdrReader


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message of tracks: when it came, and of which image it is."""

    at_s: float
    stamp_ns: int


class Observer:
    """Hears tracks and diagnostics from here to the end of the ``with``."""

    def __init__(self) -> None:
        self.tracks: list[Arrival] = []
        self.diagnostics: dict[str, dict[str, str]] = {}
        self._node = rclpy.create_node("fault_observer")
        self._node.create_subscription(
            Detection2DArray, "tracks", self._on_tracks, qos.result(), raw=True
        )
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._node)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)

    def __enter__(self) -> Observer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Not before the thread has ended: shutting down takes from it what it waits with.
        self._done.set()
        self._executor.wake()
        self._thread.join(60.0)
        self._executor.shutdown(timeout_sec=5.0)
        self._node.destroy_node()

    def wait(self, done: Callable[[], object], what: str, timeout_s: float = 120.0) -> None:
        """Wait until something holds.

        Raises:
            TimeoutError: it does not within the time.
        """
        deadline = time.monotonic() + timeout_s
        while not done():
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {timeout_s:g} s")
            time.sleep(0.01)

    def flowing(self, count: int = 10) -> None:
        """Wait until so many more messages came."""
        goal = len(self.tracks) + count
        self.wait(lambda: len(self.tracks) >= goal, f"{count} more tracks")

    def back_s(self, since_s: float) -> float:
        """Seconds from a moment to the first tracks after it; waits for them."""
        self.wait(lambda: self.tracks and self.tracks[-1].at_s > since_s, "tracks again")
        return next(t.at_s for t in self.tracks if t.at_s > since_s) - since_s

    def longest_gap_s(self, start_s: float, end_s: float) -> float:
        """Longest silence of tracks within a time."""
        times = [start_s, *(t.at_s for t in self.tracks if start_s < t.at_s < end_s), end_s]
        return max(b - a for a, b in itertools.pairwise(times))

    def count(self, start_s: float, end_s: float) -> int:
        """Messages of tracks within a time."""
        return sum(start_s <= t.at_s < end_s for t in self.tracks)

    def saying(self, text: str) -> set[str]:
        """The nodes that say something in their diagnostics now."""
        return {
            node
            for node, values in list(self.diagnostics.items())
            if any(text in value for value in values.values())
        }

    def _on_tracks(self, data: bytes) -> None:
        self.tracks.append(Arrival(time.monotonic(), CdrReader(data).header()[0]))

    def _on_diagnostics(self, message: Any) -> None:
        for status in message.status:
            values = {item.key: item.value for item in status.values}
            self.diagnostics[status.name] = {
                **values, "message": status.message, "level": str(status.level[0])
            }  # fmt: skip

    def _spin(self) -> None:
        while not self._done.is_set():
            self._executor.spin_once(timeout_sec=0.1)
