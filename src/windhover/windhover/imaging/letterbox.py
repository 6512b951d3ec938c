"""The one letterbox: source image to model input, and boxes both ways.

Aspect ratio kept, centred, the border filled with 114, bilinear. Pixels are the
same as those of Ultralytics' ``LetterBox(auto=False, scaleup=True, center=True)``
(ultralytics/data/augment.py, 8.4), which is what the models are trained with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import EncodingError
from windhover.types import Image

FILL = 114
"""Grey value of the border, as in training."""


@dataclass(frozen=True, slots=True)
class Letterbox:
    """Where an image of one size is placed in a model input of another.

    Boxes are in pixels with the origin at the outer corner of the top-left
    pixel, in both the source and the input. Their mapping follows the pixels
    as they were really resized: the resized size is an integer, so the two
    axes' factors may differ from ``scale`` by less than one input pixel over the
    full image.

    Attributes:
        source_hw: rows and columns of the source image.
        input_hw: rows and columns of the model input.
        scale: nominal source-to-input factor, the smaller of both axes' ratios.
        resized_hw: rows and columns of the source image inside the input.
        pad_x: columns of border at the left.
        pad_y: rows of border at the top.
    """

    source_hw: tuple[int, int]
    input_hw: tuple[int, int]
    scale: float = field(init=False)
    resized_hw: tuple[int, int] = field(init=False)
    pad_x: int = field(init=False)
    pad_y: int = field(init=False)

    def __post_init__(self) -> None:
        """Work out the geometry.

        Raises:
            EncodingError: a side is zero or negative.
        """
        (height, width), (in_h, in_w) = self.source_hw, self.input_hw
        if min(height, width, in_h, in_w) < 1:
            raise EncodingError(
                f"cannot letterbox {width}x{height} into {in_w}x{in_h}: "
                "every side must be at least 1 pixel"
            )
        scale = min(in_h / height, in_w / width)
        # At least one pixel: a line image would otherwise vanish.
        resized = (max(1, round(height * scale)), max(1, round(width * scale)))
        # The 0.1 is Ultralytics' way to put the odd row or column of border last.
        object.__setattr__(self, "scale", scale)
        object.__setattr__(self, "resized_hw", resized)
        object.__setattr__(self, "pad_x", max(0, round((in_w - resized[1]) / 2 - 0.1)))
        object.__setattr__(self, "pad_y", max(0, round((in_h - resized[0]) / 2 - 0.1)))

    @property
    def is_identity(self) -> bool:
        """True where source and input have the same size: nothing to do."""
        return self.source_hw == self.input_hw

    def apply(self, image: Image, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Resize and pad one image.

        Args:
            image: ``(H, W)`` or ``(H, W, C)`` uint8 of ``source_hw``.
            out: buffer ``input_hw`` (plus ``C`` where the image has it) uint8 to
                write into, so that a stream of frames allocates nothing.

        Returns:
            ``out``, or without it a new array of that shape; ``image`` itself,
            not copied, where the sizes are the same and no ``out`` is given.

        Raises:
            EncodingError: wrong dtype or size of ``image`` or ``out``.
        """
        self._check(image, "image", self.source_hw)
        source = image.view(np.uint8)
        shape = self.input_hw + source.shape[2:]
        if out is None:
            if self.is_identity:
                return source
            out = np.empty(shape, np.uint8)
        else:
            self._check(out, "out", self.input_hw)
            if out.shape != shape:
                raise EncodingError(f"letterbox buffer is {out.shape}, the image needs {shape}")
        self._fill_border(out)
        inside = out[
            self.pad_y : self.pad_y + self.resized_hw[0],
            self.pad_x : self.pad_x + self.resized_hw[1],
        ]
        if self.resized_hw == self.source_hw:
            np.copyto(inside, source)
        else:
            _resize_into(source, inside)
        return out

    def to_input(self, boxes: NDArray[Any]) -> NDArray[Any]:
        """Map boxes from source to input pixels.

        Args:
            boxes: ``(N, 4)`` floating, ``x1, y1, x2, y2``.

        Returns:
            The same shape and dtype; nothing is rounded or clipped.
        """
        scales, pads = self._affine(boxes.dtype)
        mapped: NDArray[Any] = boxes * scales + pads
        return mapped

    def to_source(self, boxes: NDArray[Any]) -> NDArray[Any]:
        """Map boxes from input to source pixels, the inverse of :meth:`to_input`.

        Args:
            boxes: ``(N, 4)`` floating, ``x1, y1, x2, y2``.

        Returns:
            The same shape and dtype; nothing is rounded or clipped.
        """
        scales, pads = self._affine(boxes.dtype)
        mapped: NDArray[Any] = (boxes - pads) / scales
        return mapped

    def _affine(self, dtype: np.dtype[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        scale_x = self.resized_hw[1] / self.source_hw[1]
        scale_y = self.resized_hw[0] / self.source_hw[0]
        kind = dtype if dtype.kind == "f" else np.dtype(np.float64)
        scales = np.array([scale_x, scale_y, scale_x, scale_y], kind)
        pads = np.array([self.pad_x, self.pad_y, self.pad_x, self.pad_y], kind)
        return scales, pads

    def _fill_border(self, out: NDArray[np.uint8]) -> None:
        bottom, right = self.pad_y + self.resized_hw[0], self.pad_x + self.resized_hw[1]
        out[: self.pad_y] = FILL
        out[bottom:] = FILL
        out[self.pad_y : bottom, : self.pad_x] = FILL
        out[self.pad_y : bottom, right:] = FILL

    @staticmethod
    def _check(array: NDArray[Any], what: str, hw: tuple[int, int]) -> None:
        if array.dtype != np.uint8:
            raise EncodingError(
                f"letterbox {what} is {array.dtype}, not uint8: tone-map 16-bit thermal first"
            )
        if array.ndim not in (2, 3) or array.shape[:2] != hw:
            raise EncodingError(
                f"letterbox {what} has shape {array.shape}, expected {hw[0]} rows x {hw[1]} columns"
            )


def _resize_into(source: NDArray[np.uint8], inside: NDArray[np.uint8]) -> None:
    """Resize straight into a window of the padded buffer, with no copy between."""
    if source.ndim == 3 and source.shape[2] == 1:
        source, inside = source[..., 0], inside[..., 0]
    size = (inside.shape[1], inside.shape[0])
    written = cv2.resize(source, size, dst=inside, interpolation=cv2.INTER_LINEAR)
    if not np.may_share_memory(written, inside):
        np.copyto(inside, written)
