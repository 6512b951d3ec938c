"""Makes an interrupted recording (power lost, ``kill -9``) readable again.

An MCAP file without its end has every chunk that was written, but no index, and the bag
no metadata.yaml. All complete messages go into a new bag beside the old one, with the
file's own channels, schemas, times and QoS, whoever wrote it. Of a last chunk that was
written in part, the complete messages in that part are kept, compressed or not.

Records as in https://mcap.dev/spec, read and written with the ``mcap`` library.
"""

from __future__ import annotations

import shutil
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import lz4.frame
import yaml
import zstandard
from mcap.data_stream import ReadDataStream
from mcap.exceptions import McapError
from mcap.opcode import Opcode
from mcap.records import Attachment, Channel, Header, McapRecord, Message, Metadata, Schema
from mcap.writer import CompressionType, Writer

from windhover.errors import ConfigError, DataError
from windhover.sources.files import natural_key
from windhover_bringup.recording.metadata import (
    FileSummary,
    TopicSummary,
    bag_metadata,
    write_metadata,
)

MAGIC = b"\x89MCAP0\r\n"
# Opcode and length before each record.
_HEAD = struct.Struct("<BQ")
# Before a chunk's records: start, end, uncompressed size, CRC, length of the compression's name.
_CHUNK = struct.Struct("<QQQII")
# rosbag2's own record: its counts would be wrong, and readers take them from the index.
_COUNTS = "rosbag2"
_ENDS = {Opcode.DATA_END, Opcode.FOOTER}
_KINDS: dict[int, Any] = {
    Opcode.HEADER: Header,
    Opcode.SCHEMA: Schema,
    Opcode.CHANNEL: Channel,
    Opcode.ATTACHMENT: Attachment,
    Opcode.METADATA: Metadata,
}
_IN_CHUNKS = {Opcode.SCHEMA, Opcode.CHANNEL, Opcode.MESSAGE}


@dataclass(frozen=True, slots=True)
class RecoveryResult:
    """What was saved.

    Attributes:
        path: the new bag.
        messages: how many are in it.
        notes: what could not be saved, for a person.
    """

    path: Path
    messages: int
    notes: tuple[str, ...] = ()


