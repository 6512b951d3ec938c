"""Frames from a V4L2 camera, through FFmpeg's v4l2 input in PyAV."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from windhover.errors import SourceError
from windhover.sources.live import LiveShot, LiveSource
from windhover.sources.options import SourceOptions
from windhover.sources.video import frame_to_image

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.error import FFmpegError
    from av.video.frame import VideoFrame

PIXEL_FORMATS = {
    "mjpeg": "mjpeg",
    "h264": "h264",
    "yuyv": "yuyv422",
    "uyvy": "uyvy422",
    "nv12": "nv12",
    "bgr": "bgr24",
    "rgb": "rgb24",
    "gray": "gray",
    "y16": "gray16le",
}
"""Names that ``format=`` takes, and FFmpeg's for them."""

_CLOCK_SLACK_NS = 10 * 10**9


class AvCamera(LiveSource):
    """A live input that FFmpeg reads.

    Stamps are the driver's own capture times where they are on the wall clock (the
    v4l2 input converts them), else the time at which the frame was read.
    """

    def __init__(self, container: InputContainer, name: str, options: SourceOptions) -> None:
        """Take over an open input.

        Args:
            container: open, with a video stream.
            name: the URI, for messages.
            options: ``rate_hz``, ``frame_id``, ``as_gray`` and ``timeout_s`` are read.
        """
        super().__init__(name, options)
        self._container = container
        self._stream = container.streams.video[0]
        self._rate_hz = float(self._stream.average_rate or 0) or self._rate_hz

    def _capture(self) -> Iterator[LiveShot | SourceError]:
        import av

        packets = self._container.demux(self._stream)
        try:
            while not self._stop.is_set():
                try:
                    packet = next(packets, None)
                except (av.error.FFmpegError, OSError) as error:
                    raise SourceError(
                        f"{self._name}: camera went away ({error.strerror or error}), "
                        "check its cable and power"
                    ) from error
                if packet is None or not packet.size:
                    raise SourceError(f"{self._name}: camera stopped sending")
                try:
                    frames = packet.decode()
                except av.error.FFmpegError as error:
                    # One broken MJPEG on a noisy bus is no reason to stop.
                    yield SourceError(f"{self._name}: damaged frame ({error.strerror})")
                    continue
                for frame in frames:
                    stamp_ns = _stamp_ns(frame)
                    image, encoding = frame_to_image(frame, as_gray=self._options.as_gray)
                    yield LiveShot(image, encoding, stamp_ns)
        finally:
            self._container.close()

    def _release(self) -> None:
        # Closing a container under a thread that reads it would crash: the thread
        # closes it when it sees the stop, and here only where it never ran.
        if self._thread is None:
            self._container.close()


def open_v4l2(device: str, name: str, options: SourceOptions) -> AvCamera:
    """Open a camera device.

    Args:
        device: ``/dev/video0``.
        name: the URI, for messages.
        options: ``size``, ``rate_hz`` and ``pixel_format`` are asked of the camera,
            which may give what comes nearest; ``y16`` keeps thermal counts.

    Returns:
        The camera, not yet streaming frames to anyone.

    Raises:
        SourceError: no such device, no permission, busy, or it does not offer what
            was asked for.
    """
    import av

    wanted = _device_options(name, options)
    if not Path(device).exists():
        raise SourceError(f"no camera at {device}: check the cable, `v4l2-ctl --list-devices`")
    try:
        container = av.open(device, format="v4l2", options=wanted)
    except (av.error.FFmpegError, OSError) as error:
        raise SourceError(f"cannot open camera {device}: {_reason(error, wanted)}") from error
    except ValueError as error:
        raise SourceError(f"cannot open {device}: this PyAV has no v4l2 input ({error})") from error
    if not container.streams.video:
        container.close()
        raise SourceError(f"{device} is no capture device: name another /dev/video*")
    return AvCamera(container, name, options)


def _device_options(name: str, options: SourceOptions) -> dict[str, str]:
    # Wall-clock stamps, converted from the driver's monotonic ones frame by frame:
    # an offset taken once would drift when the clock is set.
    wanted = {"timestamps": "abs"}
    if options.size:
        wanted["video_size"] = f"{options.size[0]}x{options.size[1]}"
    if options.rate_hz:
        wanted["framerate"] = f"{options.rate_hz:g}"
    if options.pixel_format:
        known = PIXEL_FORMATS.get(options.pixel_format.lower())
        if known is None:
            raise SourceError(
                f"{name}: unknown pixel format {options.pixel_format!r}, "
                f"use one of {', '.join(PIXEL_FORMATS)}"
            )
        wanted["input_format"] = known
    return wanted


def _reason(error: FFmpegError | OSError, wanted: dict[str, str]) -> str:
    if error.errno == errno.EBUSY:
        return "another process uses it, stop that first"
    if error.errno in {errno.EACCES, errno.EPERM}:
        return "no permission, add this user to the group video"
    if error.errno in {errno.ENOTTY, errno.EINVAL, errno.ENODEV}:
        asked = ", ".join(f"{key}={value}" for key, value in wanted.items() if key != "timestamps")
        return f"not a camera, or it does not offer {asked or 'capture'} ({error.strerror})"
    return error.strerror or str(error)


def _stamp_ns(frame: VideoFrame) -> int:
    now_ns = time.time_ns()
    if frame.pts is None or not frame.time_base:
        return now_ns
    stamp_ns = frame.pts * frame.time_base.numerator * 10**9 // frame.time_base.denominator
    return stamp_ns if abs(now_ns - stamp_ns) < _CLOCK_SLACK_NS else now_ns
