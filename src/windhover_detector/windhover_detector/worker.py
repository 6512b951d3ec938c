"""The thread that takes frames from a link, one after the other, and is watched."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from windhover.health.watchdog import RunWatchdog
from windhover.types import Frame
from windhover_ros.links import Link

_TAKE_TIMEOUT_S = 0.2

Process = Callable[[Frame, int, RunWatchdog], None]
"""Takes a frame, when it was taken (monotonic nanoseconds), and the worker's watchdog."""


class FrameWorker:
    """Works through a link's frames until it is stopped or the link was closed and is empty.

    A worker that hangs can't be ended: it is left to itself, and ends when its frame comes
    back.

    Args:
        frames: where its frames come from.
        process: works on one frame.
        ended: called when the link is closed and empty.
        failed: called with the error that ended the worker.
        patience_s: of its watchdog.
    """

    def __init__(
        self,
        frames: Link[Frame],
        process: Process,
        ended: Callable[[], None],
        failed: Callable[[Exception], None],
        patience_s: float,
    ) -> None:
        self.watchdog = RunWatchdog(patience_s)
        self._frames = frames
        self._process = process
        self._ended = ended
        self._failed = failed
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="detector", daemon=True)
        self._thread.start()

    def stop(self, slowest_s: float) -> bool:
        """Stop after the frame in work.

        Args:
            slowest_s: longest of the last runs; 0 before the first.

        Returns:
            Whether it stopped; else it hangs.
        """
        self._stopping.set()
        if self._thread is threading.current_thread():
            return True
        self._thread.join(timeout=self.watchdog.stop_wait_s(slowest_s))
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                frame = self._frames.take(_TAKE_TIMEOUT_S)
                if frame is not None:
                    with self.watchdog.frame():
                        self._process(frame, time.monotonic_ns(), self.watchdog)
                elif self._frames.closed:
                    self._ended()
                    return
        except Exception as error:
            if not self._stopping.is_set():
                self._failed(error)
