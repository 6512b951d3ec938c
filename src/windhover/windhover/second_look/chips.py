"""Chips: square patches around people, of one size in metres, cut with sub-pixel accuracy.

Pixels are measured from the outer corner of the top-left pixel, as boxes are everywhere.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import EncodingError
from windhover.geometry import Floats, Lens
from windhover.imaging.reduction import nv12_planes
from windhover.types import BoxArray, FullFrame

Chips = NDArray[np.uint8]

#: Encodings of full frames that chips are cut from, and their channels; 0 is semi-planar.
ENCODINGS = {"bgr8": 3, "rgb8": 3, "8UC4": 4, "nv12": 0}

#: Length of a person's box along its longer side that is assumed where the altitude is not
#: known, metres: the median over rendered scenes seen from 30-50 m, 50 to 90 degrees down.
ASSUMED_PERSON_M = 1.2
#: From so many people on, all in a frame are taken to be seen at one scale.
_ENOUGH_PEOPLE = 3

#: Height above ground of a person's centre, metres.
_CENTRE_M = 0.9

#: A chip that is reduced by more than this is averaged, so that thin objects do not alias.
#: At 3840 columns and 30-50 m the reduction is 1.1 to 1.8, which bilinear taps still cover.
_REDUCE = 2.0

#: Distance from a pixel's edge up to which an edge is on it: what floating point leaves.
_ALIGNED = 1e-6


def check_full_frame(frame: FullFrame) -> None:
    """Refuse a frame that chips cannot be cut from.

    Raises:
        EncodingError: its array is not what its encoding says, or the encoding is another.
    """
    if frame.encoding not in ENCODINGS:
        raise EncodingError(
            f"chips are cut from {', '.join(ENCODINGS)} frames, not {frame.encoding}"
        )
    shape, image = frame.image.shape, frame.image
    planes = ENCODINGS[frame.encoding]
    damaged = image.dtype != np.uint8 or (shape[2:] != (planes,) if planes else len(shape) != 2)
    # Chroma planes of odd pictures have no common layout.
    odd = not planes and not damaged and (shape[0] % 3 or shape[1] % 2)
    if damaged or odd or 0 in shape:
        raise EncodingError(f"a {frame.encoding} frame of {image.dtype} {shape} is damaged")


def chip_spans(
    boxes: BoxArray, lens: Lens, altitude_m: float, down: Floats, span_m: float
) -> Floats:
    """Side of each person's chip in pixels, from altitude and attitude.

    The person's centre is where the ray through the box's centre is ``0.9 m`` above level
    ground.

    Args:
        boxes: ``(N, 4)`` float32, ``x1, y1, x2, y2`` in pixels of ``lens``.
        lens: of the camera, on the grid that ``boxes`` are in.
        altitude_m: of the camera above ground, metres, above 0.
        down: ``(3,)`` unit vector straight down in the camera's optical frame.
        span_m: side of a chip, metres.

    Returns:
        ``(N,)`` float64, pixels; NaN where the ray does not meet the ground.
    """
    centers = (boxes[:, :2] + boxes[:, 2:]).astype(np.float64) / 2 - 0.5
    rays = lens.rays(centers)
    slopes = rays @ down
    # ``rays`` have z = 1: a point at depth z is z times the ray.
    depths = np.full(len(boxes), np.nan)
    np.divide(max(altitude_m - _CENTRE_M, 0.1), slopes, out=depths, where=slopes > 1e-3)
    # The chip faces the person, so its scale is that of the distance, not of the depth.
    distances = depths * np.linalg.norm(rays, axis=1)
    focal = float(np.sqrt(lens.matrix[0, 0] * lens.matrix[1, 1]))
    return np.asarray(span_m * focal / distances, np.float64)


def chip_spans_from_boxes(boxes: BoxArray, span_m: float) -> Floats:
    """Side of each person's chip in pixels where altitude or attitude is not known.

    Where there are several people, the median of their boxes gives the scale for all: one may
    lie, walk or be half hidden.

    Args:
        boxes: ``(N, 4)`` float32, ``x1, y1, x2, y2``.
        span_m: side of a chip, metres.

    Returns:
        ``(N,)`` float64, pixels.
    """
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=0.0).astype(np.float64)
    if len(sides) >= _ENOUGH_PEOPLE:
        sides[:] = np.median(sides)
    return np.asarray(np.maximum(sides, 1.0) * (span_m / ASSUMED_PERSON_M), np.float64)


def whole_pixels(centers: Floats, spans: Floats) -> tuple[Floats, Floats]:
    """The nearest chips whose edges lie between pixels of every plane of a frame.

    They are cut in a third of the time, and boxes found in them are as exact: what moves by at
    most a pixel is the chip.

    Args:
        centers: ``(N, 2)`` of the chips, pixels of the frame.
        spans: ``(N,)`` sides of the chips, likewise.

    Returns:
        The same of the chips to be cut.
    """
    # Even, since chroma has half the pixels.
    sides = np.maximum(2.0 * np.rint(spans / 2), 2.0)
    low = 2.0 * np.rint((centers - sides[:, None] / 2) / 2)
    return low + sides[:, None] / 2, sides


def cut_chips(frame: FullFrame, centers: Floats, spans: Floats, out: Chips) -> None:
    """Cut square chips with sub-pixel accuracy, one warp or resize of each plane.

    What lies outside the frame repeats the frame's border.

    Args:
        frame: to cut from.
        centers: ``(N, 2)`` x, y of the chips' centres, pixels of ``frame``.
        spans: ``(N,)`` sides of the chips, pixels of ``frame``, above 0.
        out: ``(N, S, S, 3)`` uint8, filled with B, G, R.

    Raises:
        EncodingError: the frame is damaged, or of another encoding.
    """
    check_full_frame(frame)
    size = out.shape[1]
    for center, span, chip in zip(centers, spans, out, strict=True):
        fine = 2 * size if span > _REDUCE * size else size
        step = span / fine
        if frame.encoding == "nv12":
            cut = _cut_nv12(frame, center, step, fine)
        else:
            cut = _square(frame.image, center, step, fine)
        if fine != size:
            cut = np.asarray(cv2.resize(cut, (size, size), interpolation=cv2.INTER_AREA), np.uint8)
        # Cheaper on a chip than on what it was cut from.
        chip[...] = cut[..., 2::-1] if frame.encoding == "rgb8" else cut[..., :3]


def chip_to_frame(boxes: BoxArray, centers: Floats, spans: Floats, size: int) -> BoxArray:
    """Boxes found in chips, in pixels of the frame they were cut from.

    Args:
        boxes: ``(N, 4)`` float32, ``x1, y1, x2, y2`` in chip pixels.
        centers: ``(N, 2)`` of each box's chip.
        spans: ``(N,)`` sides of each box's chip, pixels of the frame.
        size: side of a chip, chip pixels.
    """
    sides = spans[:, None]
    offsets = np.tile(centers - sides / 2, (1, 2))
    return np.asarray(boxes * (sides / size) + offsets, np.float32)


def _cut_nv12(frame: FullFrame, center: Floats, step: float, size: int) -> NDArray[np.uint8]:
    """A chip whose planes are cut singly: only what is in the chip is ever converted."""
    luma, chroma = nv12_planes(frame.image)
    planes = (
        _square(luma, center, step, size),
        _square(chroma, center / 2, step, size // 2),
    )
    return np.asarray(cv2.cvtColorTwoPlane(*planes, cv2.COLOR_YUV2BGR_NV12), np.uint8)


def _square(plane: NDArray[np.uint8], center: Floats, step: float, size: int) -> NDArray[np.uint8]:
    """A square of a plane; the border repeats.

    Args:
        plane: ``(H, W)`` or ``(H, W, C)`` uint8.
        center: ``(2,)`` of the square, pixels of the plane.
        step: pixels of the plane to one of the square.
        size: side of the square.
    """
    edges = np.concatenate((center - step * size / 2, center + step * size / 2))
    whole = np.rint(edges).astype(int)
    x, y, right, bottom = whole.tolist()
    inside = x >= 0 and y >= 0 and right <= plane.shape[1] and bottom <= plane.shape[0]
    if inside and right > x and np.abs(edges - whole).max() < _ALIGNED:
        part = plane[y:bottom, x:right]
        return np.asarray(cv2.resize(part, (size, size), interpolation=cv2.INTER_LINEAR), np.uint8)
    # Maps the square's pixels to the plane's; OpenCV counts from pixel centres.
    first = center - step * (size - 1) / 2 - 0.5
    matrix = np.array([[step, 0.0, first[0]], [0.0, step, first[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    square = cv2.warpAffine(plane, matrix, (size, size), None, flags, cv2.BORDER_REPLICATE)
    return np.asarray(square, np.uint8)
