"""Frames of a GStreamer pipeline in the pipeline's own buffers, which are mapped and not copied.

The pipeline ends in ``unixfdsink`` (GStreamer 1.24 or newer), which passes the descriptors of
its buffers over a socket: memory of a camera's driver (DMA-BUF), or shared memory that the
element before it fills. A frame's array is a view of that memory; the buffer goes back to the
pipeline once nobody holds the array or a view of it.

Protocol: gst-plugins-bad, ``gst/unixfd/gstunixfd.h`` of 1.24; the layout of a buffer's planes,
which 1.26 adds, is GstVideoMeta as it serialises itself.

With GStreamer 1.26 on x86 this is run by tests. DMA-BUF memory has not been run.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import mmap
import os
import secrets
import shutil
import socket
import struct
import subprocess
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from windhover.errors import EncodingError, SourceError
from windhover.sources.clock import Reading, read_clocks
from windhover.sources.gstreamer import (
    GStreamerSource,
    VideoCaps,
    caps_of,
    command_of,
    end_pipeline,
    picture_of,
    read_problem,
)
from windhover.sources.live import CapturedFrame, LiveSource
from windhover.sources.options import SourceOptions
from windhover.sources.palette import ThermalConverter

_NEW_BUFFER, _RELEASE, _CAPS, _EOS = range(4)
_HEADER = struct.Struct("<II")
# id, pts, dts, duration, offset, end of offset, flags, kind of memory, memories, metas
_BUFFER = struct.Struct("<QQQQQQIBBH")
_MEMORY = struct.Struct("<QQ")
_META = struct.Struct("<IIB")
_VIDEO_META = struct.Struct("<IIIII")
_PLANE = struct.Struct("<Qi")
_NO_TIME = 2**64 - 1
_DMABUF = 1
# linux/dma-buf.h: caches are made to agree before the processor reads, and after.
_DMA_BUF_SYNC = 0x40086200
_SYNC_READ, _SYNC_END = 1, 4
# A camera has few buffers. Beyond so many that are held, frames are copied.
_MAX_HELD = 6
_MAX_MAPPINGS = 32
_START_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class SharedBuffer:
    """One frame in the pipeline's memory.

    Attributes:
        data: ``(bytes,)`` uint8, read-only; the buffer is released once it is gone.
        pts_ns: presentation time, on a monotonic clock; ``None`` where there is none.
        sequence: the camera's frame number, where its element keeps it.
        planes: offset and step of each plane, where the pipeline says.
        received: the host's clocks when it came.
    """

    data: NDArray[np.uint8]
    pts_ns: int | None
    sequence: int | None
    planes: tuple[tuple[int, int], ...]
    received: Reading


class UnixFdClient:
    """The receiving end of a ``unixfdsink``; one thread receives.

    Args:
        connection: to the sink.

    Attributes:
        held: buffers that are not given back yet.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        # By inode: a pipeline uses the same few buffers again and again.
        self._mappings: OrderedDict[tuple[int, int], mmap.mmap] = OrderedDict()
        self.held = 0

    def receive(self) -> SharedBuffer | str | None:
        """Wait for a buffer, or the text of new caps; ``None`` at the end.

        Raises:
            TimeoutError: the socket has a time-out, and nothing came.
            SourceError: what came is no message of the protocol.
        """
        while True:
            header, descriptors = self._read(_HEADER.size)
            if len(header) < _HEADER.size:
                return None
            received = read_clocks()
            kind, size = _HEADER.unpack(header)
            payload, more = self._read(size)
            descriptors += more
            if len(payload) < size or kind == _EOS:
                _close_all(descriptors)
                return None
            if kind == _CAPS:
                return payload.rstrip(b"\0").decode(errors="replace")
            if kind == _NEW_BUFFER:
                return self._buffer(payload, descriptors, received)
            # A later version's, which may be left out.
            _close_all(descriptors)

    def wait_forever(self) -> None:
        """Wait without a time-out from here on."""
        self._socket.settimeout(None)

    def close(self) -> None:
        """End a wait; frames that are held stay readable."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _read(self, size: int) -> tuple[bytes, list[int]]:
        """So many bytes, or fewer at the end, and the descriptors that came with them."""
        data, descriptors = b"", []
        while len(data) < size:
            try:
                part, found, _, _ = socket.recv_fds(self._socket, size - len(data), 16)
            except TimeoutError:
                raise
            except OSError:
                part, found = b"", []
            descriptors += found
            if not part:
                break
            data += part
        return data, descriptors

    def _buffer(self, payload: bytes, descriptors: list[int], received: Reading) -> SharedBuffer:
        try:
            number, pts, _, _, offset, end, _, kind, memories, metas = _BUFFER.unpack_from(payload)
            if memories != 1 or len(descriptors) != 1:
                raise EncodingError(f"a frame in {memories} pieces of memory")
            length, start = _MEMORY.unpack_from(payload, _BUFFER.size)
            planes = _planes_of(payload[_BUFFER.size + _MEMORY.size :], metas)
            data = self._map(descriptors[0], start, length)
        except (struct.error, EncodingError, OSError, ValueError) as error:
            _close_all(descriptors)
            raise SourceError(f"a buffer of the pipeline can't be mapped: {error}") from error
        synced = descriptors[0] if kind == _DMABUF else None
        if synced is None:
            _close_all(descriptors)
        else:
            _sync(synced, _SYNC_READ)
        self.held += 1
        weakref.finalize(data, self._give_back, number, synced)
        return SharedBuffer(
            data,
            None if pts == _NO_TIME else pts,
            offset if offset != _NO_TIME and end == offset + 1 else None,
            planes,
            received,
        )

    def _map(self, descriptor: int, start: int, length: int) -> NDArray[np.uint8]:
        status = os.fstat(descriptor)
        key = status.st_dev, status.st_ino
        mapping = self._mappings.get(key)
        # A DMA-BUF has no size but by its end.
        size = os.lseek(descriptor, 0, os.SEEK_END)
        if mapping is None or len(mapping) != size:
            mapping = mmap.mmap(descriptor, size, mmap.MAP_SHARED, mmap.PROT_READ)
        self._mappings[key] = mapping
        self._mappings.move_to_end(key)
        while len(self._mappings) > _MAX_MAPPINGS:
            self._mappings.popitem(last=False)
        return np.frombuffer(mapping, np.uint8, length, start)

    def _give_back(self, number: int, synced: int | None) -> None:
        """In whichever thread let go of the frame: so few bytes are sent at once."""
        self.held -= 1
        if synced is not None:
            _sync(synced, _SYNC_READ | _SYNC_END)
            os.close(synced)
        with contextlib.suppress(OSError):
            self._socket.sendall(_HEADER.pack(_RELEASE, 8) + struct.pack("<Q", number))


class SharedGStreamerSource(LiveSource):
    """A pipeline as one types it after ``gst-launch-1.0``, without a sink.

    As :class:`~windhover.sources.gstreamer.GStreamerSource`, but frames are views of the
    pipeline's buffers.
    """

    def __init__(self, pipeline: str, name: str, options: SourceOptions) -> None:
        """Start the pipeline and wait for its first frame.

        Args:
            pipeline: such as ``qtiqmmfsrc camera=0 ! video/x-raw,format=NV12``.
            name: the URI, for messages.
            options: as :class:`~windhover.sources.gstreamer.GStreamerSource` reads them.

        Raises:
            SourceError: GStreamer is not installed, the pipeline is wrong, its frames are not
                in memory that can be shared, or it gives none.
        """
        super().__init__(name, options)
        self._converter = ThermalConverter(options.palette, options.on_warning)
        self._problem = ""
        self._reported = False
        # An abstract socket: nothing to remove, and reached from another root.
        path = f"windhover-{os.getpid()}-{secrets.token_hex(8)}"
        tool, *words = command_of(
            pipeline, name, options.keep_nv12,
            "unixfdsink", "sync=false", "socket-type=abstract", f"socket-path={path}",
        )  # fmt: skip
        self._process = subprocess.Popen(
            [tool, "-q", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        self._reader = threading.Thread(target=self._read_problem, daemon=True)
        self._reader.start()
        self._client: UnixFdClient | None = None
        self._first: SharedBuffer | None = None
        try:
            self._client = UnixFdClient(self._connected(f"\0{path}", options.timeout_s))
            self._first, self._caps = self._first_frame(self._client)
        except (OSError, SourceError) as error:
            self.close()
            self._reader.join(timeout=1.0)
            raise SourceError(
                f"{name}: {self._problem or f'the pipeline gives no frames ({error})'}"
            ) from error
        self._rate_hz = self._caps.rate_hz or self._rate_hz

    def _connected(self, address: str, timeout_s: float) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout_s)
        deadline = time.monotonic() + max(timeout_s, _START_TIMEOUT_S)
        while connection.connect_ex(address):
            if time.monotonic() > deadline or self._process.poll() is not None:
                connection.close()
                raise SourceError("it opened no socket")
            time.sleep(0.01)
        return connection

    def _first_frame(self, client: UnixFdClient) -> tuple[SharedBuffer, VideoCaps]:
        caps: VideoCaps | None = None
        while True:
            received = client.receive()
            if isinstance(received, str):
                caps = caps_of(received) or caps
            elif received is None or caps is None:
                raise SourceError("it ended before its first frame")
            else:
                return received, caps

    def _capture(self) -> Iterator[CapturedFrame | SourceError]:
        client, received = self._client, self._first
        assert client is not None
        self._first = None
        # Silence is noticed by whoever waits for a frame.
        client.wait_forever()
        while received is not None:
            yield self._captured(client, received)
            # Before the wait for the next, or its buffer would be held that long.
            received = None
            received = self._next(client)
        self._process.wait()
        self._reader.join(timeout=1.0)
        if self._problem or self._process.returncode:
            raise SourceError(f"{self._name}: {self._problem or 'the pipeline failed'}")

    def _next(self, client: UnixFdClient) -> SharedBuffer | None:
        following = client.receive()
        while isinstance(following, str):
            if caps_of(following) != self._caps:
                raise SourceError(
                    f"{self._name}: frames changed their size or format; open it again"
                )
            following = client.receive()
        return following

    def _captured(self, client: UnixFdClient, buffer: SharedBuffer) -> CapturedFrame | SourceError:
        try:
            data, caps, copied = _contiguous(buffer, self._caps)
            if copied:
                self._report_copies()
            elif client.held > _MAX_HELD:
                data = data.copy()
            image, encoding = picture_of(data, caps)
        except EncodingError as error:
            return SourceError(f"{self._name}: damaged frame ({error})")
        if self._options.thermal:
            image, encoding = self._converter.convert(image, encoding, self._name)
        return CapturedFrame(
            image, encoding, buffer.received, buffer.pts_ns, False, buffer.sequence
        )

    def _report_copies(self) -> None:
        if not self._reported and self._options.on_warning is not None:
            self._options.on_warning(
                f"{self._name}: the planes of its frames are apart in memory: each is copied"
            )
        self._reported = True

    def _release(self) -> None:
        end_pipeline(self._process)
        if self._client is not None:
            self._client.close()

    def _read_problem(self) -> None:
        self._problem = read_problem(self._process)


def open_gstreamer(pipeline: str, name: str, options: SourceOptions) -> LiveSource:
    """Open a pipeline; its frames are mapped where that is possible, else they cross a pipe.

    Args:
        pipeline: as one types it after ``gst-launch-1.0``, without a sink.
        name: the URI, for messages.
        options: as the sources read them.

    Raises:
        SourceError: GStreamer is not installed, the pipeline is wrong, or it gives no frame.
    """
    tool = shutil.which("gst-inspect-1.0")
    if tool is not None and _has_unixfdsink(tool):
        # It refuses frames in memory without a descriptor, as v4l2src gives them.
        with contextlib.suppress(SourceError):
            return SharedGStreamerSource(pipeline, name, options)
    return GStreamerSource(pipeline, name, options)


@functools.lru_cache
def _has_unixfdsink(tool: str) -> bool:
    try:
        done = subprocess.run(
            [tool, "--exists", "unixfdsink"], capture_output=True, check=False, timeout=60.0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _planes_of(data: bytes, metas: int) -> tuple[tuple[int, int], ...]:
    """Offset and step of each plane, from a buffer's metas; empty where none says."""
    at = 0
    for _ in range(metas):
        size, name_size, _ = _META.unpack_from(data, at)
        begin = at + _META.size
        if data[begin : begin + name_size].rstrip(b"\0") == b"GstVideoMeta":
            begin += name_size
            *_, count = _VIDEO_META.unpack_from(data, begin)
            begin += _VIDEO_META.size
            return tuple(
                _PLANE.unpack_from(data, begin + _PLANE.size * plane) for plane in range(count)
            )
        at += size
    return ()


