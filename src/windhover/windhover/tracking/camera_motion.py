"""Image motion caused by the camera, by sparse optical flow on a small image.

One corner per cell of a grid, outside the objects' boxes, is tracked from frame to
frame (pyramidal Lucas-Kanade, Bouguet 2001), and a homography is fitted by RANSAC,
where BoT-SORT fits a similarity (Aharon et al., 2022): ground that is seen at an angle
does not move by a similarity. Objects and wrong matches are outliers; inliers are
tracked on, and new corners are detected once too many are lost. Of an image with
thermal beside its colours (``8UC4``) the colours are used, which are sharper, or
thermal where it is too dark for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.imaging.agc import percentile_agc
from windhover.types import Image

Array = NDArray[np.float64]
Gray = NDArray[np.uint8]
# (M, 1, 2) pixel centres, as OpenCV has them.
Corners = NDArray[np.float32]
_NO_CORNERS: Corners = np.empty((0, 1, 2), np.float32)
# The long side of the image that flow is computed on, pixels.
_SIDE = 160
_CELL = 8
_CORNERS = 160
_CORNER_BLOCK = 3
_CORNER_QUALITY = 0.01
# Motion in a box also affects flow's window beside it.
_MARGIN = np.array([-1.0, -1.0, 1.0, 1.0], np.float32)
# Corners are detected again when less than this share of them is left.
_MIN_CORNERS_LEFT = 0.6
_WINDOW = (9, 9)
_PYRAMID_LEVELS = 2
# Instead of the change of a corner's surroundings, which is not used and costs a sixth.
_FLOW_FLAGS = cv2.OPTFLOW_LK_GET_MIN_EIGENVALS
_FLOW_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 6, 0.05)
_INLIER_PX = 0.75
_RANSAC_ROUNDS = 500
_RANSAC_CONFIDENCE = 0.99
_MIN_INLIERS = 10
_MIN_INLIER_SHARE = 0.4
# Below this correlation of two thumbnails they show different scenes.
_CUT_CORRELATION = 0.3
_THUMBNAIL_SIDE = 32
_THUMBNAIL_SHIFT = 6
# Standard deviation of grey levels below which an image is blank.
_MIN_CONTRAST = 6.0
# Mean step of grey from pixel to pixel below which thermal is used instead of colours, and
# above which colours are used again; a few lamps must not hide that the rest is dark.
_DARK_STEP, _LIT_STEP = 0.8, 1.2
_MAX_STEP = 8


def _ransac() -> cv2.UsacParams:
    """RANSAC whose best model is fitted to its inliers at the end: a quarter of USAC_FAST's time.

    USAC_FAST refines every better model on its way, and here nearly all corners are inliers.
    """
    params = cv2.UsacParams()
    params.threshold = _INLIER_PX
    params.maxIterations = _RANSAC_ROUNDS
    params.confidence = _RANSAC_CONFIDENCE
    params.score = cv2.SCORE_METHOD_MSAC
    params.sampler = cv2.SAMPLING_UNIFORM
    params.loMethod = cv2.LOCAL_OPTIM_INNER_LO
    params.loIterations = 4
    params.final_polisher = cv2.LSQ_POLISHER
    params.final_polisher_iterations = 3
    return params


_RANSAC = _ransac()


@dataclass(frozen=True, slots=True)
class ImageMotion:
    """Motion of the background since the last frame.

    Attributes:
        matrix: ``(3, 3)`` homography that takes pixel coordinates of the last frame
            to this one's; ``None`` where it is not known.
        cut: this frame shows another scene than the last one.
    """

    matrix: Array | None = None
    cut: bool = False


class CameraMotion:
    """Measures the background's motion from each frame to the next."""

    def __init__(self) -> None:
        self._last_image: Gray | None = None
        self._size: tuple[int, ...] = ()
        self._by_thermal = False
        # Corners of the last frame, and how many were found when last looked for.
        self._corners: Corners = _NO_CORNERS
        self._found = 0

    def reset(self) -> None:
        """Forget the last frame."""
        self._last_image = None
        self._corners = _NO_CORNERS

    def estimate(
        self, image: Image, boxes: NDArray[np.float32], guess: Array | None = None
    ) -> ImageMotion:
        """Motion of the background since the last frame.

        Args:
            image: ``(H, W)`` or ``(H, W, C)`` with blue, green, red first and then
                thermal; uint8 or uint16.
            boxes: ``(N, 4)`` x1, y1, x2, y2, pixels, of objects, whose motion must
                not count.
            guess: ``(3, 3)`` motion known from attitude: the search starts there, so
                that fast turns are measured.

        Returns:
            No matrix for the first frame, after a change of image size (which is a
            cut) or of the plane that is used, and where the background can't be
            tracked (blank, blurred or an abrupt change; the last is a cut if the two
            images have nothing in common).
        """
        small = self._select_image(image)
        across, down = small.shape[1] / image.shape[1], small.shape[0] / image.shape[0]
        before, corners, alike = self._last_image, self._corners, self._size == image.shape[:2]
        self._last_image, self._corners, self._size = small, _NO_CORNERS, image.shape[:2]
        hidden = boxes * np.array([across, down, across, down], np.float32) + _MARGIN
        # Of a matrix's element i, j: what takes it from the image's pixels to the small one's.
        scale = np.array([across, down, 1.0])
        scale = scale[:, None] / scale
        fit = None
        if before is not None and alike:
            start = None if guess is None else scale * guess
            fit = _fit(before, small, corners, start)
        if fit is not None:
            self._corners = _outside_boxes(fit.corners, hidden)
        if len(self._corners) <= _MIN_CORNERS_LEFT * self._found:
            self._corners = _find_corners(small, hidden)
            self._found = len(self._corners)
        if fit is not None:
            return ImageMotion(fit.matrix / scale)
        if before is None:
            return ImageMotion()
        return ImageMotion(cut=not alike or _is_cut(before, small))

    def _select_image(self, image: Image) -> Gray:
        """The small image to measure on: of the two cameras the one with more contrast."""
        small = _small_gray(image, _gray)
        if image.ndim == 2 or image.shape[2] < 4:
            return small
        step, by_thermal = _mean_step(small), False
        if step < (_LIT_STEP if self._by_thermal else _DARK_STEP):
            warm = _small_gray(image, _thermal)
            by_thermal = _mean_step(warm) > step
            small = warm if by_thermal else small
        if by_thermal != self._by_thermal:
            # Corners of one camera's image can't be tracked in the other's.
            self._by_thermal = by_thermal
            self.reset()
        return small


