"""Pixel formats: raw camera and message buffers to arrays, and arrays to channels.

Names are those of ROS 2's ``sensor_msgs/image_encodings.hpp`` and of OpenCV's types, with
``uyvy``, ``yuyv``, ``nv12`` and ``mono12`` as drivers spell them. YUV is BT.601 limited
range, which is what UVC cameras and ROS drivers send.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import EncodingError
from windhover.imaging.agc import percentile_agc
from windhover.imaging.conversions import (
    high_byte,
    signed_to_counts,
    temperatures_to_counts,
    ycbcr_to_bgr,
)
from windhover.types import Image

Modality = Literal["rgb", "thermal", "rgbt"]

MAX_SIDE = 32_767
"""OpenCV's own limit for a side of a picture it is to warp or resize."""

CANONICAL = ("bgr8", "rgb8", "mono8", "mono16", "8UC4")
"""Encodings that a :class:`~windhover.types.Frame` may have."""

Convert = Callable[[NDArray[Any], int, int], NDArray[Any]]
ToneMap = Callable[[NDArray[np.uint16]], NDArray[np.uint8]]


@dataclass(frozen=True, slots=True)
class _Layout:
    """How an encoding is stored and what it becomes.

    Attributes:
        canonical: encoding of the array that comes out.
        channels: samples a pixel in the buffer.
        dtype: of a sample, in native byte order.
        chroma_rows: rows of interleaved chroma after the luma, per luma row.
        even: which of (rows, columns) must be even.
        convert: view of the buffer, height, width -> image; ``None`` = as it is.
    """

    canonical: str
    channels: int = 1
    dtype: str = "u1"
    chroma_rows: float = 0.0
    even: tuple[bool, bool] = (False, False)
    convert: Convert | None = None

    @property
    def pixel_bytes(self) -> int:
        """Bytes a pixel in a row."""
        return self.channels * np.dtype(self.dtype).itemsize


def _by_code(code: int) -> Convert:
    return lambda view, _height, _width: cv2.cvtColor(view, code)


def _high_byte_by_code(code: int) -> Convert:
    return lambda view, _height, _width: high_byte(np.asarray(cv2.cvtColor(view, code), np.uint16))


def _by_value(convert: Callable[[NDArray[Any]], NDArray[Any]]) -> Convert:
    return lambda view, _height, _width: convert(view)


