"""The directories of a TIFF file, without its pixels (TIFF 6.0, and BigTIFF)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

_NEW_SUBFILE_TYPE = 0x00FE
_REDUCED_OR_MASK = 0b101
_ASCII, _SHORT, _LONG, _LONG8 = 2, 3, 4, 16
_CODES = {_SHORT: "H", _LONG: "I", _LONG8: "Q"}
_SIZES = {_ASCII: 1, _SHORT: 2, _LONG: 4, _LONG8: 8}
_MAX_DIRECTORIES = 100_000
_MAX_TEXT = 1024


@dataclass(frozen=True, slots=True)
class Directory:
    """The tags of one picture that are whole numbers or text.

    Attributes:
        offset: where in the file it begins.
        numbers: first value of each tag of a whole-number type.
        texts: each tag of type ASCII, without its terminator.
    """

    offset: int
    numbers: Mapping[int, int]
    texts: Mapping[int, str]


def directories(data: bytes | memoryview) -> Iterator[Directory]:
    """Yield the directories of the main chain, as far as they can be read.

    Args:
        data: a TIFF file's bytes; nothing is yielded where they are not one's.
    """
    view = memoryview(data)
    order = {b"II": "<", b"MM": ">"}.get(bytes(view[:2]))
    if order is None or len(view) < 16:
        return
    (version,) = struct.unpack_from(f"{order}H", view, 2)
    if version not in (42, 43):
        return
    big = version == 43
    offset_format, count_format = (f"{order}Q", f"{order}Q") if big else (f"{order}I", f"{order}H")
    (offset,) = struct.unpack_from(offset_format, view, 8 if big else 4)
    seen: set[int] = set()
    # A damaged or hostile chain may point back into itself.
    while offset and offset not in seen and len(seen) < _MAX_DIRECTORIES:
        seen.add(offset)
        try:
            (count,) = struct.unpack_from(count_format, view, offset)
            entries = offset + struct.calcsize(count_format)
            after = entries + count * (20 if big else 12)
            yield _directory(offset, view[entries:after], view, order, big=big)
            (offset,) = struct.unpack_from(offset_format, view, after)
        except struct.error:
            return


def picture_directories(data: bytes | memoryview) -> list[int]:
    """The places in the chain of a TIFF's pictures, thumbnails and masks left out.

    Args:
        data: a TIFF file's bytes.

    Returns:
        Indices for :func:`only_directory`; empty where the data are no TIFF's.
    """
    return [
        index
        for index, each in enumerate(directories(data))
        if not each.numbers.get(_NEW_SUBFILE_TYPE, 0) & _REDUCED_OR_MASK
    ]


def only_directory(data: bytes, index: int) -> bytes:
    """The file with one picture of the chain as its first.

    Args:
        data: a TIFF file's bytes.
        index: place of the picture in the chain.
    """
    if index == 0:
        return data
    order = "<" if data[:2] == b"II" else ">"
    place, code = (8, "Q") if data[2:4] in (b"+\0", b"\0+") else (4, "I")
    header = bytearray(data)
    offsets = [each.offset for each, _ in zip(directories(data), range(index + 1), strict=False)]
    struct.pack_into(f"{order}{code}", header, place, offsets[index])
    return bytes(header)


def _directory(
    offset: int, entries: memoryview, data: memoryview, order: str, *, big: bool
) -> Directory:
    numbers: dict[int, int] = {}
    texts: dict[int, str] = {}
    # tag, type, count, then the value where it fits into that many bytes, else its offset
    entry, room, pointer = (f"{order}HHQ8s", 8, "Q") if big else (f"{order}HHI4s", 4, "I")
    size = struct.calcsize(entry)
    for tag, kind, count, value in struct.iter_unpack(
        entry, entries[: len(entries) // size * size]
    ):
        if kind not in _SIZES or count == 0:
            continue
        length = _SIZES[kind] * count
        content = value[:length]
        if length > room:
            (start,) = struct.unpack(f"{order}{pointer}", value)
            content = bytes(data[start : start + min(length, _MAX_TEXT)])
        if kind == _ASCII:
            texts[tag] = content.split(b"\0")[0].decode("utf-8", "replace").strip()
        elif len(content) >= _SIZES[kind]:
            (numbers[tag],) = struct.unpack_from(f"{order}{_CODES[kind]}", content)
    return Directory(offset, numbers, texts)
