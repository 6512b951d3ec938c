"""Compressed pictures to arrays: image files, and CompressedImage of live topics and bags.

The codec is read from the data itself. What four channels mean is never guessed: the
fourth is alpha and is left out, unless the caller or the message declares it as thermal.
"""

from __future__ import annotations

import struct
import sys
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import EncodingError
from windhover.imaging.conversions import (
    high_byte,
    signed_to_counts,
    temperatures_to_counts,
)
from windhover.imaging.formats import MAX_SIDE, Modality, decode_image
from windhover.imaging.jpeg import frame_size, is_truncated_jpeg
from windhover.types import Image

FourthChannel = Literal["alpha", "thermal"]
"""What the fourth channel of a picture holds."""

MAX_PIXELS = 1 << 27
"""Largest JPEG or PNG that is decoded: a few bytes can promise gigabytes."""

# What can't be decoded raises an error here. OpenCV would also write about it to standard
# error, and warn of every TIFF tag that it does not know.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_GRAY_ALPHA, _PNG_RGBA = 4, 6
_TIFF = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_EXTRA_SAMPLES, _SHORT, _UNASSOCIATED = 338, 3, 2
_DEPTH_HEADER = struct.Struct("<iff")
_BIG_ENDIAN = sys.byteorder == "big"
_LONGEST_KIND = 80
_CODECS = ("jpeg", "jpg", "png", "tif", "webp", "bmp")
_ENCODINGS = {(1, "uint8"): "mono8", (1, "uint16"): "mono16", (3, "uint8"): "bgr8"}
_KEEP_DEPTH = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR


def decode_image_bytes(
    data: bytes | memoryview | NDArray[np.uint8],
    what: str,
    *,
    fourth: FourthChannel = "alpha",
    upright: bool = False,
) -> tuple[Image, str]:
    """Decode the content of an image file.

    Args:
        data: JPEG, PNG, BMP, TIFF, PGM, PPM or WebP.
        what: how to name it in messages.
        fourth: what the last of four channels is. ``thermal`` is only believed of PNG
            with red, green, blue and alpha, and of TIFF.
        upright: turn the picture by its EXIF orientation. A message's picture is
            as the camera's calibration has it, so it is left as it is stored (but for
            TIFF, which OpenCV always turns).

    Returns:
        The image and its encoding: ``mono8``, ``mono16``, ``bgr8``, or ``8UC4``
        (B, G, R, T) for four channels of which the last is thermal. Grey with alpha is
        grey; of 16-bit colour the high byte is taken; floating-point grey is taken as
        temperatures and becomes ``mono16`` counts of 0.01 K.

    Raises:
        EncodingError: it is empty, truncated, damaged or too large, or has pixels of
            another kind.
    """
    buffer = np.frombuffer(data, np.uint8)
    if buffer.size == 0:
        raise EncodingError(f"{what} is empty (0 bytes): remove it or copy it again")
    view = memoryview(buffer.data)
    _check_size(view, what)
    if is_truncated_jpeg(view) or is_truncated_png(view):
        raise EncodingError(f"{what} is truncated: remove it or copy it again")
    if bytes(view[:4]) in _TIFF:
        buffer = np.frombuffer(_unmark_alpha(bytes(view)), np.uint8)
    png_kind = view[25] if bytes(view[:8]) == _PNG and len(view) > 25 else None
    if fourth == "thermal" and (png_kind == _PNG_RGBA or bytes(view[:4]) in _TIFF):
        image = _imdecode(buffer, cv2.IMREAD_UNCHANGED)
        if image is not None and image.ndim == 3 and image.shape[2] == 4:
            if image.dtype != np.uint8:
                raise EncodingError(f"{what} has 4 channels of {image.dtype}: convert it to 8 bits")
            return image, "8UC4"
    image = _imdecode(buffer, _KEEP_DEPTH | (0 if upright else cv2.IMREAD_IGNORE_ORIENTATION))
    if image is None:
        raise EncodingError(f"{what} is damaged or not an image: remove it or copy it again")
    if png_kind == _PNG_GRAY_ALPHA and image.ndim == 3:
        image = np.ascontiguousarray(image[..., 0])
    return _canonical(image, what)


def fourth_channel(channels: Modality) -> FourthChannel:
    """What the fourth channel of a picture is to a model: thermal only where it takes both."""
    return "thermal" if channels == "rgbt" else "alpha"


