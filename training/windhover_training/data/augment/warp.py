"""One geometric change of an image and its boxes: a homography, exact for both.

Coordinates of boxes are measured from the outer corner of the first pixel; OpenCV's are
measured from its centre. :func:`warp_pixels` converts, nothing else has to know.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
Boxes = NDArray[np.float32]

_NEAR = 1e-3  # least homogeneous depth: what is nearer to the horizon is cut off


def warp_pixels(
    pixels: NDArray[np.uint8], matrix: Matrix, width: int, height: int, fill: int
) -> NDArray[np.uint8]:
    """Warp an image with any number of channels by one homography.

    Args:
        pixels: ``(H, W)`` or ``(H, W, C)``, C at most 4.
        matrix: ``(3, 3)``, source to target, in box coordinates.
        width: of the target.
        height: of the target.
        fill: value where the source does not reach.
    """
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    centred = np.linalg.inv(half) @ matrix @ half
    warped = cv2.warpPerspective(
        pixels,
        centred,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(fill, fill, fill, fill),
    )
    return np.asarray(warped, np.uint8)


def warp_boxes(
    boxes: Boxes, matrix: Matrix, width: int, height: int
) -> tuple[Boxes, NDArray[np.float64]]:
    """Boxes around what is seen of the warped rectangles.

    A rectangle becomes a convex polygon; it is clipped to the target before the box is laid
    around it, so a turned rectangle that is partly outside gets no larger box than it shows.

    Args:
        boxes: ``(N, 4)`` x1, y1, x2, y2.
        matrix: ``(3, 3)``, source to target.
        width: of the target.
        height: of the target.

    Returns:
        ``(N, 4)`` boxes in the target, zero where nothing is seen, and ``(N,)`` the part of
        each polygon's area that is inside.
    """
    corners = boxes.astype(np.float64)[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    homogeneous = np.concatenate([corners, np.ones((*corners.shape[:2], 1))], axis=2) @ matrix.T
    depth = homogeneous[:, :, 2]
    safe = (depth > _NEAR).all(axis=1)
    points = homogeneous[:, :, :2] / np.where(np.abs(depth) > _NEAR, depth, 1.0)[:, :, None]
    out = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1).reshape(-1, 4)
    seen = np.ones(len(boxes))
    inside = safe & (out[:, :2] >= 0).all(axis=1)
    inside &= (out[:, 2] <= width) & (out[:, 3] <= height)
    for i in np.flatnonzero(~inside):
        out[i], seen[i] = _box_of_seen(homogeneous[i], width, height)
    return out.astype(np.float32), seen


def _box_of_seen(polygon: Matrix, width: int, height: int) -> tuple[NDArray[np.float64], float]:
    """Box around the part of a homogeneous polygon that is inside, and how large that is."""
    front = _clip(polygon, np.array([0.0, 0.0, 1.0]), _NEAR)
    if len(front) < 3:
        return np.zeros(4), 0.0
    whole = front[:, :2] / front[:, 2:]
    clipped = np.concatenate([whole, np.ones((len(whole), 1))], axis=1)
    for plane in ((1, 0, 0), (-1, 0, width), (0, 1, 0), (0, -1, height)):
        clipped = _clip(clipped, np.array(plane, np.float64), 0.0)
    if len(clipped) < 3:
        return np.zeros(4), 0.0
    seen = clipped[:, :2]
    box = np.concatenate([seen.min(axis=0), seen.max(axis=0)])
    # Rounding leaves a clipped corner a hair outside.
    return box.clip(0, (width, height, width, height)), _area(seen) / max(_area(whole), 1e-9)


def _clip(polygon: Matrix, plane: NDArray[np.float64], least: float) -> Matrix:
    """Part of a convex polygon (rows x, y, w) where ``plane . point >= least``."""
    value = polygon @ plane - least
    kept = []
    for i in range(len(polygon)):
        a, b = value[i - 1], value[i]
        if (a >= 0) != (b >= 0):
            kept.append(polygon[i - 1] + (polygon[i] - polygon[i - 1]) * (a / (a - b)))
        if b >= 0:
            kept.append(polygon[i])
    return np.array(kept).reshape(-1, 3)


def _area(points: NDArray[np.float64]) -> float:
    x, y = points.T
    return float(abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2)


def random_homography(
    rng: np.random.Generator,
    centre: tuple[float, float],
    size: int,
    *,
    scale: tuple[float, float],
    degrees: float,
    shear: float,
    perspective: float,
    flip_x: bool,
    flip_y: bool,
) -> Matrix:
    """Draw a change of view: what is around ``centre`` fills a square of ``size`` pixels.

    Args:
        rng: source of randomness.
        centre: x, y in the source that comes to lie at the centre of the target.
        size: side of the target.
        scale: least and greatest factor; drawn evenly in its logarithm.
        degrees: greatest turn to either side.
        shear: greatest shear to either side, degrees, along x and y each.
        perspective: greatest change of depth a pixel, for a target of 640 pixels; others
            see the same view, smaller or larger. The horizon stays outside of the target.
        flip_x: mirror left and right.
        flip_y: mirror top and bottom.

    Returns:
        ``(3, 3)``, source to target.
    """
    to_origin = np.array([[1, 0, -centre[0]], [0, 1, -centre[1]], [0, 0, 1.0]])
    factor = float(np.exp(rng.uniform(np.log(scale[0]), np.log(scale[1]))))
    angle = np.deg2rad(rng.uniform(-degrees, degrees))
    cos, sin = factor * np.cos(angle), factor * np.sin(angle)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
    sx, sy = np.tan(np.deg2rad(rng.uniform(-shear, shear, 2)))
    slant = np.array([[1, sx, 0], [sy, 1, 0], [0, 0, 1.0]])
    px, py = rng.uniform(-perspective, perspective, 2) * 640 / size
    tilt = np.array([[1, 0, 0], [0, 1, 0], [px, py, 1.0]])
    mirror = np.diag([-1.0 if flip_x else 1.0, -1.0 if flip_y else 1.0, 1.0])
    to_middle = np.array([[1, 0, size / 2], [0, 1, size / 2], [0, 0, 1.0]])
    return to_middle @ tilt @ mirror @ slant @ turn @ to_origin
