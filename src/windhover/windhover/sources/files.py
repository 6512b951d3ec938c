"""Frames from image files: one, or a folder of them in natural order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import SourceError
from windhover.imaging.formats import to_gray8
from windhover.sources.options import DEFAULT_RATE_HZ, SourceOptions
from windhover.sources.recorded import RecordedSource, Shot
from windhover.types import Image

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".pgm", ".ppm", ".webp")

_ENCODINGS = {
    (1, np.dtype(np.uint8)): "mono8",
    (1, np.dtype(np.uint16)): "mono16",
    (3, np.dtype(np.uint8)): "bgr8",
    (4, np.dtype(np.uint8)): "8UC4",
}


class ImageFiles(RecordedSource):
    """One image file, or all of a folder; stamps are start + index / rate.

    Sizes and encodings may differ from file to file: each frame says its own.

    Attributes:
        paths: the files in order; that of a frame is ``paths[frame.index % len(paths)]``.
    """

    def __init__(self, path: Path, name: str, options: SourceOptions) -> None:
        """List the files.

        Args:
            path: an image file or a folder that holds some.
            name: the URI, for messages.
            options: ``rate_hz``, ``loop``, ``start_stamp_ns``, ``frame_id``,
                ``as_gray`` and ``on_bad`` are read.

        Raises:
            SourceError: nothing there, or no image in the folder.
        """
        self.paths = _list_images(path) if path.is_dir() else [path]
        rate_hz = options.rate_hz or DEFAULT_RATE_HZ
        super().__init__(name, rate_hz, len(self.paths), options)

    def _read(self) -> Iterator[Shot | SourceError]:
        for index, path in enumerate(self.paths):
            stamp_ns = self._options.start_stamp_ns + round(index * 1e9 / self._rate_hz)
            try:
                image, encoding = read_image(path)
            except SourceError as error:
                yield error
                continue
            if self._options.as_gray and encoding in {"bgr8", "8UC4"}:
                image, encoding = to_gray8(image, encoding), "mono8"
            yield Shot(image, encoding, stamp_ns)


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that puts ``frame9`` before ``frame10``."""
    parts = re.split(r"([0-9]+)", text)
    return tuple(
        (1, int(part), part) if part.isdecimal() and part.isascii() else (0, 0, part.casefold())
        for part in parts
        if part
    )


def read_image(path: Path) -> tuple[Image, str]:
    """Read one image file whole.

    Args:
        path: JPEG, PNG, BMP, TIFF, PGM, PPM or WebP.

    Returns:
        The image and its encoding: ``mono8``, ``mono16``, ``bgr8``, or ``8UC4`` for
        four channels (taken as B, G, R, T).

    Raises:
        SourceError: it can't be opened, is truncated or damaged, or has pixels of
            another kind.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(f"cannot read image {path}: {error.strerror or error}") from error
    return decode_image_file(data, f"image {path}")


def decode_image_file(data: bytes | memoryview | NDArray[np.uint8], what: str) -> tuple[Image, str]:
    """Decode the content of an image file.

    Args:
        data: the file's bytes.
        what: how to name it in messages.

    Returns:
        As :func:`read_image`.

    Raises:
        SourceError: as :func:`read_image`.
    """
    buffer = np.frombuffer(data, np.uint8)
    if buffer.size == 0:
        raise SourceError(f"{what} is empty (0 bytes): remove it or copy it again")
    if is_truncated_jpeg(whole := bytes(buffer)) or is_truncated_png(whole):
        raise SourceError(f"{what} is truncated: remove it or copy it again")
    image = _imdecode(buffer)
    if image is None:
        raise SourceError(f"{what} is damaged or not an image: remove it or copy it again")
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels == 3 and image.dtype == np.uint16:
        # 16-bit colour: cameras for this are 8-bit, so its low bits are of no use.
        return cv2.convertScaleAbs(image, alpha=1 / 257).view(np.uint8), "bgr8"
    encoding = _ENCODINGS.get((channels, image.dtype))
    if encoding is None:
        raise SourceError(
            f"{what} has {channels} channel(s) of {image.dtype}: convert it to 8-bit "
            "grey or colour, or 16-bit grey"
        )
    return image, encoding


def _imdecode(buffer: NDArray[np.uint8]) -> NDArray[Any] | None:
    try:
        return cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
    except cv2.error:  # some damage raises, most gives None
        return None


def is_truncated_jpeg(data: bytes) -> bool:
    """Tell whether a JPEG lacks its end.

    OpenCV before 5 fills what is missing with grey and reports success, so this
    is checked before it. Headers are walked first, as an embedded thumbnail has an
    end marker of its own (ITU-T T.81, annex B).
    """
    if data[:2] != b"\xff\xd8":
        return False
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill bytes may stand before a marker
            position += 1
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        position += 2 + length
        if marker == 0xDA:  # start of scan: from here on 0xFF in data is escaped
            return data.find(b"\xff\xd9", position) < 0
    return True


def is_truncated_png(data: bytes) -> bool:
    """Tell whether a PNG lacks its end.

    libpng would say so as well, but on standard error, past our own message
    (W3C PNG, section 5: signature, then chunks up to IEND).
    """
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return False
    position = 8
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if data[position + 4 : position + 8] == b"IEND":
            return end > len(data)
        position = end
    return True


def _list_images(folder: Path) -> list[Path]:
    try:
        entries = list(folder.iterdir())
    except OSError as error:
        raise SourceError(f"cannot read folder {folder}: {error.strerror or error}") from error
    paths = [
        entry
        for entry in entries
        if entry.suffix.lower() in IMAGE_SUFFIXES and not entry.name.startswith(".")
    ]
    if not paths:
        raise SourceError(f"no images in folder {folder}: looked for {', '.join(IMAGE_SUFFIXES)}")
    return sorted(paths, key=lambda entry: natural_key(entry.name))
