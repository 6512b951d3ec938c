"""Frames from a V4L2 camera, through linuxpy.

linuxpy gives what OpenCV hides: the driver's own capture stamps and sequence numbers,
the formats that a device offers, and its controls. It is GPL-3.0-or-later and therefore
an extra (``v4l2``), imported only where a ``v4l2:`` camera is opened; a
``gst:v4l2src`` pipeline gives the same frames without it.
"""

from __future__ import annotations

import contextlib
import errno
import select
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from windhover.errors import EncodingError, SourceError
from windhover.imaging.formats import decode_image, nv12_view
from windhover.sources.clock import read_clocks
from windhover.sources.live import CapturedFrame, LiveSource
from windhover.sources.options import SourceOptions
from windhover.sources.palette import ThermalConverter
from windhover.types import Image

if TYPE_CHECKING:
    from linuxpy.video.device import Device, VideoCapture


@dataclass(frozen=True, slots=True)
class _Format:
    """A pixel format that a device may give.

    Attributes:
        fourcc: V4L2's name for it.
        encoding: of ``decode_image``; empty for JPEG.
    """

    fourcc: str
    encoding: str


PIXEL_FORMATS = {
    "mjpeg": _Format("MJPG", ""),
    "yuyv": _Format("YUYV", "yuyv"),
    "uyvy": _Format("UYVY", "uyvy"),
    "nv12": _Format("NV12", "nv12"),
    "bgr": _Format("BGR3", "bgr8"),
    "rgb": _Format("RGB3", "rgb8"),
    "gray": _Format("GREY", "mono8"),
    "y16": _Format("Y16 ", "mono16"),
}
"""Names that ``format=`` takes."""

# Preference where no format is asked for: counts of a thermal camera; for colour, the
# formats that a camera gives at full rate over USB.
_THERMAL_FIRST = ("y16", "gray", "nv12", "yuyv", "uyvy", "mjpeg")
_COLOUR_FIRST = ("nv12", "mjpeg", "yuyv", "uyvy", "bgr", "rgb", "gray", "y16")

_BUFFERS = 4
_POLL_S = 0.2
_EXPOSURE_UNIT_US = 100
_MANUAL_EXPOSURE, _AUTOMATIC_EXPOSURES = 1, (3, 0)


class V4l2Camera(LiveSource):
    """A camera device. Stamps are the driver's own, mapped to the wall clock."""

    def __init__(
        self, device: Device, capture: VideoCapture, chosen: str, name: str, options: SourceOptions
    ) -> None:
        """Take over an open device that is set up.

        Args:
            device: open.
            capture: with its buffers mapped, not streaming.
            chosen: key of :data:`PIXEL_FORMATS`.
            name: the URI, for messages.
            options: ``frame_id``, ``as_gray``, ``palette``, ``on_skip`` and
                ``timeout_s`` are read.
        """
        super().__init__(name, options)
        self._converter = ThermalConverter(options.palette, options.on_warning)
        self._device = device
        self._video = capture
        self._encoding = PIXEL_FORMATS[chosen].encoding
        self._format = capture.get_format()
        self._rate_hz = _rate_of(capture) or self._rate_hz

    def _capture(self) -> Iterator[CapturedFrame | SourceError]:
        try:
            self._video.open()
            while not self._stop.is_set():
                # Readable also when the device is gone: the read then fails.
                if not select.select([self._device.fileno()], [], [], _POLL_S)[0]:
                    continue
                received = read_clocks()
                try:
                    frame = self._video.buffer.raw_read()
                except BlockingIOError:
                    continue
                yield self._captured(frame, received)
        except OSError as error:
            raise SourceError(
                f"{self._name}: camera went away ({error.strerror or error}), "
                "check its cable and power"
            ) from error
        finally:
            _close(self._device, self._video)

    def _captured(self, frame: Any, received: Any) -> CapturedFrame | SourceError:
        from linuxpy.video.device import BufferFlag

        flags = int(frame.buff.flags)
        try:
            if flags & BufferFlag.ERROR:
                raise EncodingError("the driver marks it as broken")
            image, encoding = self._decode(frame.data)
        except EncodingError as error:
            # One broken frame on a noisy bus is no reason to stop.
            return SourceError(f"{self._name}: damaged frame ({error})")
        taken = frame.buff.timestamp
        device_ns = (taken.secs * 1_000_000 + taken.usecs) * 1000
        monotonic = flags & BufferFlag.TIMESTAMP_MASK == BufferFlag.TIMESTAMP_MONOTONIC
        return CapturedFrame(
            image, encoding, received, device_ns or None, monotonic, int(frame.buff.sequence)
        )

    def _decode(self, data: bytes) -> tuple[Image, str]:
        thermal = self._options.thermal
        if self._encoding:
            layout = self._format
            step = layout.bytes_per_line or len(data) // layout.height
            if self._encoding == "nv12" and self._options.keep_nv12 and not thermal:
                return nv12_view(data, layout.height, layout.width, step), "nv12"
            image, encoding = decode_image(data, self._encoding, layout.height, layout.width, step)
        else:
            if thermal and not self._converter.checked:
                self._converter.check(*self._decode_jpeg(data, gray=False), self._name)
            image, encoding = self._decode_jpeg(data, gray=thermal)
        return (
            self._converter.convert(image, encoding, self._name) if thermal else (image, encoding)
        )

    def _decode_jpeg(self, data: bytes, *, gray: bool) -> tuple[Image, str]:
        flag = cv2.IMREAD_GRAYSCALE if gray else cv2.IMREAD_COLOR
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag) if data else None
        if image is None:
            raise EncodingError(f"{len(data)} bytes that are no JPEG")
        return np.asarray(image, np.uint8), "mono8" if gray else "bgr8"

    def _release(self) -> None:
        # The thread closes the device when it stops; here only if it never ran.
        if self._thread is None:
            _close(self._device, self._video)


