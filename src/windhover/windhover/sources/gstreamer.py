"""Frames from any GStreamer pipeline, through ``gst-launch-1.0`` and a pipe.

A child process needs only the distribution's GStreamer tools. OpenCV's wheels are
built without GStreamer, and a virtual environment cannot see the distribution's
PyGObject, so neither is a basis to build on; and a pipeline that crashes in a
vendor's plug-in does not take this process along.

A pipe copies each frame. Where GStreamer is 1.24 or newer,
:mod:`~windhover.sources.gstreamer_shared` maps the pipeline's own buffers instead.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

from windhover.errors import SourceError
from windhover.imaging.formats import decode_image, nv12_view
from windhover.sources.clock import Reading, read_clocks
from windhover.sources.live import CapturedFrame, LiveSource
from windhover.sources.options import SourceOptions
from windhover.sources.palette import ThermalConverter
from windhover.types import Image

_SINK = "windhover_out"
_STAMPS = "windhover_stamps"
_TIMING_TIMEOUT_S = 3.0
_ENCODINGS = {
    "BGR": ("bgr8", 3),
    "GRAY8": ("mono8", 1),
    "GRAY16_LE": ("mono16", 2),
    "NV12": ("nv12", 1),
}
_INSTALL = "install gstreamer1.0-tools gstreamer1.0-plugins-base (and -good for v4l2src)"


@dataclass(frozen=True, slots=True)
class VideoCaps:
    """The format of the pipeline's frames.

    Attributes:
        encoding: ``bgr8``, ``mono8``, ``mono16`` or ``nv12``.
        width: columns.
        height: rows.
        step: bytes a row: GStreamer pads rows to 4.
        rate_hz: frames per second, 0 where the pipeline does not say.
    """

    encoding: str
    width: int
    height: int
    step: int
    rate_hz: float

    @property
    def frame_bytes(self) -> int:
        """Bytes of a frame; NV12 has half as many rows of chroma, of an even number of rows."""
        luma = (self.height + 1) // 2 * 2 if self.encoding == "nv12" else self.height
        return self.step * (luma + luma // 2 if self.encoding == "nv12" else luma)


def parse_caps(text: str) -> VideoCaps | None:
    """Read the caps that ``gst-launch-1.0 -v`` prints for the output.

    Args:
        text: one line of its output.

    Returns:
        The caps; ``None`` where the line is about something else.
    """
    if f"{_SINK}.GstPad:sink: caps = video/x-raw" not in text:
        return None
    return caps_of(text)


def caps_of(text: str) -> VideoCaps | None:
    """Caps from their text, such as ``video/x-raw, format=(string)NV12, width=(int)3840``.

    Args:
        text: may hold more before them.

    Returns:
        The caps; ``None`` where they are of another format or lack a size.
    """
    fields = dict(re.findall(r"([a-z-]+)=\([a-z]+\)([^,\s;\0]+)", text))
    if fields.get("format") not in _ENCODINGS or not {"width", "height"} <= fields.keys():
        return None
    encoding, pixel_bytes = _ENCODINGS[fields["format"]]
    width = int(fields["width"])
    step = (width * pixel_bytes + 3) // 4 * 4
    rate_hz = float(Fraction(fields.get("framerate", "0/1")))
    return VideoCaps(encoding, width, int(fields["height"]), step, rate_hz)


@dataclass(frozen=True, slots=True)
class FrameTiming:
    """What the pipeline reports on one frame.

    Attributes:
        pts_ns: presentation time on the pipeline's running time, which a camera's
            element makes from its driver's stamp; ``None`` where there is none.
        sequence: the camera's frame number, where its element keeps it.
    """

    pts_ns: int | None
    sequence: int | None


def parse_frame(text: str) -> FrameTiming | None:
    """Read the line that ``gst-launch-1.0 -v`` prints for each frame of our ``identity``.

    Args:
        text: one line of its output.

    Returns:
        The frame's timing; ``None`` where the line is about something else.
    """
    if f"{_STAMPS}: last-message = chain" not in text:
        return None
    clock = re.search(r"pts: (\d+):(\d\d):(\d\d)\.(\d{9})", text)
    pts_ns = None
    if clock is not None:
        hours, minutes, seconds, rest = (int(part) for part in clock.groups())
        pts_ns = ((hours * 60 + minutes) * 60 + seconds) * 10**9 + rest
    count = re.search(r"offset: (\d+), offset_end: +(\d+)", text)
    sequence = None
    # Of a file the offset is in bytes; of a camera each frame ends where the next begins.
    if count is not None and int(count[2]) == int(count[1]) + 1:
        sequence = int(count[1])
    return FrameTiming(pts_ns, sequence)


class GStreamerSource(LiveSource):
    """A pipeline as one types it after ``gst-launch-1.0``, without a sink.

    Grey formats stay ``mono8`` and ``mono16``, all else becomes ``bgr8``, or stays NV12 where
    that is asked for. Stamps are
    the pipeline's own presentation times, mapped to the wall clock by the least time
    that a frame has taken to get here; without them, the time of arrival.
    """

    def __init__(self, pipeline: str, name: str, options: SourceOptions) -> None:
        """Start the pipeline and wait for the format of its frames.

        Args:
            pipeline: such as ``v4l2src device=/dev/video0 ! image/jpeg ! jpegdec``; a
                last ``! appsink`` is taken off.
            name: the URI, for messages.
            options: ``frame_id``, ``as_gray``, ``palette``, ``keep_nv12`` and ``timeout_s``
                are read.

        Raises:
            SourceError: GStreamer is not installed, the pipeline is wrong, or it
                gives no frame.
        """
        super().__init__(name, options)
        self._converter = ThermalConverter(options.palette, options.on_warning)
        self._process, self._frames = _launch(pipeline, name, options.keep_nv12)
        self._caps: VideoCaps | None = None
        self._caps_count = 0
        self._timings: deque[FrameTiming] = deque()
        self._silent = False
        self._problem = ""
        self._readers = [
            threading.Thread(target=self._read_report, daemon=True),
            threading.Thread(target=self._read_problems, daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        caps = self._await_caps(options.timeout_s)
        if caps is None:
            self.close()
            # It may have ended before its last messages were read.
            self._readers[1].join(timeout=1.0)
            raise SourceError(f"{name}: {self._problem or 'the pipeline gives no frames'}")
        self._rate_hz = caps.rate_hz or self._rate_hz

    def _await_caps(self, timeout_s: float) -> VideoCaps | None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._caps is not None or self._process.poll() is not None, timeout_s
            )
            return self._caps

    def _capture(self) -> Iterator[CapturedFrame | SourceError]:
        caps = self._caps
        assert caps is not None
        while True:
            buffer = bytearray(caps.frame_bytes)
            received = self._fill(buffer)
            if received is None:
                break
            timing = self._next_timing()
            if self._caps_count > 1:
                raise SourceError(
                    f"{self._name}: frames changed their size or format; open it again"
                )
            image, encoding = picture_of(buffer, caps)
            if self._options.thermal:
                image, encoding = self._converter.convert(image, encoding, self._name)
            yield CapturedFrame(image, encoding, received, timing.pts_ns, False, timing.sequence)
        self._process.wait()
        self._readers[1].join(timeout=1.0)
        if self._problem or self._process.returncode:
            raise SourceError(f"{self._name}: {self._problem or 'the pipeline failed'}")

    def _fill(self, buffer: bytearray) -> Reading | None:
        """Read one frame; gives the time of its first bytes, ``None`` at the end."""
        view = memoryview(buffer)
        received: Reading | None = None
        while view:
            got = self._frames.readinto(view)  # type: ignore[attr-defined]
            if not got:
                return None
            received = received or read_clocks()
            view = view[got:]
        return received

    def _next_timing(self) -> FrameTiming:
        """The report on the frame that was just read: they come in the order of the frames."""
        with self._changed:
            if not self._silent:
                # The line takes another way than the frame and may come later.
                self._silent = not self._changed.wait_for(
                    lambda: bool(self._timings) or self._ended, _TIMING_TIMEOUT_S
                )
            if self._silent or not self._timings:
                return FrameTiming(None, None)
            return self._timings.popleft()

    def _release(self) -> None:
        end_pipeline(self._process)
        if self._thread is None:
            self._frames.close()

    def _read_report(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                timing = parse_frame(line)
                if timing is not None:
                    with self._changed:
                        if not self._silent:
                            self._timings.append(timing)
                        self._changed.notify_all()
                    continue
                caps = parse_caps(line)
                if caps is not None and caps != self._caps:
                    with self._changed:
                        self._caps = caps
                        self._caps_count += 1
                        self._changed.notify_all()

    def _read_problems(self) -> None:
        self._problem = read_problem(self._process)
        with self._changed:
            self._changed.notify_all()


def read_problem(process: subprocess.Popen[str]) -> str:
    """Read a pipeline's messages until it ends; gives the first error, "" where there is none."""
    assert process.stderr is not None
    problem = ""
    with process.stderr as lines:
        for line in lines:
            if not problem and line.startswith(("ERROR", "WARNING: erroneous")):
                problem = line.strip()
    process.wait()
    return problem


