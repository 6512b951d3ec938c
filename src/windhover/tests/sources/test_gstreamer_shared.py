"""Frames of a pipeline are its own memory: mapped, not copied, and given back."""

import gc
import os
import shutil
import socket
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from tests.support.fixtures import PATIENCE_S
from windhover.errors import SourceError
from windhover.sources import open_source
from windhover.sources.gstreamer_shared import SharedBuffer, SharedGStreamerSource, UnixFdClient

CAPS = "video/x-raw, format=(string)NV12, width=(int)%d, height=(int)%d, framerate=(fraction)30/1"
NO_TIME = 2**64 - 1


def message(kind, payload, *descriptors):
    return struct.pack("<II", kind, len(payload)) + payload, list(descriptors)


def buffer_of(number, size, planes=(), memories=1):
    """A NEW_BUFFER payload, with the GstVideoMeta that GStreamer 1.26 adds."""
    payload = struct.pack(
        "<QQQQQQIBBH", number, 5_000 + number, NO_TIME, NO_TIME, number, number + 1, 0, 0,
        memories, bool(planes),
    ) + struct.pack("<QQ", size, 0)  # fmt: skip
    if planes:
        name = b"GstVideoMeta\0"
        meta = name + struct.pack("<IIIII", 0, 23, 8, 4, len(planes))
        meta += b"".join(struct.pack("<Qi", *plane) for plane in planes)
        payload += struct.pack("<IIB", 9 + len(meta), len(name), 1) + meta
    return payload


@pytest.fixture
def sink():
    """A pipeline's end of a socket, with a buffer of 48 bytes, and our end."""
    ours, theirs = socket.socketpair()
    theirs.settimeout(PATIENCE_S)
    memory = os.memfd_create("frame")
    os.write(memory, bytes(range(48)))
    client = UnixFdClient(ours)
    yield client, theirs, memory
    client.close()
    theirs.close()
    os.close(memory)


def send(theirs, data, descriptors=()):
    socket.send_fds(theirs, [data], list(descriptors))


def test_a_buffer_is_mapped_and_goes_back_once_no_view_of_it_is_left(sink):
    client, theirs, memory = sink
    send(theirs, *message(2, (CAPS % (8, 4)).encode() + b"\0"))
    send(theirs, *message(0, buffer_of(7, 48), memory))
    assert client.receive() == CAPS % (8, 4)
    buffer = client.receive()
    assert isinstance(buffer, SharedBuffer)
    assert (buffer.pts_ns, buffer.sequence, client.held) == (5_007, 7, 1)
    assert buffer.data.tolist() == list(range(48))
    # It is the pipeline's memory and no copy.
    os.pwrite(memory, b"\xff", 3)
    assert buffer.data[3] == 255
    view = buffer.data.reshape(6, 8)[2:]
    del buffer
    gc.collect()
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(16)
    theirs.settimeout(PATIENCE_S)
    del view
    gc.collect()
    assert theirs.recv(16) == struct.pack("<IIQ", 1, 8, 7)
    assert client.held == 0


def test_the_same_memory_is_mapped_once_and_no_descriptor_is_left(sink):
    client, theirs, memory = sink
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(20):
        send(theirs, *message(0, buffer_of(number, 48), memory))
        assert client.receive().data[1] == 1
    gc.collect()
    # That of the mapping.
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1


@pytest.mark.parametrize("payload", [b"short", buffer_of(1, 48, memories=2), buffer_of(1, 1 << 40)])
def test_what_can_not_be_mapped_is_named(sink, payload):
    client, theirs, memory = sink
    send(theirs, *message(0, payload, memory))
    with pytest.raises(SourceError, match="can't be mapped"):
        client.receive()


def test_the_end_is_the_end(sink):
    client, theirs, _ = sink
    send(theirs, *message(9, b"of a later version"))
    send(theirs, *message(3, b""))
    assert client.receive() is None
    theirs.close()
    assert client.receive() is None


FAKE_TOOL = """#!{python}
import os, socket, struct, sys
path = next(a for a in sys.argv if a.startswith("socket-path=")).partition("=")[2]
server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
server.bind(chr(0) + path)
server.listen()
client, _ = server.accept()
payloads = {payloads!r}
memories = []
for number in range(3):
    memory = os.memfd_create("frame")
    os.truncate(memory, {size})
    os.pwrite(memory, bytes([10 + number]) * 4096, 0)
    memories.append(memory)
caps = {caps!r}.encode() + bytes(1)
client.sendall(struct.pack("<II", 2, 5) + b"NULL" + bytes(1))
client.sendall(struct.pack("<II", 2, len(caps)) + caps)
for number, payload in enumerate(payloads):
    head = struct.pack("<II", 0, len(payload)) + payload
    socket.send_fds(client, [head], [memories[number % 3]])
    # One at a time, as a camera whose buffers are few.
    assert len(client.recv(16)) == 16
"""


