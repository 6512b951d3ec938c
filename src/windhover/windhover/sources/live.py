"""Base of all cameras: only the newest frame is kept, and silence is an error."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from windhover.errors import SourceError
from windhover.sources.clock import ClockMap, Reading, SequenceCounter
from windhover.sources.options import DEFAULT_RATE_HZ, SourceOptions
from windhover.types import Frame, Image


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """One frame as a camera gives it.

    Attributes:
        image: as in :class:`~windhover.types.Frame`.
        encoding: as in :class:`~windhover.types.Frame`.
        received: the host's clocks when it arrived.
        device_ns: its driver's capture stamp, on the clock that ``monotonic`` says.
        monotonic: that clock is this host's CLOCK_MONOTONIC.
        sequence: its number among all frames that the device took.
    """

    image: Image
    encoding: str
    received: Reading
    device_ns: int | None = None
    monotonic: bool = False
    sequence: int | None = None


@dataclass(frozen=True, slots=True)
class CaptureStatistics:
    """Counts of a camera's frames since it was opened.

    Attributes:
        read: frames that arrived complete.
        lost: that the device captured and that never arrived, by their sequence numbers.
        late: that came after a newer one, and were left out.
        replaced: by a newer one before anyone took them.
        damaged: that arrived broken, and were left out.
        clock_steps: how often the wall clock was stepped.
        clock_step_ns: by how much the last time.
        device_restarts: how often the device's own clock was restarted.
        stamps_untrusted: frames stamped on arrival, as the device's stamp was impossible.
        delay_ns: from capture to arrival of the last frame.
    """

    read: int = 0
    lost: int = 0
    late: int = 0
    replaced: int = 0
    damaged: int = 0
    clock_steps: int = 0
    clock_step_ns: int = 0
    device_restarts: int = 0
    stamps_untrusted: int = 0
    delay_ns: int = 0


class LiveSource(ABC):
    """A camera that is read by its own thread.

    The thread takes every frame off the device, so that the driver's queue never
    fills, and keeps only the newest: a slow consumer gets a fresh frame, never a
    backlog. A frame that comes after a newer one is left out. After an error the
    source can't be used any more; open it again.
    """

    def __init__(self, name: str, options: SourceOptions) -> None:
        self._name = name
        self._options = options
        self._rate_hz = options.rate_hz or DEFAULT_RATE_HZ
        self._changed = threading.Condition()
        self._newest: Frame | None = None
        self._end: SourceError | None = None
        self._ended = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._clock: ClockMap | None = None
        self._numbers = SequenceCounter()
        self._read = 0
        self._replaced = 0
        self._damaged = 0
        self._step_ns = 0

    @property
    def name(self) -> str:
        """The URI it was opened from, for messages."""
        return self._name

    @property
    def rate_hz(self) -> float:
        """Frames per second that the device reports, or that it was asked for."""
        return self._rate_hz

    @property
    def length(self) -> int | None:
        """``None``: it is unknown."""
        return None

    @property
    def live(self) -> bool:
        """True: frames come at the camera's pace."""
        return True

    @property
    def statistics(self) -> CaptureStatistics:
        """Counts of its frames so far."""
        clock = self._clock or ClockMap(True)
        return CaptureStatistics(
            self._read,
            self._numbers.lost,
            self._numbers.late,
            self._replaced,
            self._damaged,
            clock.steps,
            self._step_ns,
            clock.restarts,
            clock.untrusted,
            clock.delay_ns,
        )

    def __iter__(self) -> Iterator[Frame]:
        """Yield the newest frame, each at most once, as they come.

        ``index`` counts the frames that arrived, replaced ones included. Stamps
        increase, except across a step of the wall clock, see :attr:`statistics`.

        Raises:
            SourceError: the camera went away, or gave nothing for ``timeout_s``.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._pump, name=self._name, daemon=True)
            self._thread.start()
        while True:
            frame = self._take()
            if frame is None:
                return
            yield frame
            # Held no longer than whoever took it holds it.
            del frame

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
    def _capture(self) -> Iterator[CapturedFrame | SourceError]:
        """Yield frames until the device ends; runs in the thread.

        A ``SourceError`` that is yielded is one damaged frame; one that is raised
        is the end.
        """

    @abstractmethod
    def _release(self) -> None:
        """Make a blocked ``_capture`` return soon; may be called twice."""

    def _take(self) -> Frame | None:
        """Wait for a frame that was not yielded yet; ``None`` at a regular end."""
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
            for shot in self._capture():
                if self._stop.is_set():
                    break
                if isinstance(shot, SourceError):
                    self._damaged += 1
                    if self._options.on_skip is not None:
                        self._options.on_skip(shot)
                else:
                    self._offer(shot)
                # It may be the camera's own memory: not held while the next is waited for.
                del shot
        except SourceError as error:
            end = error
        # Whatever a driver's binding raises must reach the consumer: if it only ended
        # the thread, it would look like silence.
        except Exception as error:
            end = SourceError(f"{self._name}: {' '.join(str(error).split())}")
        with self._changed:
            self._end = None if self._stop.is_set() else end
            self._ended = True
            self._changed.notify_all()

    def _offer(self, shot: CapturedFrame) -> None:
        """Stamp a frame and put it in place of the previous one."""
        if self._clock is None:
            self._clock = ClockMap(shot.monotonic)
        if not self._numbers.count(shot.sequence, shot.device_ns):
            return
        stamp = self._clock.stamp(shot.device_ns, shot.received)
        if stamp.step_ns:
            self._step_ns = stamp.step_ns
        frame_id = self._options.frame_id or "camera"
        with self._changed:
            self._replaced += self._newest is not None
            self._newest = Frame(shot.image, shot.encoding, stamp.stamp_ns, frame_id, self._read)
            self._read += 1
            self._changed.notify_all()
