"""Writing pictures as an MP4 that browsers play, each at its capture time."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import DataError
from windhover.imaging.letterbox import Letterbox

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

_TICKS = 60_000
"""Ticks a second of presentation times: integers for the usual rates, and within the 16
bits that MPEG-4 part 2 has for it."""

_CODECS = (("libx264", {"preset": "veryfast", "crf": "20", "bf": "0"}), ("mpeg4", {"q": "3"}))
"""H.264 where this FFmpeg has it, else MPEG-4 part 2; no B-frames, so a picture's
time is also its place in the file."""


class VideoWriter:
    """An MP4 file (H.264, yuv420p) that is complete or at least playable.

    Frames go to ``NAME.partial.mp4`` in fragments of a second, so that a process
    that is killed leaves all but the last seconds; :meth:`close` makes it a plain
    MP4 and gives it its name, also after an error in the ``with`` block.

    Attributes:
        path: where the finished file will be.
        partial_path: where it is until then.
        count: frames written so far.
    """

    def __init__(self, path: str | Path, rate_hz: float) -> None:
        """Prepare; the file is begun with the first frame, which sets its size.

        Args:
            path: of the file, ending in ``.mp4``; replaced if it exists.
            rate_hz: nominal frames per second.

        Raises:
            DataError: the ending is not ``.mp4`` or the rate not above 0.
        """
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise DataError(f"cannot write video {self.path}: its name must end in .mp4")
        if not (math.isfinite(rate_hz) and rate_hz > 0):
            raise DataError(f"cannot write video {self.path}: rate {rate_hz} is not above 0")
        self.partial_path = self.path.with_name(f"{self.path.stem}.partial.mp4")
        self.count = 0
        self._period = max(1, round(_TICKS / rate_hz))
        self._rate = Fraction(rate_hz).limit_denominator(1000)
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._first_ns = 0
        self._last_ticks = 0

    def __enter__(self) -> VideoWriter:
        """Use as a context manager, which closes it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Finish the file, whatever happened."""
        self.close()

    def write(self, bgr: NDArray[np.uint8], stamp_ns: int) -> None:
        """Add one picture.

        Args:
            bgr: ``(H, W, 3)`` uint8. A size other than the first is letterboxed
                into it; odd sides are padded by a pixel, as yuv420p needs even ones.
            stamp_ns: capture time, nanoseconds; the first becomes 0. One that does
                not advance is put a nominal period after the last.

        Raises:
            DataError: not such a picture, or the file can't be written.
        """
        import av

        if bgr.dtype != np.uint8 or bgr.ndim != 3 or bgr.shape[2] != 3 or bgr.size == 0:
            raise DataError(f"video {self.path} takes (H, W, 3) uint8, got {bgr.dtype} {bgr.shape}")
        try:
            stream = self._stream or self._begin(bgr, stamp_ns)
            frame = av.VideoFrame.from_ndarray(self._fit(bgr, stream), format="bgr24")
            frame = frame.reformat(format="yuv420p", dst_colorspace="ITU709")
            frame.pts, frame.time_base = self._ticks(stamp_ns), Fraction(1, _TICKS)
            self._mux(stream, frame)
        except (av.error.FFmpegError, OSError) as error:
            raise DataError(f"cannot write video {self.path}: {error.strerror or error}") from error
        self.count += 1

    def close(self) -> None:
        """Finish the file and give it its name; calling it twice is fine.

        Without a single frame no file is left.

        Raises:
            DataError: the file can't be finished.
        """
        import av

        container, self._container = self._container, None
        stream, self._stream = self._stream, None
        if container is None or stream is None:
            return
        try:
            with container:
                container.mux(stream.encode(None))
            self.partial_path.replace(self.path)
        except (av.error.FFmpegError, OSError) as error:
            raise DataError(
                f"cannot finish video {self.path}: {error.strerror or error}, "
                f"what was written is in {self.partial_path}"
            ) from error

    def _begin(self, bgr: NDArray[np.uint8], stamp_ns: int) -> VideoStream:
        import av

        self.path.parent.mkdir(parents=True, exist_ok=True)
        # Fragments while it grows, one index at the end once it is closed.
        container = av.open(
            str(self.partial_path),
            "w",
            format="mp4",
            options={"movflags": "frag_keyframe+hybrid_fragmented", "flush_packets": "1"},
        )
        name, options = next(item for item in _CODECS if item[0] in av.codecs_available)
        stream = cast("VideoStream", container.add_stream(name, rate=self._rate, options=options))
        stream.height = bgr.shape[0] + bgr.shape[0] % 2
        stream.width = bgr.shape[1] + bgr.shape[1] % 2
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = Fraction(1, _TICKS)
        context.gop_size = max(1, round(_TICKS / self._period))
        # Untagged video is BT.601 to one player and BT.709 to another.
        context.colorspace = context.color_primaries = context.color_trc = 1
        context.color_range = 1
        container.start_encoding()
        self._container, self._stream = container, stream
        self._first_ns, self._last_ticks = stamp_ns, -self._period
        return stream

    def _fit(self, bgr: NDArray[np.uint8], stream: VideoStream) -> NDArray[np.uint8]:
        height, width = bgr.shape[:2]
        down, right = stream.height - height, stream.width - width
        if down == 0 and right == 0:
            return np.ascontiguousarray(bgr)
        if 0 <= down <= 1 and 0 <= right <= 1:
            padded = cv2.copyMakeBorder(bgr, 0, down, 0, right, cv2.BORDER_REPLICATE)
            return np.asarray(padded, np.uint8)
        return Letterbox((height, width), (stream.height, stream.width)).apply(bgr)

    def _ticks(self, stamp_ns: int) -> int:
        ticks = (stamp_ns - self._first_ns) * _TICKS // 10**9
        if ticks <= self._last_ticks:
            ticks = self._last_ticks + self._period
        self._last_ticks = ticks
        return ticks

    def _mux(self, stream: VideoStream, frame: object) -> None:
        assert self._container is not None
        for packet in stream.encode(frame):  # type: ignore[arg-type]
            self._container.mux(packet)