def _semi_planar(code: int) -> _Layout:
    def convert(view: NDArray[Any], height: int, width: int) -> NDArray[Any]:
        chroma = view[height:].reshape(height // 2, width // 2, 2)
        return cv2.cvtColorTwoPlane(view[:height], chroma, code)

    return _Layout("bgr8", chroma_rows=0.5, even=(True, True), convert=convert)


def _semi_planar_full(view: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    # A row of chroma, and its padding, is twice as long as one of luma.
    rows = 2 * view.strides[0], 2, 1
    chroma = np.lib.stride_tricks.as_strided(view[height:], (height, width, 2), rows)
    return ycbcr_to_bgr(np.dstack((view[:height], chroma)))


def _bayer(pattern: str) -> dict[str, _Layout]:
    # OpenCV's two-letter Bayer names give the second row's second and third
    # pixel and so disagree with ROS; its four-letter aliases agree.
    code: int = getattr(cv2, f"COLOR_Bayer{pattern.upper()}2BGR")
    even = (True, True)
    return {
        f"bayer_{pattern}8": _Layout("bgr8", even=even, convert=_by_code(code)),
        f"bayer_{pattern}16": _Layout(
            "bgr8", dtype="u2", even=even, convert=_high_byte_by_code(code)
        ),
    }


_UYVY = _Layout("bgr8", 2, even=(False, True), convert=_by_code(cv2.COLOR_YUV2BGR_UYVY))
_YUYV = _Layout("bgr8", 2, even=(False, True), convert=_by_code(cv2.COLOR_YUV2BGR_YUY2))
_DEEP_GRAY = _Layout("mono16", dtype="u2")
_DEEP_BGR = _Layout("bgr8", 3, "u2", convert=_by_value(high_byte))

_LAYOUTS: dict[str, _Layout] = {
    "bgr8": _Layout("bgr8", 3),
    "8UC3": _Layout("bgr8", 3),
    "rgb8": _Layout("rgb8", 3),
    "bgra8": _Layout("bgr8", 4, convert=_by_code(cv2.COLOR_BGRA2BGR)),
    "rgba8": _Layout("bgr8", 4, convert=_by_code(cv2.COLOR_RGBA2BGR)),
    "bgr16": _DEEP_BGR,
    "16UC3": _DEEP_BGR,
    "rgb16": _Layout("bgr8", 3, "u2", convert=_high_byte_by_code(cv2.COLOR_RGB2BGR)),
    "bgra16": _Layout("bgr8", 4, "u2", convert=_high_byte_by_code(cv2.COLOR_BGRA2BGR)),
    "rgba16": _Layout("bgr8", 4, "u2", convert=_high_byte_by_code(cv2.COLOR_RGBA2BGR)),
    "8UC4": _Layout("8UC4", 4),
    "mono8": _Layout("mono8"),
    "8UC1": _Layout("mono8"),
    "mono16": _DEEP_GRAY,
    "16UC1": _DEEP_GRAY,
    # GenICam's names for counts in the low bits of 16.
    "mono10": _DEEP_GRAY,
    "mono12": _DEEP_GRAY,
    "mono14": _DEEP_GRAY,
    "16SC1": _Layout("mono16", dtype="i2", convert=_by_value(signed_to_counts)),
    "32FC1": _Layout("mono16", dtype="f4", convert=_by_value(temperatures_to_counts)),
    "64FC1": _Layout("mono16", dtype="f8", convert=_by_value(temperatures_to_counts)),
    "nv12": _semi_planar(cv2.COLOR_YUV2BGR_NV12),
    "nv21": _semi_planar(cv2.COLOR_YUV2BGR_NV21),
    "nv24": _Layout("bgr8", chroma_rows=2.0, convert=_semi_planar_full),
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    **_bayer("rggb"),
    **_bayer("bggr"),
    **_bayer("gbrg"),
    **_bayer("grbg"),
}

ENCODINGS = tuple(_LAYOUTS)
"""Every encoding that :func:`decode_image` takes."""


def decode_image(
    data: object, encoding: str, height: int, width: int, step: int, is_bigendian: int | bool = 0
) -> tuple[Image, str]:
    """Turn the buffer of an image message into an array.

    Args:
        data: contiguous bytes: ``bytes``, ``bytearray``, ``memoryview``,
            ``array.array`` or a uint8 array. Padding after the last row may be
            missing.
        encoding: one of :data:`ENCODINGS`. ``8UC3`` is taken as ``bgr8``, as
            cv_bridge and OpenCV do.
        height: rows.
        width: columns.
        step: bytes from one row to the next, padding included; for ``nv12``,
            ``nv21`` and ``nv24`` from one luma row to the next.
        is_bigendian: byte order of samples of more than 8 bits.

    Returns:
        The image and its encoding, one of :data:`CANONICAL`: colour formats with
        alpha, 16 bits, YUV and Bayer become ``bgr8`` (alpha is left out; of 16 bits the
        high byte is taken); ``32FC1`` and ``64FC1`` are taken as temperatures and
        become ``mono16`` counts of 0.01 K, ``16SC1`` becomes ``mono16`` raised by
        32768 (see :mod:`windhover.imaging.conversions`); ``bgr8``, ``rgb8``, ``mono8``,
        ``8UC4`` and native-endian ``mono16`` are views of ``data``, not copies
        (read-only where ``data`` is, with row strides of ``step``).

    Raises:
        EncodingError: the encoding is unknown or the buffer does not fit its
            geometry.
    """
    layout = _LAYOUTS.get(encoding)
    if layout is None:
        raise EncodingError(
            f"unknown image encoding {encoding!r}: use one of {', '.join(ENCODINGS)}"
        )
    _check_geometry(encoding, layout, height, width, step)
    rows = height + int(height * layout.chroma_rows)
    raw = _as_bytes(data, encoding)
    expected = (rows - 1) * step + width * layout.pixel_bytes
    if len(raw) < expected:
        raise EncodingError(
            f"{encoding} image {width}x{height} with step {step}: "
            f"expected {expected} bytes, got {len(raw)}"
        )
    # A single row's step may be anything, also more than an array's stride can be.
    view = _view(raw, layout, rows, width, min(step, len(raw)), bool(is_bigendian))
    image = layout.convert(view, height, width) if layout.convert else view
    return image, layout.canonical


def nv12_view(data: object, height: int, width: int, step: int) -> NDArray[np.uint8]:
    """NV12 as one picture, unconverted.

    Args:
        data: contiguous bytes, as for :func:`decode_image`.
        height: rows of luma.
        width: columns.
        step: bytes from one row to the next, of luma and of chroma.

    Returns:
        ``(1.5 H, W)`` uint8: luma, then chroma. A view of ``data``; of odd sides, whose last
        row or column has chroma that is shared with nothing, a copy without them.

    Raises:
        EncodingError: the buffer does not fit its geometry.
    """
    rows = (height + 1) // 2 * 3
    _check_geometry("nv12", _Layout("nv12"), height, width, step)
    if min(height, width) < 2:
        raise EncodingError(f"nv12 image of {width}x{height} pixels: sides must be 2 or more")
    raw = _as_bytes(data, "nv12")
    expected = (rows - 1) * step + width
    if len(raw) < expected:
        raise EncodingError(
            f"nv12 image {width}x{height} with step {step}: "
            f"expected {expected} bytes, got {len(raw)}"
        )
    even_height, even_width = height // 2 * 2, width // 2 * 2
    view = _u8(_view(raw, _Layout("nv12"), rows, even_width, step, False))
    if even_height == height:
        return view
    return np.concatenate((view[:even_height], view[height + 1 : -1]))


def to_bgr(image: Image, encoding: str) -> NDArray[np.uint8]:
    """Give any canonical image three channels.

    Args:
        image: ``(H, W)`` or ``(H, W, C)`` as ``encoding`` has it.
        encoding: one of :data:`CANONICAL`. ``mono16`` is tone-mapped, ``8UC4``
            loses its thermal channel.

    Returns:
        ``(H, W, 3)`` uint8 B, G, R; ``image`` itself where it is ``bgr8``.

    Raises:
        EncodingError: another encoding, or a shape or dtype that is not its own.
    """
    _check_canonical(image, encoding)
    if encoding == "bgr8":
        return image.view(np.uint8)
    if encoding == "rgb8":
        return _u8(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    if encoding == "8UC4":
        return _u8(cv2.cvtColor(image, cv2.COLOR_BGRA2BGR))
    return _u8(cv2.cvtColor(to_gray8(image, encoding), cv2.COLOR_GRAY2BGR))


def to_gray8(image: Image, encoding: str, tone_map: ToneMap = percentile_agc) -> NDArray[np.uint8]:
    """Give any canonical image one 8-bit channel.

    Args:
        image: ``(H, W)`` or ``(H, W, C)`` as ``encoding`` has it.
        encoding: one of :data:`CANONICAL`. ``mono16`` is tone-mapped; colour becomes
            luminance, also of ``8UC4`` (``to_channels(..., "thermal")`` gives its
            thermal channel).
        tone_map: for ``mono16``; :meth:`windhover.imaging.agc.ToneMapper.apply` for
            another curve than the default.

    Returns:
        ``(H, W)`` uint8; a view of ``image`` where it is ``mono8``.

    Raises:
        EncodingError: another encoding, or a shape or dtype that is not its own.
    """
    _check_canonical(image, encoding)
    if encoding == "mono8":
        return image.view(np.uint8).reshape(image.shape[:2])
    if encoding == "mono16":
        return tone_map(image.view(np.uint16).reshape(image.shape[:2]))
    if encoding == "rgb8":
        return _u8(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    code = cv2.COLOR_BGR2GRAY if encoding == "bgr8" else cv2.COLOR_BGRA2GRAY
    return _u8(cv2.cvtColor(image, code))


def to_channels(
    image: Image, encoding: str, channels: Modality, tone_map: ToneMap = percentile_agc
) -> NDArray[np.uint8]:
    """Give a model the channels that its bundle asks for.

    Args:
        image: ``(H, W)`` or ``(H, W, C)`` as ``encoding`` has it.
        encoding: one of :data:`CANONICAL`.
        channels: ``rgb``, ``thermal`` or ``rgbt`` of the bundle.
        tone_map: for ``mono16``, as for :func:`to_gray8`.

    Returns:
        uint8: ``(H, W, 3)`` B, G, R for ``rgb``; ``(H, W)`` for ``thermal``;
        ``(H, W, 4)`` B, G, R, T for ``rgbt``. A view where nothing changes.

    Raises:
        EncodingError: the image has no such channels, or does not match
            its encoding.
    """
    if channels == "rgb":
        return to_bgr(image, encoding)
    if channels == "thermal":
        if encoding == "8UC4":
            _check_canonical(image, encoding)
            return np.ascontiguousarray(image.view(np.uint8)[..., 3])
        return to_gray8(image, encoding, tone_map)
    if channels == "rgbt":
        if encoding != "8UC4":
            raise EncodingError(
                f"a model for rgbt takes 8UC4 (B, G, R, T), not {encoding}: "
                "feed it the paired rgbt/image"
            )
        _check_canonical(image, encoding)
        return image.view(np.uint8)
    raise EncodingError(f"unknown channels {channels!r}: use rgb, thermal or rgbt")


def _check_geometry(encoding: str, layout: _Layout, height: int, width: int, step: int) -> None:
    if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise EncodingError(
            f"{encoding} image of {width}x{height} pixels: sides must be 1 to {MAX_SIDE}"
        )
    if (layout.even[0] and height % 2) or (layout.even[1] and width % 2):
        which = "width and height" if layout.even[0] else "width"
        raise EncodingError(f"{encoding} image of {width}x{height} pixels: {which} must be even")
    row = width * layout.pixel_bytes
    if step < row:
        raise EncodingError(
            f"{encoding} image {width} pixels wide needs a step of at least {row} bytes, got {step}"
        )


def _as_bytes(data: object, encoding: str) -> memoryview:
    try:
        return memoryview(data).cast("B")  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise EncodingError(
            f"{encoding} image data is a {type(data).__name__}, not a contiguous buffer of bytes"
        ) from error


def _view(
    data: memoryview, layout: _Layout, rows: int, width: int, step: int, is_bigendian: bool
) -> NDArray[Any]:
    """The buffer as rows of pixels, without a copy where byte order and alignment allow."""
    stored = np.dtype(layout.dtype).newbyteorder(">" if is_bigendian else "<")
    shape: tuple[int, ...] = (rows, width)
    strides: tuple[int, ...] = (step, layout.pixel_bytes)
    if layout.channels > 1:
        shape, strides = (*shape, layout.channels), (*strides, stored.itemsize)
    view: NDArray[Any] = np.ndarray(shape, stored, buffer=data, strides=strides)
    native = view.astype(layout.dtype, copy=False)
    # An odd step or an odd offset in a message: OpenCV can't read that.
    return native if native.flags.aligned else native.copy()


def _check_canonical(image: Image, encoding: str) -> None:
    if encoding not in CANONICAL:
        raise EncodingError(f"a frame can't be {encoding!r}: use one of {', '.join(CANONICAL)}")
    layout = _LAYOUTS[encoding]
    dtype = np.dtype(layout.dtype)
    channels = 1 if image.ndim == 2 else image.shape[-1]
    if image.dtype != dtype or image.ndim not in (2, 3) or channels != layout.channels:
        raise EncodingError(
            f"a {encoding} frame is {dtype} with {layout.channels} channel(s), "
            f"got {image.dtype} of shape {image.shape}"
        )


def _u8(image: Any) -> NDArray[np.uint8]:
    return np.asarray(image, np.uint8)
