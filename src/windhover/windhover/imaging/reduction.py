"""A camera's full-resolution frame, reduced to what the first look of a detector takes.

At 3840x2160 a frame has nine times the pixels of one at 1280x720. The detector's network,
overlay and recording take the reduced one; the full one stays as the camera gave it, and only
chips of it are ever converted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import EncodingError
from windhover.imaging.formats import to_bgr
from windhover.types import Frame, FullFrame

Pixels = NDArray[np.uint8]

#: Encodings of frames that are reduced; all else goes on as it is.
REDUCED = ("nv12", "bgr8", "rgb8")


class FrameReducer:
    """Reduces the frames of one camera; one thread calls it.

    Args:
        width: columns of the result, at least 2; an odd number is rounded down. A frame of no
            more columns keeps its size, and has no full frame.
    """

    def __init__(self, width: int) -> None:
        self._width = width
        # Fresh memory for each frame's steps would cost as much as the steps.
        self._scratch: dict[tuple[int, ...], Pixels] = {}

    def reduce(self, frame: Frame) -> Frame:
        """The frame as a detector takes it, with the full one attached and not copied.

        Args:
            frame: of :data:`REDUCED`, or of another encoding, which is returned as it is.

        Returns:
            ``bgr8`` in the same aspect ratio (rows to the nearest even number), and the
            frame's image as ``full``.

        Raises:
            EncodingError: the image is not what its encoding says.
        """
        if frame.encoding not in REDUCED:
            return frame
        full = FullFrame(np.asarray(frame.image, np.uint8), frame.encoding)
        size = reduced_size((full.width, full.height), self._width)
        wide = size[0] < full.width
        if frame.encoding == "nv12":
            luma, chroma = nv12_planes(full.image)
            if wide:
                luma = self._resized(luma, size)
                chroma = self._resized_chroma(chroma, (size[0] // 2, size[1] // 2))
            image = cv2.cvtColorTwoPlane(luma, chroma, cv2.COLOR_YUV2BGR_NV12)
        elif wide:
            image = to_bgr(self._resized(full.image, size).copy(), frame.encoding)
        else:
            return frame
        return replace(
            frame, image=np.asarray(image, np.uint8), encoding="bgr8", full=full if wide else None
        )

    def _resized(self, plane: Pixels, size: tuple[int, int]) -> Pixels:
        """Averaged by twos while possible, then interpolated.

        OpenCV's area resize by other factors takes ten times as long.
        """
        while plane.shape[1] >= 2 * size[0] and plane.shape[0] >= 2 * size[1]:
            # A last odd column or row would shift the picture.
            if plane.shape[0] % 2 or plane.shape[1] % 2:
                return self._resize(plane, size, cv2.INTER_AREA)
            plane = self._resize(plane, (plane.shape[1] // 2, plane.shape[0] // 2), cv2.INTER_AREA)
        return self._resize(plane, size, cv2.INTER_LINEAR)

    def _resized_chroma(self, chroma: Pixels, size: tuple[int, int]) -> Pixels:
        """The same for two channels, which OpenCV averages by twos only slowly.

        Samples are averaged as pairs of neighbours: 0 with 2, 1 with 3. That moves chroma by
        half a sample of the full picture: at a third of the size, a third of a pixel.
        """
        rows, columns = chroma.shape[:2]
        if columns >= 2 * size[0] and rows >= 2 * size[1] and not (columns % 4 or rows % 2):
            pairs = chroma.reshape(rows, columns // 2, 4)
            halved = self._resize(pairs, (columns // 4, rows // 2), cv2.INTER_AREA)
            chroma = halved.reshape(rows // 2, columns // 2, 2)
        return self._resize(chroma, size, cv2.INTER_LINEAR)

    def _resize(self, plane: Pixels, size: tuple[int, int], how: int) -> Pixels:
        shape = (size[1], size[0], *plane.shape[2:])
        if shape == plane.shape:
            return plane
        out = self._scratch.get(shape)
        if out is None:
            out = self._scratch[shape] = np.empty(shape, np.uint8)
        return np.asarray(cv2.resize(plane, size, out, interpolation=how), np.uint8)


def reduced_size(size: tuple[int, int], width: int) -> tuple[int, int]:
    """``(width, height)`` of what :class:`FrameReducer` makes of a frame.

    Args:
        size: ``(width, height)`` of the frame.
        width: as :class:`FrameReducer` takes it.
    """
    columns = max(width // 2 * 2, 2)
    if size[0] <= columns:
        return size
    return columns, max(2 * round(size[1] * columns / size[0] / 2), 2)


def nv12_planes(image: NDArray[Any]) -> tuple[Pixels, Pixels]:
    """The two planes of an NV12 picture, as views.

    Args:
        image: ``(1.5 H, W)`` uint8 of even ``H`` and ``W``.

    Returns:
        Luma ``(H, W)`` and chroma ``(H / 2, W / 2, 2)``.

    Raises:
        EncodingError: another shape or type.
    """
    whole = image.dtype == np.uint8 and image.ndim == 2 and image.size > 0
    if not whole or image.shape[0] % 3 or image.shape[1] % 2:
        raise EncodingError(f"an nv12 frame of {image.dtype} {image.shape} is damaged")
    height, width = image.shape[0] * 2 // 3, image.shape[1]
    return image[:height], image[height:].reshape(height // 2, width // 2, 2)


def flipped_full(full: FullFrame, code: int) -> FullFrame:
    """A full frame mirrored as ``cv2.flip`` mirrors by ``code``; this copies it."""
    if full.encoding != "nv12":
        return FullFrame(np.asarray(cv2.flip(full.image, code), np.uint8), full.encoding)
    out = np.empty(full.image.shape, np.uint8)
    for plane, target in zip(nv12_planes(full.image), nv12_planes(out), strict=True):
        cv2.flip(plane, code, target)
    return FullFrame(out, "nv12")