def open_v4l2(device: str, name: str, options: SourceOptions) -> V4l2Camera:
    """Open a camera device and set it up.

    Args:
        device: ``/dev/video0`` or a stable name under ``/dev/v4l/by-id``.
        name: the URI, for messages.
        options: ``size``, ``rate_hz``, ``pixel_format``, ``exposure_us`` and ``gain``
            are asked of the camera; ``y16`` keeps thermal counts; ``keep_nv12`` and
            ``nearest_size`` as in :class:`~windhover.sources.options.SourceOptions`.

    Returns:
        The camera, not yet streaming.

    Raises:
        SourceError: linuxpy is not installed, no such device, no permission, busy, or
            it does not offer what was asked for.
    """
    wanted = options.pixel_format.lower() if options.pixel_format else None
    if wanted is not None and wanted not in PIXEL_FORMATS:
        raise SourceError(
            f"{name}: unknown pixel format {options.pixel_format!r}, "
            f"use one of {', '.join(PIXEL_FORMATS)}"
        )
    if not Path(device).exists():
        raise SourceError(f"no camera at {device}: check the cable, `v4l2-ctl --list-devices`")
    try:
        from linuxpy.video.device import Device, V4L2Error, VideoCapture
    except ImportError:
        raise SourceError(
            f"{name}: linuxpy is not installed: 'pip install linuxpy', "
            f"or use 'gst:v4l2src device={device}'"
        ) from None
    camera = Device(device)
    capture = VideoCapture(camera, size=_BUFFERS)
    try:
        camera.open()
        chosen = _choose(camera, device, wanted, options.thermal)
        _set_up(camera, capture, device, chosen, options)
        capture.arm()
    except (OSError, V4L2Error, KeyError) as error:
        _close(camera, capture)
        raise SourceError(f"cannot open camera {device}: {_reason(error)}") from error
    except SourceError:
        _close(camera, capture)
        raise
    return V4l2Camera(camera, capture, chosen, name, options)


def _choose(camera: Device, device: str, wanted: str | None, gray: bool) -> str:
    """The key of the format: the one asked for, or the best that is offered."""
    from linuxpy.video.device import BufferType, Capability

    if Capability.VIDEO_CAPTURE_MPLANE in camera.info.device_capabilities:
        raise SourceError(
            f"{device} uses the multi-planar API, as image processors do: "
            f"use 'gst:v4l2src device={device}'"
        )
    offered = [
        fmt.pixel_format.human_str() for fmt in camera.info.buffer_formats(BufferType.VIDEO_CAPTURE)
    ]
    if not offered:
        raise SourceError(f"{device} is no capture device: name another /dev/video*")
    order = (wanted,) if wanted else _THERMAL_FIRST if gray else _COLOUR_FIRST
    for key in order:
        if PIXEL_FORMATS[key].fourcc in offered:
            return key
    known = {spec.fourcc: key for key, spec in PIXEL_FORMATS.items()}
    shown = ", ".join(known.get(fourcc, fourcc.strip()) for fourcc in offered)
    raise SourceError(
        f"camera {device} does not offer pixel format {wanted or 'that is supported here'}: "
        f"it has {shown}"
    )


