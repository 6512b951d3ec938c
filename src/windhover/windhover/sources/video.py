"""Frames from video files, through PyAV (FFmpeg)."""

from __future__ import annotations

import itertools
import re
import statistics
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from windhover.errors import SourceError
from windhover.sources.exif import turn_upright
from windhover.sources.options import DEFAULT_RATE_HZ, SourceOptions
from windhover.sources.palette import ThermalConverter
from windhover.sources.recorded import DecodedFrame, RecordedSource
from windhover.types import Image

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

VIDEO_SUFFIXES = (
    ".mp4", ".mkv", ".avi", ".mov", ".webm", ".m4v", ".ts", ".m2ts", ".mts", ".mpg", ".mpeg",
    ".3gp", ".flv", ".wmv", ".y4m", ".mjpeg", ".mjpg", ".h264", ".264", ".h265", ".265", ".hevc",
)  # fmt: skip

# The signs of a display matrix's a, b, c, d, as x' = ax + cy and y' = bx + dy, and the
# EXIF orientation that turns a picture the same way (ISO 14496-12, 8.5.2 tkhd).
_ORIENTATIONS = {
    (1, 0, 0, 1): 1,
    (-1, 0, 0, 1): 2,
    (-1, 0, 0, -1): 3,
    (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5,
    (0, 1, -1, 0): 6,
    (0, -1, -1, 0): 7,
    (0, -1, 1, 0): 8,
}
_MATRIX_ONE = 1 << 16
_MATRIX_TOLERANCE = 0.02

_DEEP_GRAY = re.compile("gray(9|10|12|14|16)(le|be)")


class VideoFile(RecordedSource):
    """A video file; stamps are start + presentation time, so gaps in it stay.

    ``rate_hz`` given by the caller replaces the file's timing. Grey pixel formats
    stay ``mono8`` or ``mono16``, all else becomes ``bgr8``. Pictures are turned upright
    as the file's display matrix says.
    """

    def __init__(self, path: Path, name: str, options: SourceOptions) -> None:
        """Open the file once to learn its rate and length.

        Args:
            path: the video file.
            name: the URI, for messages.
            options: ``rate_hz``, ``loop``, ``start_stamp_ns``, ``frame_id``,
                ``camera``, ``as_gray``, ``palette`` and ``on_bad`` are read.

        Raises:
            SourceError: it can't be opened, or holds no video.
        """
        self._path = path
        self._converter = ThermalConverter(options.palette, options.on_warning)
        container, stream = _open(path)
        with container:
            super().__init__(name, options.rate_hz or _rate(container, stream),
                             _length(stream), options)  # fmt: skip

    def _read(self) -> Iterator[DecodedFrame | SourceError]:
        import av

        container, stream = _open(self._path)
        stream.thread_type = "AUTO"
        first_pts: int | None = None
        count, end_s = 0, 0.0
        with container:
            packets = container.demux(stream)
            while True:
                try:
                    packet = next(packets, None)
                    if packet is None:
                        break
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
                    yield self._decoded(frame, stamp_ns, count)
                    count += 1
            if _ends_early(self._path, container, stream, end_s):
                yield SourceError(f"video {self._path} is truncated after frame {count}")

    def _decoded(self, frame: VideoFrame, stamp_ns: int, count: int) -> DecodedFrame:
        what = f"frame {count} of video {self._path}"
        if self._options.thermal:
            if not self._converter.checked:
                self._converter.check(*frame_to_image(frame), what)
            image, encoding = frame_to_image(frame, as_gray=True)
            image, encoding = self._converter.convert(image, encoding, what)
        else:
            image, encoding = frame_to_image(frame)
        return DecodedFrame(turn_upright(image, _orientation(frame, what)), encoding, stamp_ns)

    def _stamp_ns(self, frame: VideoFrame, first_pts: int | None, count: int) -> int:
        start_ns = self._options.start_stamp_ns
        if self._options.rate_hz or frame.pts is None or first_pts is None or not frame.time_base:
            return start_ns + round(count * 1e9 / self._rate_hz)
        base = frame.time_base
        # In integers: a float's 53 bits do not hold nanoseconds of a long file.
        return start_ns + (frame.pts - first_pts) * base.numerator * 10**9 // base.denominator


def _length(stream: VideoStream) -> int | None:
    """How many frames the file's index lists; ``None`` where it has none of them all."""
    # An AVI's header counts the empty chunks too that stand for dropped frames.
    return len(stream.index_entries) or None if stream.frames else None


def _rate(container: InputContainer, stream: VideoStream) -> float:
    """Nominal frames per second."""
    if _is_avi(container) and stream.time_base and len(stream.index_entries) > 1:
        # An AVI's rate is the clock of its chunks, of which many may be empty.
        times = [entry.timestamp for entry in stream.index_entries]
        steps = [later - earlier for earlier, later in itertools.pairwise(times)]
        return float(1 / (statistics.median(steps) * stream.time_base))
    return float(stream.average_rate or DEFAULT_RATE_HZ)


def _is_avi(container: InputContainer) -> bool:
    return "avi" in container.format.name.split(",")


def _ends_early(path: Path, container: InputContainer, stream: VideoStream, end_s: float) -> bool:
    """Tell whether the file promised more than it held: FFmpeg ends in silence.

    Frames are not counted for this: edit lists and empty chunks leave some out.
    """
    size = path.stat().st_size
    if _is_avi(container):
        with path.open("rb") as file:
            header = file.read(8)
        return int.from_bytes(header[4:], "little") + len(header) > size
    if stream.frames:
        return any(entry.pos + entry.size > size for entry in stream.index_entries)
    if container.duration is None or len(container.streams) > 1:
        return False  # another stream may well be longer
    # Some formats count the duration from 0 and some from the first frame: taken
    # from 0 it is never too long, so a complete file is never called truncated.
    missing_s = container.duration / 1e6 - end_s
    return missing_s > max(0.5, 5 / float(stream.average_rate or DEFAULT_RATE_HZ))


def _orientation(frame: VideoFrame, what: str) -> int:
    """The EXIF orientation that stands for a frame's display matrix; 1 without one."""
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return 1
    a, b, _, c, d = struct.unpack_from("=5i", memoryview(matrix))
    scale = max(abs(a), abs(b), abs(c), abs(d)) or _MATRIX_ONE
    turns = tuple(round(each / scale) for each in (a, b, c, d))
    exact = all(
        abs(each / scale - turn) < _MATRIX_TOLERANCE
        for each, turn in zip((a, b, c, d), turns, strict=True)
    )
    if not exact or turns not in _ORIENTATIONS:
        raise SourceError(
            f"{what} is to be shown turned by {frame.rotation} degrees: only quarter turns and "
            "mirroring are known, convert it with ffmpeg first"
        )
    return _ORIENTATIONS[turns]


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
        return np.ascontiguousarray(frame.to_ndarray(format="gray"), np.uint8), "mono8"
    return np.ascontiguousarray(frame.to_ndarray(format="bgr24"), np.uint8), "bgr8"


def _open(path: Path) -> tuple[InputContainer, VideoStream]:
    import av

    try:
        # Titles and comments in other encodings than UTF-8 are no reason to fail.
        container = av.open(str(path), metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        raise SourceError(
            f"cannot open video {path}: {error.strerror or error} (damaged, or not a video)"
        ) from error
    if not container.streams.video:
        container.close()
        raise SourceError(f"{path} holds no video stream")
    return container, container.streams.video[0]
