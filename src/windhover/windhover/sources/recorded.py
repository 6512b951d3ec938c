"""Base of all sources that read files: time, looping and unreadable frames."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from windhover.errors import SourceError
from windhover.sources.options import SourceOptions
from windhover.types import Frame, Image


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """One frame as a file gives it.

    Attributes:
        image: as in :class:`~windhover.types.Frame`.
        encoding: as in :class:`~windhover.types.Frame`.
        stamp_ns: capture time in this pass over the file, nanoseconds.
        frame_id: tf frame that the file itself names, if any.
    """

    image: Image
    encoding: str
    stamp_ns: int
    frame_id: str | None = None


class RecordedSource(ABC):
    """A source with an end; each ``iter`` starts at its beginning.

    A frame's ``index`` counts all frames of the file, unreadable ones included, so that
    it always identifies the frame within the file.

    Attributes:
        skipped: how many frames were left out under ``on_bad="skip"`` since the source
            was opened.
    """

    def __init__(
        self, name: str, rate_hz: float, length: int | None, options: SourceOptions
    ) -> None:
        self._name = name
        self._rate_hz = rate_hz
        self._length = length
        self._options = options
        self.skipped = 0
        self._first_skipped = ""
        # The part of the file that a pass reads, for messages.
        self._part = "it"

    @property
    def name(self) -> str:
        """The URI it was opened from, for messages."""
        return self._name

    @property
    def rate_hz(self) -> float:
        """Nominal frames per second of capture time."""
        return self._rate_hz

    @property
    def length(self) -> int | None:
        """How many frames one pass has; ``None`` when unknown or looping."""
        return None if self._options.loop else self._length

    @property
    def live(self) -> bool:
        """False: it can be read at any pace."""
        return False

    def close(self) -> None:  # noqa: B027 - most files are open only during a pass
        """Release resources that are kept between passes; most sources keep none."""

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames in capture order.

        Raises:
            SourceError: a frame can't be read (``on_bad="raise"``), or none can.
        """
        index, shift_ns = 0, 0
        while True:
            first_ns: int | None = None
            last_ns = 0
            for item in self._read():
                if item is None:
                    index += 1
                    continue
                if isinstance(item, SourceError):
                    self._skip_or_raise(item)
                    index += 1
                    continue
                if first_ns is None:
                    first_ns = item.stamp_ns
                last_ns = max(last_ns, item.stamp_ns)
                yield Frame(
                    item.image,
                    item.encoding,
                    item.stamp_ns + shift_ns,
                    self._options.frame_id or item.frame_id or "camera",
                    index,
                )
                index += 1
            if first_ns is None:
                reason = f": {self._first_skipped}" if self._first_skipped else ", it holds none"
                raise SourceError(f"{self._name}: not one readable frame in {self._part}{reason}")
            if not self._options.loop:
                return
            shift_ns += last_ns - first_ns + round(1e9 / self._rate_hz)

    @abstractmethod
    def _read(self) -> Iterator[DecodedFrame | SourceError | None]:
        """One pass: each frame, the error of an unreadable one, or ``None`` for one left out."""

    def _skip_or_raise(self, error: SourceError) -> None:
        if self._options.on_bad == "raise":
            raise error
        self.skipped += 1
        self._first_skipped = self._first_skipped or str(error)
        if self._options.on_skip is not None:
            self._options.on_skip(error)
