"""Frames from video files, through PyAV (FFmpeg)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from windhover.errors import SourceError
from windhover.sources.options import DEFAULT_RATE_HZ, SourceOptions
from windhover.sources.recorded import RecordedSource, Shot
from windhover.types import Image

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

VIDEO_SUFFIXES = (".mp4", ".mkv", ".avi", ".mov", ".webm", ".m4v", ".ts", ".mpg", ".mpeg", ".mjpeg")

_DEEP_GRAY = re.compile("gray(9|10|12|14|16)(le|be)")


class VideoFile(RecordedSource):
    """A video file; stamps are start + presentation time, so gaps in it stay.

    ``rate_hz`` given by the caller replaces the file's timing. Grey pixel formats
    stay ``mono8`` or ``mono16``, all else becomes ``bgr8``.
    """

    def __init__(self, path: Path, name: str, options: SourceOptions) -> None:
        """Open the file once to learn its rate and length.

        Args:
            path: the video file.
            name: the URI, for messages.
            options: ``rate_hz``, ``loop``, ``start_stamp_ns``, ``frame_id``,
                ``as_gray`` and ``on_bad`` are read.

        Raises:
            SourceError: it can't be opened, or holds no video.
        """
        self._path = path
        container, stream = _open(path)
        with container:
            rate = options.rate_hz or float(stream.average_rate or DEFAULT_RATE_HZ)
            super().__init__(name, rate, stream.frames or None, options)

    def _read(self) -> Iterator[Shot | SourceError]:
        import av

        container, stream = _open(self._path)
        stream.thread_type = "AUTO"
        first_pts: int | None = None
        count, packet_count, end_s = 0, 0, 0.0
        with container:
            packets = container.demux(stream)
            while True:
                try:
                    packet = next(packets, None)
                    if packet is None:
                        break
                    packet_count += packet.size > 0
                    frames = packet.decode()
                except av.error.FFmpegError as error:
                    yield SourceError(
                        f"video {self._path} is damaged after frame {count}: {error.strerror}"
                    )
                    continue
                for frame in frames:
                    if first_pts is None:
                        first_pts = frame.pts
                    stamp_ns = self._stamp_ns(frame, first_pts, count)
                    end_s = frame.time or 0.0
                    image, encoding = frame_to_image(frame, as_gray=self._options.as_gray)
                    yield Shot(image, encoding, stamp_ns)
                    count += 1
            if _ends_early(container, stream, packet_count, end_s):
                yield SourceError(f"video {self._path} is truncated after frame {count}")

    def _stamp_ns(self, frame: VideoFrame, first_pts: int | None, count: int) -> int:
        start_ns = self._options.start_stamp_ns
        if self._options.rate_hz or frame.pts is None or first_pts is None or not frame.time_base:
            return start_ns + round(count * 1e9 / self._rate_hz)
        base = frame.time_base
        # In integers: a float's 53 bits do not hold nanoseconds of a long file.
        return start_ns + (frame.pts - first_pts) * base.numerator * 10**9 // base.denominator


def _ends_early(
    container: InputContainer, stream: VideoStream, packet_count: int, end_s: float
) -> bool:
    """Tell whether the file promised more than it held: FFmpeg ends in silence."""
    if stream.frames:
        return packet_count < stream.frames
    if container.duration is None or len(container.streams) > 1:
        return False  # another stream may well be longer
    # Some formats count the duration from 0 and some from the first frame: taken
    # from 0 it is never too long, so a whole file is never called truncated.
    missing_s = container.duration / 1e6 - end_s
    return missing_s > max(0.5, 5 / float(stream.average_rate or DEFAULT_RATE_HZ))


def frame_to_image(frame: VideoFrame, *, as_gray: bool = False) -> tuple[Image, str]:
    """Turn a decoded frame into an array.

    Args:
        frame: of any pixel format that FFmpeg knows.
        as_gray: give colour as its luminance.

    Returns:
        ``(H, W)`` uint8 and ``mono8``, ``(H, W)`` uint16 and ``mono16`` (grey of 9 to
        16 bits, counts as they are), or ``(H, W, 3)`` uint8 and ``bgr8``.
    """
    import av.video.frame

    name = frame.format.name
    if _DEEP_GRAY.fullmatch(name):
        plain = name in av.video.frame.supported_np_pix_fmts
        deep = frame if plain else frame.reformat(format="gray16le")
        return np.asarray(deep.to_ndarray(), np.uint16), "mono16"
    if name == "gray" or as_gray:
        return np.asarray(frame.to_ndarray(format="gray"), np.uint8), "mono8"
    return np.asarray(frame.to_ndarray(format="bgr24"), np.uint8), "bgr8"


def _open(path: Path) -> tuple[InputContainer, VideoStream]:
    import av

    try:
        container = av.open(str(path))
    except (av.error.FFmpegError, OSError) as error:
        raise SourceError(
            f"cannot open video {path}: {error.strerror or error} (damaged, or not a video)"
        ) from error
    if not container.streams.video:
        container.close()
        raise SourceError(f"{path} holds no video stream")
    return container, container.streams.video[0]
