"""Options of all kinds of source."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args
from urllib.parse import parse_qsl

from windhover.errors import SourceError
from windhover.imaging.compressed import FourthChannel
from windhover.sources.palette import OnWarning, Palette, known_palette

Camera = Literal["rgb", "thermal"]
OnBad = Literal["raise", "skip"]

DEFAULT_RATE_HZ = 30.0
"""For files that carry no rate of their own."""


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """Options of :func:`windhover.sources.open_source`; each source reads its own.

    Attributes:
        rate_hz: frames per second. Files: replaces their own timing. Cameras: requested
            from the device.
        loop: files: start again at the end; time continues.
        start_stamp_ns: stamp of a file source's first frame, nanoseconds; files
            carry no clock, so a node passes its own now.
        frame_id: tf frame; ``None`` takes a bag's own, else ``camera``.
        as_gray: give 8-bit colour files as ``mono8``: thermal recordings are often
            stored as grey in three channels.
        fourth_channel: image files: what the last of four channels is. ``alpha`` is
            left out; ``thermal`` makes the picture an ``8UC4`` frame of both cameras.
        on_bad: ``raise`` on a frame that can't be read, or ``skip`` it and continue.
        on_skip: called with the error of each skipped frame.
        on_warning: called with a sentence that the user should know, once a source.
        topic: bags: the image topic; needed where there are several.
        start_s: bags: seconds after the bag's first message at which to start.
        duration_s: bags: seconds to play from there; ``None`` plays to the end.
        size: cameras: ``(width, height)`` to request.
        pixel_format: cameras: ``mjpeg``, ``yuyv``, ``nv12``, ``gray``, ``y16``, ...
        keep_nv12: cameras: give NV12 frames unconverted, ``(1.5 H, W)`` with the encoding
            ``nv12``; a camera that has none gives what it has.
        nearest_size: V4L2: where the camera does not have ``size``, take the size that it
            chooses, with a warning.
        timeout_s: cameras: time without a frame after which the camera counts as gone.
        exposure_us: V4L2: microseconds; 0 lets the camera choose, ``None`` leaves it.
        gain: V4L2: in the camera's own units; ``None`` leaves it.
        camera: which camera's frames are wanted: of files, an R-JPEG's picture or its
            counts; of rendered scenes and bags of two, which of the two cameras.
        palette: thermal pictures without counts: the palette that they are in.
        page: TIFF files of several pages: which one, 0 for the first.
    """

    rate_hz: float | None = None
    loop: bool = False
    start_stamp_ns: int = 0
    frame_id: str | None = None
    as_gray: bool = False
    fourth_channel: FourthChannel = "alpha"
    on_bad: OnBad = "raise"
    on_skip: Callable[[SourceError], None] | None = None
    on_warning: OnWarning | None = None
    topic: str | None = None
    start_s: float = 0.0
    duration_s: float | None = None
    size: tuple[int, int] | None = None
    pixel_format: str | None = None
    keep_nv12: bool = False
    nearest_size: bool = False
    timeout_s: float = 5.0
    exposure_us: float | None = None
    gain: float | None = None
    camera: Camera | None = None
    palette: Palette = "auto"
    page: int | None = None

    @property
    def thermal(self) -> bool:
        """Whether frames of a thermal camera are wanted."""
        return self.as_gray or self.camera == "thermal"

    def __post_init__(self) -> None:
        """Check ranges and words.

        Raises:
            SourceError: a number is out of its range, or a word is unknown.
        """
        if not (math.isfinite(self.start_s) and self.start_s >= 0):
            raise SourceError(f"start must be 0 s or more, got {self.start_s}")
        for what, value in (
            ("rate_hz", self.rate_hz),
            ("timeout_s", self.timeout_s),
            ("duration_s", self.duration_s),
        ):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise SourceError(f"{what} must be above 0, got {value}")
        for what, value in (
            ("exposure_us", self.exposure_us),
            ("gain", self.gain),
            ("page", self.page),
        ):
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise SourceError(f"{what} must be 0 or more, got {value}")
        for what, chosen, known in (
            ("fourth", self.fourth_channel, get_args(FourthChannel)),
            ("on_bad", self.on_bad, get_args(OnBad)),
        ):
            if chosen not in known:
                raise SourceError(f"{what} must be {' or '.join(known)}, got {chosen!r}")
        known_palette(self.palette)
        if self.size is not None and min(self.size) < 1:
            raise SourceError(f"size must be at least 1x1, got {self.size[0]}x{self.size[1]}")


def with_query(options: SourceOptions, query: str, uri: str) -> SourceOptions:
    """Override options by a URI's query.

    Args:
        options: as the caller gave them.
        query: the part after the ``?``: ``size=1280x720``, ``rate=30``,
            ``format=mjpeg``, ``timeout=5``, ``exposure=8000``, ``gain=16``,
            ``fourth=thermal``, ``topic=/camera/image_raw``, ``start=12``, ``duration=5``,
            ``palette=black-hot``, ``page=0``.
        uri: for messages.

    Returns:
        The options, with those of the query replaced.

    Raises:
        SourceError: an unknown key or a value that is not one.
    """
    for key, value in parse_qsl(query, keep_blank_values=True):
        parse = _QUERY.get(key)
        if parse is None:
            raise SourceError(f"{uri}: unknown option {key!r}, use {', '.join(_QUERY)}")
        options = _with(options, parse, value, f"{uri}: {key}={value} is not a valid {key}")
    return options


def _with(
    options: SourceOptions, parse: Callable[[str], dict[str, Any]], value: str, problem: str
) -> SourceOptions:
    try:
        return replace(options, **parse(value))
    except ValueError as error:
        raise SourceError(problem) from error


def _size(value: str) -> dict[str, Any]:
    width, height = value.lower().split("x")
    return {"size": (int(width), int(height))}


_QUERY: dict[str, Callable[[str], dict[str, Any]]] = {
    "size": _size,
    "rate": lambda value: {"rate_hz": float(value)},
    "timeout": lambda value: {"timeout_s": float(value)},
    "format": lambda value: {"pixel_format": value},
    "exposure": lambda value: {"exposure_us": float(value)},
    "gain": lambda value: {"gain": float(value)},
    "fourth": lambda value: {"fourth_channel": value},
    "topic": lambda value: {"topic": value},
    "start": lambda value: {"start_s": float(value)},
    "duration": lambda value: {"duration_s": float(value)},
    "palette": lambda value: {"palette": value},
    "page": lambda value: {"page": int(value)},
}
