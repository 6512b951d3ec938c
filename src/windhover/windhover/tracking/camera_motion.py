"""How the image moved because the camera did: sparse optical flow on a small image.

One corner a cell of a grid, outside the objects' boxes, is followed from frame to
frame (pyramidal Lucas-Kanade, Bouguet 2001) and a homography is fitted to them by
RANSAC, as BoT-SORT does with a similarity (Aharon et al., 2022): seen at a slant,
ground does not move as a similarity. Objects and wrong matches are outliers.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.imaging.agc import percentile_agc
from windhover.types import Image

Array = NDArray[np.float64]
Gray = NDArray[np.uint8]
# The long side of the image that flow is computed on, pixels.
_SIDE = 320
_CELL = 16
_CORNERS = 120
_CORNER_BLOCK = 3
_CORNER_QUALITY = 0.01
_WINDOW = (13, 13)
_PYRAMID_LEVELS = 3
_FLOW_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 10, 0.03)
_INLIER_PX = 1.5
_RANSAC_ROUNDS = 500
_LEAST_INLIERS = 10
_LEAST_INLIER_SHARE = 0.4
# Below this correlation of two thumbnails there is nothing of the one in the other.
_CUT_CORRELATION = 0.3
_THUMBNAIL_SIDE = 32
_THUMBNAIL_SHIFT = 6
# Standard deviation of grey levels below which a picture shows nothing.
_LEAST_CONTRAST = 6.0


@dataclass(frozen=True, slots=True)
class ImageMotion:
    """What became of the background since the last frame.

    Attributes:
        matrix: ``(3, 3)`` homography that takes pixel coordinates of the last frame
            to this one's; ``None`` where it is not known.
        cut: this frame shows another scene than the last one.
    """

    matrix: Array | None = None
    cut: bool = False


class CameraMotion:
    """Follows the background from each frame to the next."""

    def __init__(self) -> None:
        self._before: Gray | None = None
        self._corners: NDArray[np.float32] | None = None

    def reset(self) -> None:
        """Forget the last frame."""
        self._before = None

    def estimate(
        self, image: Image, boxes: NDArray[np.float32], guess: Array | None = None
    ) -> ImageMotion:
        """Motion of the background since the last frame.

        Args:
            image: ``(H, W)`` or ``(H, W, C)`` with blue, green, red first;
                uint8 or uint16.
            boxes: ``(N, 4)`` x1, y1, x2, y2, pixels: where objects are, whose
                own motion must not count.
            guess: ``(3, 3)`` motion known otherwise, from attitude: where corners
                are looked for first, so that fast turns are followed.

        Returns:
            No matrix for the first frame, after a change of image size (which is a
            cut), and where the background can't be followed (blank, blurred or
            an abrupt change; the last is a cut if the two images have nothing
            in common).
        """
        factor = min(1.0, _SIDE / max(image.shape[:2]))
        small = _small_gray(image, factor)
        before, corners = self._before, self._corners
        self._before = small
        self._corners = _find_corners(small, boxes * factor)
        if before is None:
            return ImageMotion()
        if before.shape != small.shape:
            return ImageMotion(cut=True)
        scale = np.diag([factor, factor, 1.0])
        start = None if guess is None else scale @ guess @ np.linalg.inv(scale)
        matrix = None if corners is None else _fit(before, small, corners, start)
        if matrix is None:
            return ImageMotion(cut=_is_cut(before, small))
        return ImageMotion(np.linalg.inv(scale) @ matrix @ scale)


def _small_gray(image: Image, factor: float) -> Gray:
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    if small.ndim == 3:
        small = np.asarray(cv2.cvtColor(np.ascontiguousarray(small[..., :3]), cv2.COLOR_BGR2GRAY))
    if small.dtype == np.uint16:
        return percentile_agc(small.astype(np.uint16, copy=False))
    return small.astype(np.uint8, copy=False)


def _find_corners(small: Gray, boxes: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """The best corner of each cell of a grid, ``(M, 1, 2)`` pixel centres."""
    response = np.asarray(cv2.cornerMinEigenVal(small, _CORNER_BLOCK))
    height, width = small.shape
    limits = np.array([width, height, width, height])
    grown = np.clip(boxes + np.array([-1, -1, 2, 2]), 0, limits).astype(np.intp)
    for x1, y1, x2, y2 in grown.tolist():
        response[y1:y2, x1:x2] = 0.0
    rows, columns = height // _CELL, width // _CELL
    cells = response[: rows * _CELL, : columns * _CELL].reshape(rows, _CELL, columns, _CELL)
    flat = cells.transpose(0, 2, 1, 3).reshape(rows * columns, _CELL * _CELL)
    best = flat.argmax(axis=1)
    strength = flat[np.arange(len(flat)), best]
    if not len(strength) or strength.max() <= 0.0:
        return None
    # The strongest first; one glaring corner must not outshine all the others.
    order = np.argsort(-strength, kind="stable")[:_CORNERS]
    order = order[strength[order] > _CORNER_QUALITY * np.median(strength[order])]
    y = order // columns * _CELL + best[order] // _CELL
    x = order % columns * _CELL + best[order] % _CELL
    return np.stack([x, y], axis=1).astype(np.float32)[:, None]


def _fit(
    before: Gray,
    small: Gray,
    corners: NDArray[np.float32],
    start: Array | None,
) -> Array | None:
    first = corners.copy()
    flags = 0
    if start is not None:
        first = cv2.perspectiveTransform(corners + 0.5, start).astype(np.float32) - 0.5
        flags = cv2.OPTFLOW_USE_INITIAL_FLOW
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
    moved, followed = np.asarray(flow[0]), np.asarray(flow[1]).ravel() == 1
    if followed.sum() < _LEAST_INLIERS:
        return None
    # OpenCV counts from the centre of the first pixel, boxes from its outer corner.
    matrix, inliers = cv2.findHomography(
        corners[followed] + 0.5,
        moved[followed] + 0.5,
        cv2.RANSAC,
        _INLIER_PX,
        maxIters=_RANSAC_ROUNDS,
    )
    if matrix is None or np.sum(inliers) < max(
        _LEAST_INLIERS, _LEAST_INLIER_SHARE * followed.sum()
    ):
        return None
    return np.asarray(matrix, np.float64)


def _is_cut(before: Gray, small: Gray) -> bool:
    """Whether two images, that no motion leads from one to the other, differ in all."""
    size = (_THUMBNAIL_SIDE, max(1, round(_THUMBNAIL_SIDE * small.shape[0] / small.shape[1])))
    first, second = (
        np.asarray(cv2.resize(each, size, interpolation=cv2.INTER_AREA)) for each in (before, small)
    )
    if min(first.std(), second.std()) < _LEAST_CONTRAST:
        return False
    edge = _THUMBNAIL_SHIFT
    inner = first[edge:-edge, edge:-edge]
    if min(inner.shape) < 2 or inner.std() < 1.0:
        return False
    found = cv2.matchTemplate(second, inner, cv2.TM_CCOEFF_NORMED)
    return bool(np.max(found) < _CUT_CORRELATION)
