"""A camera at the boundary of the kernel: answers V4L2's ioctls, and nothing more.

FAKE: there is no video device where tests run, and no kernel module to make one. What
is faked is the kernel: ``ioctl`` and ``mmap`` as linuxpy calls them, on a FIFO whose
readable end stands for the device's file, so that ``select`` waits on something real.
linuxpy, and all of ours above it, are the real ones.
"""

from __future__ import annotations

import errno
import mmap
import os
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

MONOTONIC, COPIED, BROKEN = 0x2000, 0x4000, 0x0040


@dataclass
class Control:
    """A control that the camera has, as in v4l2-ctl --list-ctrls."""

    name: str
    kind: int  # 1 integer, 2 boolean
    low: int
    high: int
    value: int = 0


@dataclass
class FakeCamera:
    """What one fake device is and does.

    Attributes:
        path: of its FIFO, to be opened as one opens /dev/video0.
        formats: FourCC to the sizes it has in that format.
        controls: by V4L2 id.
        rate: frames a second, read and set.
        gone: unplugged: every call fails as the kernel's would.
        busy: another process streams from it.
        planar: of an image processor, whose buffers have several planes.
        streaming: between STREAMON and STREAMOFF.
    """

    path: Path
    formats: dict[str, list[tuple[int, int]]]
    controls: dict[int, Control] = field(default_factory=dict)
    rate: int = 30
    gone: bool = False
    busy: bool = False
    planar: bool = False
    streaming: bool = False
    opened: int = 0

    def __post_init__(self) -> None:
        """Make the device's file and let it have its first format."""
        os.mkfifo(self.path)
        self._signal = os.open(self.path, os.O_RDWR | os.O_NONBLOCK)
        self._fourcc, sizes = next(iter(self.formats.items()))
        self._size = sizes[0]
        self._buffers: list[mmap.mmap] = []
        self._free: deque[int] = deque()
        self._done: deque[tuple[int, int, int, int, int]] = deque()
        self._sequence = -1

    @property
    def format(self) -> tuple[str, tuple[int, int]]:
        """What it is set to."""
        return self._fourcc, self._size

    def take(
        self,
        data: bytes,
        taken_ns: int | None = None,
        sequence: int | None = None,
        flags: int = MONOTONIC,
    ) -> bool:
        """Let the camera take a frame.

        Args:
            data: as it lies in the buffer.
            taken_ns: on CLOCK_MONOTONIC; now by default.
            sequence: its number; the next by default.
            flags: of the buffer.

        Returns:
            Whether the driver had a buffer for it.
        """
        self._sequence = self._sequence + 1 if sequence is None else sequence
        if not (self.streaming and self._free):
            return False
        index = self._free.popleft()
        self._buffers[index][: len(data)] = data
        taken_ns = time.monotonic_ns() if taken_ns is None else taken_ns
        self._done.append((index, len(data), taken_ns, self._sequence, flags))
        os.write(self._signal, b".")
        return True

    def unplug(self) -> None:
        """Pull the cable: readers wake up and find it gone."""
        self.gone = True
        os.write(self._signal, b".")

    def plug_in(self) -> None:
        """Put the cable back: a new device with nothing set up."""
        self._drain()
        self.gone = self.streaming = False
        self._free.clear()
        self._done.clear()
        self._sequence = -1

    def close(self) -> None:
        """Remove the device's file."""
        os.close(self._signal)
        self.path.unlink()

    def ioctl(self, _fd: Any, request: Any, argument: Any = None) -> int:
        """What the kernel would do."""
        if self.gone:
            raise OSError(errno.ENODEV, "No such device")
        handler = getattr(self, f"_{request.name.lower()}", None)
        if handler is None:
            raise OSError(errno.ENOTTY, "Inappropriate ioctl for device")
        handler(argument)
        return 0

    def map(self, _fd: Any, _length: int, offset: int) -> mmap.mmap:
        """The buffer at an offset, as mmap gives it."""
        return self._buffers[offset]

    def _drain(self) -> None:
        try:
            while os.read(self._signal, 1):
                pass
        except BlockingIOError:
            pass

    def _bytes(self) -> int:
        width, height = self._size
        # A page at least, as mmap gives: a small JPEG's head is larger than its picture.
        return 4096 + width * height * {"Y16 ": 2, "YUYV": 2, "UYVY": 2, "NV12": 2}.get(
            self._fourcc, 3
        )

    def _querycap(self, caps: Any) -> None:
        self.opened += 1
        caps.driver, caps.card = b"fake", b"Fake camera"
        kind = 0x1000 if self.planar else 0x0001  # VIDEO_CAPTURE, of several planes or one
        caps.capabilities = caps.device_caps = 0x04000000 | kind  # STREAMING

    def _enum_fmt(self, entry: Any) -> None:
        if entry.index >= len(self.formats):
            raise OSError(errno.EINVAL, "Invalid argument")
        entry.pixelformat = _fourcc(list(self.formats)[entry.index])

    def _enum_framesizes(self, entry: Any) -> None:
        sizes = self.formats[_name(entry.pixel_format)]
        if entry.index >= len(sizes):
            raise OSError(errno.EINVAL, "Invalid argument")
        entry.type = 1  # discrete
        entry.m1.discrete.width, entry.m1.discrete.height = sizes[entry.index]

    def _s_fmt(self, wanted: Any) -> None:
        if self.busy:
            raise OSError(errno.EBUSY, "Device or resource busy")
        pixels = wanted.fmt.pix
        name = _name(pixels.pixelformat)
        if name in self.formats:
            self._fourcc = name
        asked, sizes = (pixels.width, pixels.height), self.formats[self._fourcc]
        self._size = min(sizes, key=lambda size: abs(size[0] - asked[0]) + abs(size[1] - asked[1]))
        self._g_fmt(wanted)

    def _g_fmt(self, answer: Any) -> None:
        pixels = answer.fmt.pix
        pixels.width, pixels.height = self._size
        pixels.pixelformat = _fourcc(self._fourcc)
        pixels.sizeimage = self._bytes()
        depth = {"MJPG": 0, "NV12": 1, "GREY": 1, "BGR3": 3, "RGB3": 3}.get(self._fourcc, 2)
        pixels.bytesperline = depth * self._size[0]

    def _s_parm(self, wanted: Any) -> None:
        frame = wanted.parm.capture.timeperframe
        self.rate = round(frame.denominator / frame.numerator)

    def _g_parm(self, answer: Any) -> None:
        frame = answer.parm.capture.timeperframe
        frame.numerator, frame.denominator = 1, self.rate

    def _query_ext_ctrl(self, entry: Any) -> None:
        after = entry.id & 0x3FFFFFFF
        later = [key for key in sorted(self.controls) if key > after]
        if not later:
            raise OSError(errno.EINVAL, "Invalid argument")
        control = self.controls[later[0]]
        entry.id, entry.type, entry.name = later[0], control.kind, control.name.encode()
        entry.minimum, entry.maximum, entry.step = control.low, control.high, 1
        entry.flags = 0

    def _s_ext_ctrls(self, wanted: Any) -> None:
        for at in range(wanted.count):
            self.controls[wanted.controls[at].id].value = wanted.controls[at].value

    def _reqbufs(self, wanted: Any) -> None:
        self._buffers = [mmap.mmap(-1, self._bytes()) for _ in range(wanted.count)]

    def _querybuf(self, buffer: Any) -> None:
        buffer.length, buffer.m.offset = self._bytes(), buffer.index

    def _qbuf(self, buffer: Any) -> None:
        self._free.append(buffer.index)

    def _dqbuf(self, buffer: Any) -> None:
        if not self._done:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        os.read(self._signal, 1)
        index, size, taken_ns, sequence, flags = self._done.popleft()
        buffer.index, buffer.bytesused, buffer.sequence, buffer.flags = index, size, sequence, flags
        buffer.timestamp.secs, rest = divmod(taken_ns // 1000, 1_000_000)
        buffer.timestamp.usecs = rest

    def _streamon(self, _kind: Any) -> None:
        self.streaming = True

    def _streamoff(self, _kind: Any) -> None:
        self.streaming = False
        self._drain()


def _fourcc(name: str) -> int:
    return int.from_bytes(name.encode(), "little")


def _name(code: int) -> str:
    return int(code).to_bytes(4, "little").decode()


class FakeKernel:
    """The fake devices of one test."""

    def __init__(self, folder: Path) -> None:
        """Set up.

        Args:
            folder: takes the devices' files.
        """
        self._folder = folder
        self.cameras: list[FakeCamera] = []

    def add(self, formats: dict[str, list[tuple[int, int]]], **more: Any) -> FakeCamera:
        """Plug a camera in."""
        camera = FakeCamera(self._folder / f"video{len(self.cameras)}", formats, **more)
        self.cameras.append(camera)
        return camera

    def of(self, file: Any) -> FakeCamera:
        """The camera whose file that is."""
        node = os.fstat(file.fileno())
        return next(c for c in self.cameras if os.path.samestat(c.path.stat(), node))

    def ioctl(self, file: Any, request: Any, *arguments: Any) -> int:
        """``fcntl.ioctl``."""
        return self.of(file).ioctl(file, request, *arguments)

    def map(self, file: Any, length: int, offset: int) -> mmap.mmap:
        """``mmap.mmap`` of a device."""
        return self.of(file).map(file, length, offset)


@pytest.fixture
def kernel(tmp_path_factory, monkeypatch):
    """A kernel with cameras; see the module."""
    pytest.importorskip("linuxpy", reason="linuxpy is not installed: run 'make setup'")
    import linuxpy.ioctl
    import linuxpy.video.device

    fake = FakeKernel(tmp_path_factory.mktemp("dev"))
    monkeypatch.setattr(linuxpy.ioctl, "fcntl", SimpleNamespace(ioctl=fake.ioctl))
    monkeypatch.setattr(linuxpy.video.device, "mem_map", fake.map)
    yield fake
    for camera in fake.cameras:
        camera.close()


__all__ = ["BROKEN", "COPIED", "MONOTONIC", "Control", "FakeCamera", "FakeKernel", "kernel"]
