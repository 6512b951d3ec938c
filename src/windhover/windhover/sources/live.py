"""What all cameras share: the newest frame wins, and silence is an error."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from windhover.errors import SourceError
from windhover.sources.options import DEFAULT_RATE_HZ, SourceOptions
from windhover.types import Frame, Image


@dataclass(frozen=True, slots=True)
class LiveShot:
    """One frame as a camera gives it.

    Attributes:
        image: as in :class:`~windhover.types.Frame`.
        encoding: as in :class:`~windhover.types.Frame`.
        stamp_ns: capture time, nanoseconds since 1970.
    """

    image: Image
    encoding: str
    stamp_ns: int


class LiveSource(ABC):
    """A camera, read by a thread of its own.

    The thread takes every frame off the device, so that the driver's queue never
    fills, and keeps only the newest: a slow consumer gets a fresh frame, never a
    backlog. After an error the source is dead; open it anew.

    Attributes:
        dropped: frames that were replaced by a newer one before they were taken.
        skipped: messages of the frames that arrived damaged.
    """

    def __init__(self, name: str, options: SourceOptions) -> None:
        self._name = name
        self._options = options
        self._rate_hz = options.rate_hz or DEFAULT_RATE_HZ
        self._changed = threading.Condition()
        self._newest: tuple[int, LiveShot] | None = None
        self._end: SourceError | None = None
        self._ended = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.dropped = 0
        self.skipped: list[str] = []

    @property
    def name(self) -> str:
        """The URI it was opened from, for messages."""
        return self._name

    @property
    def rate_hz(self) -> float:
        """Frames per second that the device said it gives, or was asked for."""
        return self._rate_hz

    @property
    def length(self) -> int | None:
        """Nobody knows."""
        return None

    @property
    def live(self) -> bool:
        """True: frames come at the camera's pace."""
        return True

    def __iter__(self) -> Iterator[Frame]:
        """Yield the newest frame, each at most once, as they come.

        ``index`` counts the camera's frames, dropped ones included.

        Raises:
            SourceError: the camera went away, or gave nothing for ``timeout_s``.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._pump, name=self._name, daemon=True)
            self._thread.start()
        frame_id = self._options.frame_id or "camera"
        while True:
            taken = self._take()
            if taken is None:
                return
            index, shot = taken
            yield Frame(shot.image, shot.encoding, shot.stamp_ns, frame_id, index)

    def close(self) -> None:
        """Stop the thread and release the device; calling it twice is fine."""
        self._stop.set()
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._release()
        if self._thread is not None and self._thread is not threading.current_thread():
            # A driver may hang in a read: the thread is a daemon and is left then.
            self._thread.join(timeout=2.0)

    @abstractmethod
    def _capture(self) -> Iterator[LiveShot | SourceError]:
        """Yield frames until the device ends; runs in the thread.

        A ``SourceError`` that is yielded is one damaged frame; one that is raised
        is the end.
        """

    @abstractmethod
    def _release(self) -> None:
        """Make a blocked ``_capture`` return soon; may be called twice."""

    def _take(self) -> tuple[int, LiveShot] | None:
        """Wait for a frame that was not taken yet; ``None`` at a regular end."""
        with self._changed:
            arrived = self._changed.wait_for(
                lambda: self._newest is not None or self._ended, self._options.timeout_s
            )
            if not arrived:
                raise SourceError(
                    f"{self._name}: no frame for {self._options.timeout_s:g} s, "
                    "check the camera and its cable"
                )
            taken, self._newest = self._newest, None
            if taken is None and self._end is not None:
                raise self._end
            return taken

    def _pump(self) -> None:
        end: SourceError | None = None
        try:
            for index, shot in enumerate(self._capture()):
                if self._stop.is_set():
                    break
                if isinstance(shot, SourceError):
                    self.skipped.append(str(shot))
                    continue
                with self._changed:
                    self.dropped += self._newest is not None
                    self._newest = (index, shot)
                    self._changed.notify_all()
        except SourceError as error:
            end = error
        # Whatever a driver's binding raises must reach the consumer, not die with
        # the thread and look like silence.
        except Exception as error:
            end = SourceError(f"{self._name}: {' '.join(str(error).split())}")
        with self._changed:
            self._end = None if self._stop.is_set() else end
            self._ended = True
            self._changed.notify_all()