@pytest.fixture
def pipeline(tmp_path, monkeypatch):
    """A gst-launch-1.0 that serves frames as a unixfdsink does; gives the source."""
    opened = []

    def run(width, height, payloads, size, **options):
        caps = CAPS % (width, height)
        tool = tmp_path / "gst-launch-1.0"
        tool.write_text(
            FAKE_TOOL.format(python=sys.executable, payloads=payloads, size=size, caps=caps)
        )
        (tmp_path / "gst-inspect-1.0").write_text("#!/bin/sh\nexit 0\n")
        for file in tmp_path.iterdir():
            file.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        source = open_source(
            "gst:camera",
            keep_nv12=True,
            timeout_s=PATIENCE_S if not os.environ.get("DMT") else 15.0,
            **options,
        )
        opened.append(source)
        return source

    yield run
    for source in opened:
        source.close()


def test_no_frame_of_4k_is_copied(pipeline):
    width, height = 3840, 2160
    size = width * height * 3 // 2
    payloads = [buffer_of(number, size) for number in range(6)]
    source = pipeline(width, height, payloads, size)
    assert isinstance(source, SharedGStreamerSource)
    assert source.rate_hz == 30
    tracemalloc.start()
    frames = 0
    for frame in source:
        frames += 1
        assert (frame.encoding, frame.width, frame.height) == ("nv12", width, height)
        assert 10 <= frame.image[0, 0] <= 12
        assert not frame.image.flags.owndata
        del frame
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert frames + source.statistics.replaced == 6
    assert source.statistics.lost == 0
    # A copy would be 12,441,600 bytes.
    assert peak < 1_000_000


def test_planes_that_are_apart_are_joined_and_that_is_reported_once(pipeline):
    said = []
    # 4 rows of luma, 2 of padding, 2 of chroma.
    payloads = [buffer_of(number, 64, ((0, 8), (48, 8))) for number in range(4)]
    source = pipeline(8, 4, payloads, 4096, on_warning=said.append)
    frames = list(source)
    assert frames
    assert all(frame.image.shape == (6, 8) and frame.image.min() >= 10 for frame in frames)
    assert len(said) == 1
    assert "each is copied" in said[0]


def test_a_step_that_the_pipeline_states_is_followed(pipeline):
    payloads = [buffer_of(0, 96, ((0, 16), (64, 16)))]
    frame = next(iter(pipeline(8, 4, payloads, 4096)))
    assert frame.image.shape == (6, 8)
    assert frame.image.strides == (16, 1)


def _has_unixfdsink():
    tool = shutil.which("gst-inspect-1.0")
    command = [tool, "--exists", "unixfdsink"]
    return tool is not None and subprocess.run(command, capture_output=True).returncode == 0


needs_unixfdsink = pytest.mark.skipif(
    not _has_unixfdsink(), reason="GStreamer 1.24 or newer with -plugins-bad is not installed"
)


@needs_unixfdsink
def test_a_pipeline_of_gstreamer_itself_is_mapped():
    caps = "video/x-raw,format=RGB,width=34,height=24,framerate=20/1"
    uri = f"gst:videotestsrc pattern=solid-color foreground-color=0xffc83214 is-live=true ! {caps}"
    source = open_source(uri, timeout_s=PATIENCE_S)
    frames = [frame for frame, _ in zip(source, range(3), strict=False)]
    source.close()
    assert isinstance(source, SharedGStreamerSource)
    for frame in frames:
        assert (frame.encoding, frame.image.shape) == ("bgr8", (24, 34, 3))
        assert (frame.image == (0x14, 0x32, 0xC8)).all()
    assert frames[0].stamp_ns < frames[1].stamp_ns < frames[2].stamp_ns
    # No longer there, and still readable.
    assert source._process.returncode is not None


@needs_unixfdsink
def test_a_pipeline_that_dies_is_an_error():
    source = open_source("gst:videotestsrc is-live=true", timeout_s=PATIENCE_S)
    frames = iter(source)
    next(frames)
    source._process.kill()
    with pytest.raises(SourceError, match="the pipeline failed"):
        for _ in frames:
            pass
    source.close()


@needs_unixfdsink
def test_a_wrong_pipeline_is_named():
    with pytest.raises(SourceError, match='no element "nosuchelement"'):
        open_source("gst:nosuchelement", timeout_s=PATIENCE_S)