def _set_up(
    camera: Device, capture: VideoCapture, device: str, chosen: str, options: SourceOptions
) -> None:
    fourcc = PIXEL_FORMATS[chosen].fourcc
    now = capture.get_format()
    width, height = options.size or (now.width, now.height)
    capture.set_format(width, height, fourcc)
    got = capture.get_format()
    if got.pixel_format.human_str() != fourcc:
        given = got.pixel_format.human_str()
        raise SourceError(f"camera {device} was asked for {chosen} and gives {given}")
    if options.size and (got.width, got.height) != options.size:
        problem = (
            f"camera {device} does not give {width}x{height} in {chosen}: "
            f"{_sizes(camera, got) or f'it chose {got.width}x{got.height}'}"
        )
        if not options.nearest_size:
            raise SourceError(problem)
        if options.on_warning is not None:
            options.on_warning(f"{problem}; {got.width}x{got.height} is used")
    if options.rate_hz:
        # Many thermal cores have a single rate; the actual one is read back later.
        with contextlib.suppress(OSError):
            capture.set_fps(options.rate_hz)
    _set_controls(camera, device, options)


def _sizes(camera: Device, got: Any) -> str:
    from linuxpy.video.device import FrameSizeType

    sizes = [
        f"{size.info.width}x{size.info.height}"
        for size in camera.info.format_frame_sizes(got.pixel_format)
        if size.type == FrameSizeType.DISCRETE
    ]
    return f"it has {', '.join(dict.fromkeys(sizes))}" if sizes else ""


def _set_controls(camera: Device, device: str, options: SourceOptions) -> None:
    from linuxpy.video.device import ControlID

    if options.exposure_us is None and options.gain is None:
        return
    # linuxpy reads the device's controls when they are listed, not before.
    controls = dict(camera.controls.items())

    def put(control_id: int, what: str, *values: int) -> None:
        control = controls.get(control_id)
        if control is None:
            raise SourceError(f"camera {device} has no control for {what}: leave it unset")
        _put(control, f"camera {device}: {what}", values)

    if options.exposure_us is not None:
        if options.exposure_us > 0:
            put(ControlID.EXPOSURE_AUTO, "exposure mode", _MANUAL_EXPOSURE)
            units = max(1, round(options.exposure_us / _EXPOSURE_UNIT_US))
            put(ControlID.EXPOSURE_ABSOLUTE, "exposure in units of 100 us", units)
        else:
            put(ControlID.EXPOSURE_AUTO, "exposure mode", *_AUTOMATIC_EXPOSURES)
    if options.gain is not None:
        if ControlID.AUTOGAIN in controls:
            put(ControlID.AUTOGAIN, "automatic gain", 0)
        put(ControlID.GAIN, "gain", round(options.gain))


def _put(control: Any, what: str, values: tuple[int, ...]) -> None:
    """Set a control to the first of ``values`` that it accepts."""
    refusal: object = ""
    for value in values:
        if not control.minimum <= value <= control.maximum:
            raise SourceError(f"{what} {value} is outside {control.minimum} to {control.maximum}")
        try:
            control.value = value
        except (OSError, AttributeError) as error:
            refusal = error
        else:
            return
    raise SourceError(f"{what} {values[-1]} is not accepted: {refusal}")


def _rate_of(capture: VideoCapture) -> float:
    try:
        return float(capture.get_fps())
    except (OSError, ZeroDivisionError):
        return 0.0


def _close(camera: Device, capture: VideoCapture) -> None:
    for close in (capture.close, camera.close):
        # It may be gone already.
        with contextlib.suppress(OSError, ValueError):
            close()


def _reason(error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number == errno.EBUSY:
        return "another process uses it, stop that first"
    if number in {errno.EACCES, errno.EPERM}:
        return "no permission, add this user to the group video"
    if number in {errno.ENOTTY, errno.EINVAL, errno.ENODEV, errno.ENXIO}:
        return f"not a camera ({error})"
    return " ".join(str(error).split())