def recover(bag: Path) -> RecoveryResult:
    """Save all complete messages of an interrupted bag into ``<bag>_recovered``.

    Args:
        bag: its folder, of which all ``.mcap`` files are read, or one such file; left
            as it is.

    Raises:
        DataError: there is no MCAP file in it, no complete message in that, or the new
            bag can't be written. Nothing is left behind.
        ConfigError: ``<bag>_recovered`` exists already.
    """
    bag = bag.resolve()
    files = _files_of(bag)
    target = bag.with_name(f"{bag.name if bag.is_dir() else bag.stem}_recovered")
    if target.exists():
        raise ConfigError(f"{target} exists already; remove or rename it")
    part = target.with_name(f".{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    topics: dict[_TopicKey, TopicSummary] = {}
    notes: list[str] = []
    try:
        part.mkdir()
        summaries = [_FileCopy(topics, notes).copy(file, part / file.name) for file in files]
        for summary in summaries:
            if not summary.messages:
                (part / summary.name).unlink()
        summaries = [summary for summary in summaries if summary.messages]
        if not summaries:
            raise DataError("; ".join([f"{bag} holds no complete message", *notes]))
        write_metadata(part, bag_metadata(summaries, list(topics.values())))
        part.rename(target)
    except OSError as error:
        raise DataError(f"can't write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return RecoveryResult(target, sum(summary.messages for summary in summaries), tuple(notes))


def _files_of(bag: Path) -> list[Path]:
    if not bag.exists():
        raise DataError(f"no such file or folder: {bag}")
    if bag.is_file():
        return [bag]
    files = sorted(bag.glob("*.mcap"), key=lambda file: natural_key(file.name))
    if not files and any(bag.glob("*.db3")):
        raise DataError(f"{bag} is stored in sqlite3, which needs no recovery: open it as it is")
    if not files:
        raise DataError(f"no .mcap file in {bag}; give the folder of a recording")
    return files


# Name, type, encoding, type hash and QoS: a topic of several publishers may have several.
_TopicKey = tuple[str, str, str, str, str]


@dataclass(slots=True)
class _FileCopy:
    """Copies one file's complete records.

    Attributes:
        topics: of all files so far; extended.
        notes: what could not be saved; extended.
    """

    topics: dict[_TopicKey, TopicSummary]
    notes: list[str]
    _schemas: dict[int, tuple[int, str]] = field(default_factory=dict)
    _channels: dict[int, tuple[int, TopicSummary]] = field(default_factory=dict)
    _undescribed: int = 0

    def copy(self, source: Path, target: Path) -> FileSummary:
        """Write what is complete of a file into another.

        Raises:
            OSError: it can't be read or written.
        """
        summary = FileSummary(target.name)
        with source.open("rb") as stream, target.open("xb") as output:
            writer = Writer(output, compression=CompressionType.ZSTD)
            records = self._records(stream, source)
            first = next(records, None)
            writer.start(first.profile if isinstance(first, Header) else "ros2")
            for record in (first, *records) if first is not None else ():
                self._write(writer, record, summary)
            writer.finish()
        if self._undescribed:
            self.notes.append(
                f"{source.name}: {self._undescribed} messages of channels that it does not "
                "describe are lost"
            )
        return summary

    def _write(self, writer: Writer, record: McapRecord, summary: FileSummary) -> None:
        if isinstance(record, Schema):
            if record.id not in self._schemas:
                schema = writer.register_schema(record.name, record.encoding, record.data)
                self._schemas[record.id] = schema, record.name
        elif isinstance(record, Channel):
            # Without its schema nobody could read its messages; 0 means that there is none.
            known = record.schema_id == 0 or record.schema_id in self._schemas
            if known and record.id not in self._channels:
                self._channels[record.id] = self._register(writer, record)
        elif isinstance(record, Message):
            if record.channel_id not in self._channels:
                self._undescribed += 1
                return
            channel, topic = self._channels[record.channel_id]
            writer.add_message(
                channel, record.log_time, record.data, record.publish_time, record.sequence
            )
            topic.messages += 1
            summary.add(record.log_time)
        elif isinstance(record, Attachment):
            writer.add_attachment(
                record.create_time, record.log_time, record.name, record.media_type, record.data
            )
        elif isinstance(record, Metadata) and record.name != _COUNTS:
            writer.add_metadata(record.name, record.metadata)

    def _register(self, writer: Writer, record: Channel) -> tuple[int, TopicSummary]:
        schema, kind = self._schemas.get(record.schema_id, (0, ""))
        channel = writer.register_channel(
            record.topic, record.message_encoding, schema, record.metadata
        )
        qos = record.metadata.get("offered_qos_profiles", "")
        digest = record.metadata.get("topic_type_hash", "")
        summary = TopicSummary(record.topic, kind, record.message_encoding, _profiles(qos), digest)
        key = record.topic, kind, record.message_encoding, digest, qos
        return channel, self.topics.setdefault(key, summary)

    def _records(self, stream: BinaryIO, source: Path) -> Iterator[McapRecord]:
        """Complete records in the order of the file, those inside chunks among them."""
        size = source.stat().st_size
        if stream.read(len(MAGIC)) != MAGIC:
            self.notes.append(f"{source.name} is not MCAP, or was cut off before its first byte")
            return
        while head := stream.read(_HEAD.size):
            at = stream.tell() - len(head)
            opcode, length = _HEAD.unpack(head) if len(head) == _HEAD.size else (0, 0)
            if opcode in _ENDS:
                return
            # No record has opcode 0: the file system kept the file's length, not its content.
            if opcode == 0:
                self.notes.append(f"{source.name} was cut off at byte {at} of {size}")
                return
            content = stream.read(min(length, size))
            complete = len(content) == length
            if not complete:
                self.notes.append(f"{source.name} was cut off in a record that begins at byte {at}")
            try:
                if opcode == Opcode.CHUNK:
                    yield from _chunk_records(content, complete)
                elif complete and (opcode in _KINDS or opcode in _IN_CHUNKS):
                    yield _parse(opcode, content)
            except (McapError, ValueError, struct.error) as error:
                self.notes.append(f"{source.name}: the record at byte {at} is damaged: {error}")


def _chunk_records(content: bytes, complete: bool) -> Iterator[McapRecord]:
    """Complete records of a chunk that may be cut off at its end.

    Raises:
        ValueError: its compression is unknown, or its checksum does not match.
    """
    if len(content) < _CHUNK.size:
        return
    _, _, size, crc, length = _CHUNK.unpack_from(content)
    # The length of the records comes after the compression's name; they reach to the end.
    begin = _CHUNK.size + length + 8
    compression = content[_CHUNK.size : _CHUNK.size + length].decode()
    data = _decompress(compression, content[begin:], size)
    if complete and (len(data) != size or (crc and zlib.crc32(data) != crc)):
        raise ValueError("its checksum does not match")
    at = 0
    while at + _HEAD.size <= len(data):
        opcode, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size + length
        if at > len(data):
            return
        if opcode in _IN_CHUNKS:
            yield _parse(opcode, data[at - length : at])


def _decompress(compression: str, data: bytes, size: int) -> bytes:
    """As much as there is, and no more than ``size``, of a stream that may end early."""
    if not data or compression == "":
        return data
    # One byte more than is promised, so that a wrong size is noticed.
    limit = min(size, 1 << 32) + 1
    try:
        if compression == "zstd":
            with zstandard.ZstdDecompressor().stream_reader(data) as reader:
                return reader.read(limit)
        if compression == "lz4":
            return bytes(lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=limit))
    except (zstandard.ZstdError, RuntimeError, MemoryError) as error:
        raise ValueError(f"{compression}: {error}") from None
    raise ValueError(f"unknown compression {compression!r}")


def _parse(opcode: int, content: bytes) -> McapRecord:
    stream = ReadDataStream(BytesIO(content))
    if opcode == Opcode.MESSAGE:
        return Message.read(stream, len(content))
    record: McapRecord = _KINDS[opcode].read(stream)
    return record


def _profiles(text: str) -> list[Any]:
    """Offered QoS profiles as YAML reads them; none where they can't be read."""
    try:
        profiles = yaml.safe_load(text)
    except yaml.YAMLError:
        return []
    return profiles if isinstance(profiles, list) else []