def end_pipeline(process: subprocess.Popen[str]) -> None:
    """End a pipeline that still runs; one that does not heed that within a second is killed."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def picture_of(buffer: object, caps: VideoCaps) -> tuple[Image, str]:
    """A frame's bytes as a picture and its encoding: a view, where its format allows."""
    if caps.encoding == "nv12":
        return nv12_view(buffer, caps.height, caps.width, caps.step), "nv12"
    return decode_image(buffer, caps.encoding, caps.height, caps.width, caps.step)


def command_of(pipeline: str, name: str, keep_nv12: bool, *sink: str) -> list[str]:
    """The command that runs a pipeline into a sink, in a format that is taken here.

    Args:
        pipeline: without a sink; a last ``! appsink`` is taken off.
        name: the URI, for messages.
        keep_nv12: take NV12 too.
        *sink: what comes last, with its own ``!`` between elements.

    Raises:
        SourceError: GStreamer is not installed, or the pipeline can't be split into words.
    """
    tool = shutil.which("gst-launch-1.0")
    if tool is None:
        raise SourceError(f"{name}: gst-launch-1.0 is not installed, {_INSTALL}")
    try:
        parts = shlex.split(pipeline)
    except ValueError as error:
        raise SourceError(f"{name}: {error}") from error
    if "!" in parts and parts[len(parts) - parts[::-1].index("!") :][:1] == ["appsink"]:
        parts = parts[: len(parts) - 1 - parts[::-1].index("!")]
    if not parts:
        raise SourceError(f"{name}: name a pipeline, such as gst:videotestsrc")
    # The list keeps grey grey: videoconvert passes through what is in it, and turns
    # colour into BGR as the one that loses least.
    wanted = [name for name in _ENCODINGS if keep_nv12 or name != "NV12"]
    formats = "video/x-raw,format={" + ",".join(sorted(wanted, reverse=True)) + "}"
    return [tool, *parts, "!", "videoconvert", "!", formats, "!", *sink]


def _launch(pipeline: str, name: str, keep_nv12: bool) -> tuple[subprocess.Popen[str], BinaryIO]:
    out, into = os.pipe()
    try:
        tool, *words = command_of(
            pipeline, name, keep_nv12,
            "identity", f"name={_STAMPS}", "silent=false", "!",
            "fdsink", f"name={_SINK}", f"fd={into}",
        )  # fmt: skip
        process = subprocess.Popen(
            [tool, "-v", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(into,),
            text=True,
            errors="replace",
        )
    except (OSError, SourceError) as error:
        os.close(out)
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{name}: cannot run gst-launch-1.0: {error.strerror}") from error
    finally:
        os.close(into)
    return process, open(out, "rb", buffering=0)  # noqa: PTH123 - a descriptor, not a path
