"""Makes frames of what people have at hand: an image file, an array, or one camera's picture.

A frame of a camera goes to the detector as it is, and one of the wrong kind is refused there:
in flight that is a fault. A picture on a desk need not be: a model of both cameras is given
a blank in place of the camera that took none.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from windhover.errors import ConfigError, EncodingError
from windhover.imaging.agc import ToneMapper
from windhover.imaging.formats import Modality, to_bgr, to_gray8
from windhover.model.bundle import Bundle
from windhover.pairing.registration import merge_rgbt
from windhover.sources.files import read_image
from windhover.types import Frame

_log = logging.getLogger(__name__)

#: A frame, the path of an image file, or an array as OpenCV reads it.
Picture = Frame | str | os.PathLike[str] | NDArray[Any]

_ENCODINGS = {
    ("uint8", 1): "mono8",
    ("uint16", 1): "mono16",
    ("uint8", 3): "bgr8",
    ("uint8", 4): "8UC4",
}


def to_frame(picture: Picture, channels: Modality, encoding: str | None = None) -> Frame:
    """Read a picture.

    Args:
        picture: a frame is returned as it is. An array is ``(H, W)`` uint8 or uint16 (raw
            counts), ``(H, W, 3)`` uint8 B, G, R, or ``(H, W, 4)`` uint8 with thermal or
            alpha as its last channel.
        channels: of the model that it is for: which part of an image file is wanted.
        encoding: of an array, where it is not the one above, such as ``rgb8``.

    Raises:
        SourceError: the file can't be read.
        EncodingError: the array is of no such kind.
        ConfigError: an encoding is given for a frame or a file.
    """
    if isinstance(picture, np.ndarray):
        return Frame(picture, encoding or _encoding_of(picture), stamp_ns=0, frame_id="array")
    if encoding is not None:
        raise ConfigError(f"encoding {encoding!r}: is for arrays; a frame or a file has its own")
    if isinstance(picture, Frame):
        return picture
    path = Path(picture)
    image, encoding = read_image(
        path,
        "thermal" if channels == "rgbt" else "alpha",
        camera=None if channels == "rgbt" else channels,
        on_warning=_log.warning,
    )
    return Frame(image, encoding, stamp_ns=0, frame_id=path.name)


class ModelInput:
    """Makes pictures of one camera what a model of both takes.

    Args:
        bundle: of the model.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._both = bundle.modality == "rgbt"
        self._tone = ToneMapper(bundle.tone)

    def of(self, frame: Frame) -> Frame:
        """The frame itself, or with a blank in place of the other camera's part.

        Raises:
            EncodingError: the frame has no known encoding.
        """
        if not self._both or frame.encoding == "8UC4":
            return frame
        if frame.encoding in {"mono8", "mono16"}:
            grey = to_gray8(frame.image, frame.encoding, self._tone.apply)
            image = merge_rgbt(np.zeros((*grey.shape, 3), np.uint8), grey)
        else:
            image = merge_rgbt(to_bgr(frame.image, frame.encoding), None)
        return Frame(image, "8UC4", frame.stamp_ns, frame.frame_id, frame.index)


def _encoding_of(image: NDArray[Any]) -> str:
    channels = 1 if image.ndim == 2 else image.shape[-1] if image.ndim == 3 else 0
    encoding = _ENCODINGS.get((image.dtype.name, channels))
    if encoding is None:
        raise EncodingError(
            f"an array of {image.dtype.name} and shape {image.shape} is no picture: give uint8 of "
            "(H, W), (H, W, 3) B, G, R or (H, W, 4), or uint16 counts of (H, W)"
        )
    return encoding
