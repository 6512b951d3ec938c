"""Frames from ROS bags, through rosbags: no ROS needed.

rosbag2 in sqlite3 and MCAP, as a folder or as one file, and ROS 1 bags.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from windhover.errors import EncodingError, SourceError
from windhover.imaging.compressed import decode_compressed
from windhover.imaging.formats import decode_image
from windhover.sources.files import natural_key
from windhover.sources.options import DEFAULT_RATE_HZ, SourceOptions
from windhover.sources.palette import ThermalConverter
from windhover.sources.recorded import DecodedFrame, RecordedSource
from windhover.types import Image

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader
    from rosbags.interfaces import Connection

IMAGE = "sensor_msgs/msg/Image"
COMPRESSED = "sensor_msgs/msg/CompressedImage"
_RAW = re.compile(r"/image_raw(/compressed)?$")


class RosbagImages(RecordedSource):
    """One image topic of a bag, in the order it was recorded.

    Stamps and frame ids are the messages' headers' own; a header without a stamp
    takes the time at which the bag received it. ``start_stamp_ns`` does not apply.
    ``start_s`` and ``duration_s`` count by the times at which the bag received its
    messages, from its first; a frame's ``index`` still counts from the topic's first.

    Attributes:
        topic: the topic that is read.
    """

    topic: str

    def __init__(self, path: Path, name: str, options: SourceOptions) -> None:
        """Open the bag once to choose the topic.

        Args:
            path: the bag's folder or file.
            name: the URI, for messages.
            options: ``topic``, ``rate_hz`` (nominal only), ``loop``, ``frame_id``,
                ``as_gray``, ``palette``, ``start_s``, ``duration_s`` and ``on_bad`` are
                read; of several topics ``camera`` chooses the one below ``camera/<camera>/``.

        Raises:
            SourceError: it is empty or damaged, has no image topic, or several and
                none is named, or ends before ``start_s``.
        """
        self._path = path
        self._converter = ThermalConverter(options.palette, options.on_warning)
        with _Bag(path) as reader:
            connections = _choose(reader, path, options.topic, options.camera)
            self.topic = connections[0].topic
            count = sum(connection.msgcount for connection in connections)
            seconds = reader.duration / 1e9 if count else 0.0
        rate_hz = options.rate_hz or _rate(count, seconds)
        whole = options.start_s == 0.0 and options.duration_s is None
        super().__init__(name, rate_hz, count if whole else None, options)
        if not whole:
            if options.start_s > seconds:
                raise SourceError(
                    f"bag {path} lasts {seconds:.1f} s: start at {options.start_s:g} s is beyond it"
                )
            until = "its end" if options.duration_s is None else f"{options.duration_s:g} s on"
            self._part = f"the part from {options.start_s:g} s to {until}"

    def _read(self) -> Iterator[DecodedFrame | SourceError | None]:
        with _Bag(self._path) as reader:
            connections = _choose(reader, self._path, self.topic)
            begin = reader.start_time + round(self._options.start_s * 1e9)
            length = self._options.duration_s
            end = None if length is None else begin + round(length * 1e9)
            messages = reader.messages(connections=connections)
            count = 0
            while True:
                try:
                    item = next(messages, None)
                # The bag's bytes go through a database, decompressors and a parser,
                # and damage may come out of any of them.
                except Exception as error:
                    yield SourceError(
                        f"bag {self._path} is damaged after message {count} of {self.topic}: "
                        f"{_one_line(error)}"
                    )
                    return
                if item is None or (end is not None and item[1] >= end):
                    return
                yield self._decoded(reader, *item, count) if item[1] >= begin else None
                count += 1

    def _decoded(
        self, reader: AnyReader, connection: Connection, log_ns: int, raw: bytes, count: int
    ) -> DecodedFrame | SourceError:
        what = f"message {count} of {self.topic} in bag {self._path}"
        try:
            message: Any = reader.deserialize(raw, connection.msgtype)
            image, encoding = _decode(message, connection.msgtype)
        except EncodingError as error:
            return SourceError(f"{what}: {error}")
        except Exception as error:  # as above: the parser's own
            return SourceError(f"{what} is damaged: {_one_line(error)}")
        if self._options.thermal:
            image, encoding = self._converter.convert(image, encoding, what)
        stamp = message.header.stamp
        sec, nanosec = stamp.sec, stamp.nanosec
        stamp_ns = sec * 10**9 + nanosec
        return DecodedFrame(image, encoding, stamp_ns or log_ns, message.header.frame_id or None)


class _Bag:
    """An open reader whose every failure to open is a plain error."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: AnyReader | None = None

    def __enter__(self) -> AnyReader:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore

        if not self._path.exists():
            raise SourceError(f"no such bag: {self._path}")
        files = _storage_files(self._path)
        _refuse_empty(self._path, files)
        store = get_typestore(Stores.ROS2_JAZZY)
        try:
            reader = AnyReader(_to_open(self._path, files), default_typestore=store)
            reader.open()
        # Damage comes out as whatever the storage's parser stumbles over.
        except Exception as error:
            advice = "damaged, or still being written"
            if files[0].suffix == ".mcap":
                advice += f": run 'windhover bag recover {self._path}'"
            raise SourceError(f"cannot open bag {self._path}: {_one_line(error)} ({advice})") from (
                error
            )
        self._reader = reader
        return reader

    def __exit__(self, *_: object) -> None:
        if self._reader is not None:
            self._reader.close()


