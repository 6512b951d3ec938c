"""The interface of a source of frames.

A source yields :class:`~windhover.types.Frame` in capture order and does no pacing: its
consumer decides how fast to play it. To add one, write a class that fits :class:`Source`
and register a :class:`~windhover.sources.kinds.SourceKind`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

from windhover.types import Frame


@runtime_checkable
class Source(Protocol):
    """Where frames come from: a camera, files or a renderer."""

    @property
    def name(self) -> str:
        """The URI it was opened from, for messages."""
        ...

    @property
    def rate_hz(self) -> float:
        """Nominal frames per second of capture time."""
        ...

    @property
    def length(self) -> int | None:
        """How many frames there are; ``None`` when live or unknown."""
        ...

    @property
    def live(self) -> bool:
        """True for a camera: frames arrive at their own pace and may stop."""
        ...

    def __iter__(self) -> Iterator[Frame]:
        """Yield frames in capture order.

        Raises:
            SourceError: the source went away or a frame of it can't be read.
        """
        ...

    def close(self) -> None:
        """Release the device or file; calling it twice is fine."""
        ...