def _small_gray(image: Image, gray: Callable[[Image], Image]) -> Gray:
    """The image in 8-bit grey with a long side of at most ``_SIDE`` pixels."""
    small = image
    # By halves, which OpenCV does fast, and in grey, because each channel costs time; large
    # images by quarters first, from every other pixel, to read less.
    while (long := max(small.shape[:2])) >= 2 * _SIDE:
        height, width = small.shape[:2]
        if long >= 8 * _SIDE:
            small = _resized(small, width // 4, height // 4, cv2.INTER_LINEAR)
        else:
            small = _resized(gray(small), width // 2, height // 2)
    factor = min(1.0, _SIDE / max(small.shape[:2]))
    size = (max(1, round(side * factor)) for side in small.shape[1::-1])
    small = _resized(gray(small), *size)
    if small.dtype == np.uint16:
        return percentile_agc(small.astype(np.uint16, copy=False))
    return small.astype(np.uint8, copy=False)


def _resized(image: Image, width: int, height: int, how: int = cv2.INTER_AREA) -> Image:
    if image.shape[:2] == (height, width):
        return image
    size = (max(1, width), max(1, height))
    return cast("Image", cv2.resize(image, size, interpolation=how))


def _gray(image: Image) -> Image:
    if image.ndim == 2:
        return image
    code = cv2.COLOR_BGRA2GRAY if image.shape[2] == 4 else cv2.COLOR_BGR2GRAY
    return cast("Image", cv2.cvtColor(image, code))


def _thermal(image: Image) -> Image:
    return image if image.ndim == 2 else cast("Image", cv2.extractChannel(image, 3))


def _mean_step(small: Gray) -> float:
    """Mean change of grey from pixel to pixel."""
    steps = cv2.absdiff(small[:, 1:], small[:, :-1])
    return float(np.minimum(steps, _MAX_STEP).mean())


def _find_corners(small: Gray, boxes: NDArray[np.float32]) -> Corners:
    """The best corner of each cell of a grid, outside the boxes."""
    response = np.asarray(cv2.cornerMinEigenVal(small, _CORNER_BLOCK))
    height, width = small.shape
    limits = np.array([width, height, width, height])
    grown = np.clip(boxes + np.array([0, 0, 1, 1], np.float32), 0, limits).astype(np.intp)
    for x1, y1, x2, y2 in grown.tolist():
        response[y1:y2, x1:x2] = 0.0
    rows, columns = height // _CELL, width // _CELL
    cells = response[: rows * _CELL, : columns * _CELL].reshape(rows, _CELL, columns, _CELL)
    flat = cells.transpose(0, 2, 1, 3).reshape(rows * columns, _CELL * _CELL)
    best = flat.argmax(axis=1)
    strength = flat[np.arange(len(flat)), best]
    if not len(strength) or strength.max() <= 0.0:
        return _NO_CORNERS
    # The strongest first, relative to the median: one glaring corner must not suppress the rest.
    order = np.argsort(-strength, kind="stable")[:_CORNERS]
    order = order[strength[order] > _CORNER_QUALITY * np.median(strength[order])]
    y = order // columns * _CELL + best[order] // _CELL
    x = order % columns * _CELL + best[order] % _CELL
    return np.stack([x, y], axis=1).astype(np.float32)[:, None]


def _outside_boxes(corners: Corners, boxes: NDArray[np.float32]) -> Corners:
    """The corners outside all boxes."""
    x, y = np.ascontiguousarray(corners[:, 0].T)
    x1, y1, x2, y2 = boxes.T[:, :, None]
    hidden = (x > x1) & (x < x2) & (y > y1) & (y < y2)
    left: Corners = corners[~hidden.any(axis=0)]
    return left


@dataclass(frozen=True, slots=True)
class _Fit:
    """Motion from one small image to the next, and the corners in the latter."""

    matrix: Array
    corners: Corners


def _fit(before: Gray, small: Gray, corners: Corners, start: Array | None) -> _Fit | None:
    if len(corners) < _MIN_INLIERS:
        return None
    first, flags = np.empty_like(corners), _FLOW_FLAGS
    if start is not None:
        first = cv2.perspectiveTransform(corners + 0.5, start).astype(np.float32)
        first -= 0.5
        flags |= cv2.OPTFLOW_USE_INITIAL_FLOW
    flow = cv2.calcOpticalFlowPyrLK(
        before,
        small,
        corners,
        first,
        winSize=_WINDOW,
        maxLevel=_PYRAMID_LEVELS,
        criteria=_FLOW_STOP,
        flags=flags,
    )
    moved = np.asarray(flow[0], np.float32)
    followed = (np.asarray(flow[1]).ravel() == 1) & _near_image(moved, small)
    if not followed.all():
        corners, moved = corners[followed], moved[followed]
    if len(moved) < _MIN_INLIERS:
        return None
    # OpenCV counts from the centre of the first pixel, boxes from its outer corner.
    found = cv2.findHomography(corners + 0.5, moved + 0.5, _RANSAC)
    # None where no four corners agree; OpenCV's type stubs leave that out.
    matrix = cast("Array | None", found[0])
    if matrix is None:
        return None
    agree = np.asarray(found[1]).ravel() == 1
    if np.count_nonzero(agree) < max(_MIN_INLIERS, _MIN_INLIER_SHARE * len(moved)):
        return None
    return _Fit(matrix, moved[agree])


def _near_image(corners: Corners, small: Gray) -> NDArray[np.bool_]:
    """Whether each corner's window still touches the image, which flow checks too early."""
    (width, height), (x, y) = small.shape[::-1], corners[:, 0].T
    near, far = -(_WINDOW[0] // 2 + 1), _WINDOW[0] // 2
    within: NDArray[np.bool_] = (x >= near) & (y >= near) & (x < width + far) & (y < height + far)
    return within


def _is_cut(before: Gray, small: Gray) -> bool:
    """Whether two images without a common motion show different scenes."""
    size = (_THUMBNAIL_SIDE, max(1, round(_THUMBNAIL_SIDE * small.shape[0] / small.shape[1])))
    first, second = (
        np.asarray(cv2.resize(each, size, interpolation=cv2.INTER_AREA)) for each in (before, small)
    )
    if min(first.std(), second.std()) < _MIN_CONTRAST:
        return False
    edge = _THUMBNAIL_SHIFT
    inner = first[edge:-edge, edge:-edge]
    if min(inner.shape) < 2 or inner.std() < 1.0:
        return False
    found = cv2.matchTemplate(second, inner, cv2.TM_CCOEFF_NORMED)
    return bool(np.max(found) < _CUT_CORRELATION)