def _contiguous(buffer: SharedBuffer, caps: VideoCaps) -> tuple[NDArray[np.uint8], VideoCaps, bool]:
    """A frame's bytes with one step for all its rows, and whether that needed a copy.

    Raises:
        EncodingError: its planes are not those of its format.
    """
    planes = buffer.planes or ((0, caps.step),)
    first, step = planes[0]
    caps = replace(caps, step=step)
    rows = (caps.height + 1) // 2 * 2
    if caps.encoding != "nv12" or len(planes) < 2:
        return buffer.data[first:], caps, False
    chroma, chroma_step = planes[1]
    if chroma_step != step or chroma < first + rows * step:
        raise EncodingError(f"planes of an nv12 frame at {planes}")
    if chroma == first + rows * step:
        return buffer.data[first:], caps, False
    out = np.empty(caps.frame_bytes, np.uint8)
    out[: rows * step] = buffer.data[first : first + rows * step]
    below = buffer.data[chroma : chroma + rows // 2 * step]
    out[rows * step : rows * step + len(below)] = below
    return out, caps, True


def _sync(descriptor: int, flags: int) -> None:
    """Tell a DMA-BUF's owner that the processor begins or ends to read it."""
    with contextlib.suppress(OSError):
        fcntl.ioctl(descriptor, _DMA_BUF_SYNC, struct.pack("<Q", flags))


def _close_all(descriptors: list[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