def _storage_files(path: Path) -> list[Path]:
    """The files of a bag, of one storage, in their order."""
    if path.is_file():
        return [path]
    for pattern in ("*.mcap", "*.db3"):
        files = sorted(path.glob(pattern), key=lambda file: natural_key(file.name))
        if files:
            return files
    return [path]


def _to_open(path: Path, files: list[Path]) -> list[Path]:
    """The folder, or its files where metadata.yaml is missing or names no storage."""
    metadata = path / "metadata.yaml"
    if path.is_file() or not files[0].is_file():
        return [path]
    if not metadata.is_file():
        return files
    # Some recorders leave it empty; every file says what it is by its suffix.
    empty = re.search(r"^\s*storage_identifier:\s*(\"\"|''|~|null)?\s*$", _text(metadata), re.M)
    return files if empty else [path]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _refuse_empty(path: Path, files: list[Path]) -> None:
    empty = [file for file in files if file.is_file() and file.stat().st_size == 0]
    if not empty:
        return
    advice = "record or copy it again"
    if len(empty) < len(files):
        advice = f"run 'windhover bag recover {path}'"
    raise SourceError(f"bag file {empty[0]} is empty (0 bytes): {advice}")


def _choose(
    reader: AnyReader, path: Path, topic: str | None, camera: str | None = None
) -> list[Connection]:
    """The connections of the named image topic, of the camera's, or of the only one there is."""
    found: dict[str, list[Connection]] = {}
    for connection in reader.connections:
        if connection.msgtype in {IMAGE, COMPRESSED}:
            found.setdefault(connection.topic, []).append(connection)
    if not found:
        others = ", ".join(sorted({connection.topic for connection in reader.connections}))
        raise SourceError(f"bag {path} has no image topic, only: {others or 'nothing'}")
    if topic is None and len(found) > 1:
        of_camera = [name for name in found if f"/camera/{camera}/" in name]
        # Overlays and previews are recorded beside what the camera gave.
        raw = [name for name in found if _RAW.search(name)]
        raw_of_camera = [name for name in of_camera if _RAW.search(name)]
        choices = (of_camera, raw_of_camera, raw)
        topic = next((names[0] for names in choices if len(names) == 1), None)
    if topic is None and len(found) > 1:
        raise SourceError(
            f"bag {path} has several image topics ({', '.join(sorted(found))}), name one as topic: "
            f"rosbag:{path}?topic={min(found)}, or replay --remap"
        )
    chosen = topic or next(iter(found))
    if chosen not in found:
        raise SourceError(
            f"bag {path} has no image topic {chosen}, but: {', '.join(sorted(found))}"
        )
    return found[chosen]


def _rate(count: int, seconds: float) -> float:
    return (count - 1) / seconds if count > 1 and seconds > 0 else DEFAULT_RATE_HZ


def _decode(message: Any, msgtype: str) -> tuple[Image, str]:
    if msgtype == IMAGE:
        return decode_image(
            message.data,
            message.encoding,
            message.height,
            message.width,
            message.step,
            message.is_bigendian,
        )
    return decode_compressed(message.data, message.format)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
