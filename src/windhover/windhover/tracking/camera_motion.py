"""How the image moved because the camera did: sparse optical flow on a small image.

Corners outside the objects' boxes are followed from frame to frame (pyramidal
Lucas-Kanade, Bouguet 2001) and a similarity is fitted to them by RANSAC, as
BoT-SORT does (Aharon et al., 2022). Objects and wrong matches are outliers.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.imaging.agc import percentile_agc
from windhover.types import Image

Array = NDArray[np.float64]
# The long side of the image that flow is computed on, pixels.
_SIDE = 320
_CORNERS = 120
_CORNER_QUALITY = 0.01
_CORNER_SPACING = 8
_WINDOW = (13, 13)
_PYRAMID_LEVELS = 3
_FLOW_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 10, 0.03)
_INLIER_PX = 1.5
_LEAST_INLIERS = 10
_LEAST_INLIER_SHARE = 0.4


class CameraMotion:
    """Follows the background from each frame to the next."""

    def __init__(self) -> None:
        self._small: NDArray[np.uint8] | None = None
        self._corners: NDArray[np.float32] | None = None

    def reset(self) -> None:
        """Forget the last frame."""
        self._small = None

    def estimate(self, image: Image, boxes: NDArray[np.float32]) -> Array | None:
        """Motion of the background since the last frame.

        Args:
            image: ``(H, W)`` or ``(H, W, C)`` with blue, green, red first;
                uint8 or uint16.
            boxes: ``(N, 4)`` x1, y1, x2, y2, pixels: where objects are, whose
                own motion must not count.

        Returns:
            ``(2, 3)`` similarity that takes pixel coordinates of the last frame
            to this one; ``None`` for the first frame, after a change of image
            size, and where the background can't be followed (blank, blurred or
            an abrupt change).
        """
        factor = min(1.0, _SIDE / max(image.shape[:2]))
        small = _small_gray(image, factor)
        before, corners = self._small, self._corners
        self._small = small
        self._corners = _find_corners(small, boxes * factor)
        if before is None or corners is None or before.shape != small.shape:
            return None
        motion = _fit(before, small, corners)
        if motion is not None:
            motion[:, 2] /= factor
        return motion


def _small_gray(image: Image, factor: float) -> NDArray[np.uint8]:
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    if small.ndim == 3:
        small = np.asarray(cv2.cvtColor(np.ascontiguousarray(small[..., :3]), cv2.COLOR_BGR2GRAY))
    if small.dtype == np.uint16:
        return percentile_agc(small.astype(np.uint16, copy=False))
    return small.astype(np.uint8, copy=False)


def _find_corners(
    small: NDArray[np.uint8], boxes: NDArray[np.float32]
) -> NDArray[np.float32] | None:
    height, width = small.shape
    mask = np.full((height, width), 255, np.uint8)
    limits = np.array([width, height, width, height])
    grown = np.clip(boxes + np.array([-1, -1, 2, 2]), 0, limits).astype(np.intp)
    for x1, y1, x2, y2 in grown.tolist():
        mask[y1:y2, x1:x2] = 0
    found = cv2.goodFeaturesToTrack(small, _CORNERS, _CORNER_QUALITY, _CORNER_SPACING, mask=mask)
    return None if found is None else np.asarray(found, np.float32)


def _fit(
    before: NDArray[np.uint8], small: NDArray[np.uint8], corners: NDArray[np.float32]
) -> Array | None:
    flow = cv2.calcOpticalFlowPyrLK(
        before,
        small,
        corners,
        np.empty_like(corners),
        winSize=_WINDOW,
        maxLevel=_PYRAMID_LEVELS,
        criteria=_FLOW_STOP,
    )
    moved, followed = np.asarray(flow[0]), np.asarray(flow[1]).ravel() == 1
    if followed.sum() < _LEAST_INLIERS:
        return None
    # OpenCV counts from the centre of the first pixel, boxes from its outer corner.
    motion, inliers = cv2.estimateAffinePartial2D(
        corners[followed] + 0.5,
        moved[followed] + 0.5,
        method=cv2.RANSAC,
        ransacReprojThreshold=_INLIER_PX,
    )
    if motion is None or np.sum(inliers) < max(
        _LEAST_INLIERS, _LEAST_INLIER_SHARE * followed.sum()
    ):
        return None
    return np.asarray(motion, np.float64)