def decode_compressed(data: bytes | memoryview | NDArray[np.uint8], kind: str) -> tuple[Image, str]:
    """Decode the data of a sensor_msgs/CompressedImage.

    Args:
        data: the message's ``data``.
        kind: its ``format``. image_transport writes the picture's encoding, the codec
            and the encoding of what was compressed: ``bgra8; png compressed bgr8``;
            others write ``jpeg``, or nothing.

    Returns:
        As :func:`decode_image_bytes`. Only ``8UC4`` gives four channels; a Bayer mosaic
        becomes ``bgr8``; depth images become ``mono16``.

    Raises:
        EncodingError: it can't be decoded.
    """
    shown = "".join(each if each.isprintable() else "?" for each in kind[:_LONGEST_KIND])
    what = f"compressed image ({shown or 'no format given'})"
    encoding, _, codec = (part.strip() for part in kind.partition(";"))
    if "compresseddepth" in kind.lower():
        return _decode_depth(data, encoding, codec.lower(), what)
    fourth: FourthChannel = "thermal" if encoding == "8UC4" else "alpha"
    try:
        image, held = decode_image_bytes(data, what, fourth=fourth)
    except EncodingError:
        if kind and not any(name in kind.lower() for name in _CODECS):
            raise EncodingError(
                f"an image compressed as {kind!r} can't be decoded: use jpeg, png, tiff or webp"
            ) from None
        raise
    if encoding.startswith("bayer_") and image.ndim == 2:
        # image_transport compresses the mosaic as if it were grey.
        mosaic = f"{encoding.rstrip('0123456789')}{8 * image.itemsize}"
        height, width = image.shape
        return decode_image(image.data, mosaic, height, width, image.strides[0], _BIG_ENDIAN)
    if held == "bgr8" and "compressed rgb" in codec.lower():
        held = "rgb8"
    return image, held


def is_truncated_png(data: bytes | memoryview) -> bool:
    """Tell whether a PNG lacks its end.

    libpng would say so as well, but on standard error, past our own message
    (W3C PNG, section 5: signature, then chunks up to IEND).
    """
    if bytes(data[:8]) != _PNG:
        return False
    position = 8
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if data[position + 4 : position + 8] == b"IEND":
            return end > len(data)
        position = end
    return True


def _check_size(data: memoryview, what: str) -> None:
    """Refuse what would take gigabytes before any of it is decoded."""
    size = frame_size(data)
    if bytes(data[:8]) == _PNG and len(data) >= 24:
        # The first chunk is the header: width and height (W3C PNG, section 11.2.1).
        size = int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if size is not None and (max(size) > MAX_SIDE or size[0] * size[1] > MAX_PIXELS):
        raise EncodingError(
            f"{what} has {size[0]}x{size[1]} pixels: no side may be above {MAX_SIDE}, "
            f"nor all of it above {MAX_PIXELS >> 20} megapixels"
        )


def _unmark_alpha(data: bytes) -> bytes:
    """A TIFF whose fourth channel is of no declared kind (TIFF 6.0, tag ExtraSamples).

    libtiff multiplies the colours by a fourth channel that is declared as alpha. Where it
    is thermal they would darken with the cold, and where it is alpha they would turn
    black, which they do in no other kind of file.
    """
    order = "<" if data[:2] == b"II" else ">"
    try:
        (first,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, first)
        for entry in range(first + 2, first + 2 + 12 * count, 12):
            tag, kind, length, value = struct.unpack_from(f"{order}HHIH", data, entry)
            if (tag, kind, length, value) == (_EXTRA_SAMPLES, _SHORT, 1, _UNASSOCIATED):
                return data[: entry + 8] + bytes(2) + data[entry + 10 :]
    except struct.error:  # cut short: OpenCV reports it
        pass
    return data


def _imdecode(buffer: NDArray[np.uint8], flags: int) -> NDArray[Any] | None:
    try:
        return cv2.imdecode(buffer, flags)
    except cv2.error:  # some damage raises, most gives None
        return None


def _canonical(image: NDArray[Any], what: str) -> tuple[Image, str]:
    """What OpenCV decoded, in an encoding that a frame may have."""
    channels = 1 if image.ndim == 2 else image.shape[2]
    kind = channels, image.dtype.name
    if kind == (3, "uint16"):
        return high_byte(image), "bgr8"
    if kind == (1, "int16"):
        return signed_to_counts(image), "mono16"
    if kind in {(1, "float32"), (1, "float64")}:
        return temperatures_to_counts(image), "mono16"
    if kind not in _ENCODINGS:
        raise EncodingError(
            f"{what} has {channels} channel(s) of {image.dtype}: convert it to 8-bit "
            "grey or colour, or 16-bit grey"
        )
    return image, _ENCODINGS[kind]


def _decode_depth(
    data: bytes | memoryview | NDArray[np.uint8], encoding: str, codec: str, what: str
) -> tuple[Image, str]:
    """Decode image_transport's compressedDepth: a header, then a PNG of 16 bits.

    For 32FC1 the PNG holds inverse depth, 0 where there is none; the header has its two
    factors (compressed_depth_image_transport, ``compression_common.hpp``).
    """
    if "rvl" in codec:
        raise EncodingError(f"{what} is compressed by RVL: set its format to png")
    buffer = np.frombuffer(data, np.uint8)
    if buffer.size <= _DEPTH_HEADER.size:
        raise EncodingError(f"{what} is empty ({buffer.size} bytes)")
    image, held = decode_image_bytes(buffer[_DEPTH_HEADER.size :], what)
    if held != "mono16":
        raise EncodingError(f"{what} holds {held} where compressedDepth has 16 bits of grey")
    if encoding != "32FC1":
        return image, held
    _, factor, offset = _DEPTH_HEADER.unpack_from(buffer.data)
    with np.errstate(all="ignore"):
        metres = np.float32(factor) / (image.astype(np.float32) - np.float32(offset))
    metres[image == 0] = np.nan
    return temperatures_to_counts(metres), "mono16"
