"""Bodies made of capsules and flat faces, and their outlines in an image."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover_sim.camera import Camera, Floats
from windhover_sim.textures import Cover

_ARC = 6
#: Left and right, signs of y in a body's frame.
SIDES = (1.0, -1.0)
#: Corners every face is padded to; a wheel is a twelve-sided face.
FACE_CORNERS = 12


@dataclass(frozen=True, slots=True)
class Covering:
    """Pictures on the parts of a body.

    Attributes:
        covers: what is laid on.
        parts: ``(K + F,)`` which of them a part shows, counted from 1; 0 for none. A face that
            shows one has four corners.
        start: metres along and across a part where its picture begins.
    """

    covers: tuple[Cover, ...]
    parts: NDArray[np.int64]
    start: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Shape:
    """One body at one instant: ``K`` capsules, then ``F`` faces.

    Attributes:
        capsules: ``(K, 8)`` world metres: x, y, z, radius of each end.
        faces: ``(F, 12, 3)`` world metres, anticlockwise seen from outside, the
            last corner repeated as padding.
        layer: ``(K + F,)`` paint order; within a layer far parts come first.
        celsius: ``(K + F,)`` surface temperature.
        bgr: ``(K + F, 3)`` colour under the scene's light, 0..255.
        entity: ``(K + F,)`` 0 for the body, 1 for what it carries, which
            is a separate object in the truth.
        covering: pictures on its parts, if any.
        glossy: whether the sun is mirrored in its faces.
    """

    capsules: Floats
    faces: Floats
    layer: NDArray[np.int64]
    celsius: NDArray[np.float32]
    bgr: NDArray[np.float32]
    entity: NDArray[np.uint8]
    covering: Covering | None = None
    glossy: bool = False


def face(corners: list[tuple[float, float, float]] | Floats) -> Floats:
    """``(12, 3)`` face from its corners, padded."""
    points = np.asarray(corners, np.float64)
    pad = np.repeat(points[-1:], FACE_CORNERS - len(points), axis=0)
    return np.concatenate([points, pad])


def box_faces(
    x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]
) -> list[Floats]:
    """Top, front, back, left and right of an axis-aligned box, metres, as :func:`face` has them."""
    (x0, x1), (y0, y1), (z0, z1) = x, y, z
    return [
        face([(x0, y0, z1), (x1, y0, z1), (x1, y1, z1), (x0, y1, z1)]),
        face([(x1, y0, z0), (x1, y1, z0), (x1, y1, z1), (x1, y0, z1)]),
        face([(x0, y1, z0), (x0, y0, z0), (x0, y0, z1), (x0, y1, z1)]),
        face([(x1, y1, z0), (x0, y1, z0), (x0, y1, z1), (x1, y1, z1)]),
        face([(x0, y0, z0), (x1, y0, z0), (x1, y0, z1), (x0, y0, z1)]),
    ]


def normals(faces: Floats) -> Floats:
    """``(F, 3)`` outward unit normals of ``(F, 12, 3)`` faces."""
    n = np.cross(faces[:, 1] - faces[:, 0], faces[:, 2] - faces[:, 1])
    return np.asarray(n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-9))


def to_world(points: Floats, x: float, y: float, heading: float) -> Floats:
    """Rotate ``(..., 3)`` body points (x forward, y left) by a heading and translate them."""
    cos, sin = np.cos(heading), np.sin(heading)
    out = np.empty_like(points)
    out[..., 0] = x + cos * points[..., 0] - sin * points[..., 1]
    out[..., 1] = y + sin * points[..., 0] + cos * points[..., 1]
    out[..., 2] = points[..., 2]
    return out


def capsules_to_world(capsules: Floats, x: float, y: float, heading: float) -> Floats:
    """``to_world`` for ``(K, 8)`` capsules."""
    ends = to_world(capsules.reshape(-1, 2, 4)[..., :3], x, y, heading)
    radii = capsules.reshape(-1, 2, 4)[..., 3:]
    return np.concatenate([ends, radii], axis=2).reshape(-1, 8)


def capsule_shadows(capsules: Floats, sun: Floats) -> Floats:
    """``(K, 12, 2)`` ground outlines, metres, of the shadows of capsules."""
    ends = capsules.reshape(-1, 2, 4)
    flat = ends[..., :2] - ends[..., 2:3] * (sun[:2] / sun[2])
    return hulls(flat, ends[..., 3])


def face_shadow(faces: Floats, sun: Floats) -> Floats:
    """``(1, 12, 2)`` ground outline, metres, of the shadow of a convex set of faces.

    The hull is thinned to the corners a polygon here has; without faces the
    result is ``(0, 12, 2)``.
    """
    if not len(faces):
        return np.empty((0, FACE_CORNERS, 2))
    corners = faces.reshape(-1, 3)
    flat = corners[:, :2] - corners[:, 2:] * (sun[:2] / sun[2])
    hull = cv2.convexHull(flat.astype(np.float32))[:, 0].astype(np.float64)
    rows = np.round(np.linspace(0, len(hull) - 1, FACE_CORNERS)).astype(int)
    return np.asarray(hull[rows][None])


def face_outlines(camera: Camera, faces: Floats) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Faces in the image.

    Returns:
        ``(F, 12, 2)`` pixels, ``(F,)`` mean depth in metres, and ``(F,)`` whether
        the face is turned to the camera.
    """
    points, depth = camera.project(faces)
    x, y = points[..., 0], points[..., 1]
    following = np.r_[1:FACE_CORNERS, 0]
    area = (x * y[:, following] - x[:, following] * y).sum(axis=1)
    return points, depth.mean(axis=1), area < 0


def hulls(centres: Floats, radius: Floats) -> Floats:
    """Convex hulls of pairs of circles: ``(K, 2, 2)`` and ``(K, 2)`` to ``(K, 12, 2)``."""
    step = centres[:, 1] - centres[:, 0]
    gap = np.hypot(step[:, 0], step[:, 1])
    axis = np.arctan2(step[:, 1], step[:, 0])
    # Where one circle holds the other, the tangent angle degenerates to 0 or pi
    # and the hull to the larger circle: the clip does just that.
    lean = np.arccos(np.clip((radius[:, 0] - radius[:, 1]) / np.maximum(gap, 1e-9), -1, 1))
    share = np.linspace(0, 1, _ARC)
    far = axis[:, None] + lean[:, None] * (2 * share - 1)
    near = axis[:, None] + lean[:, None] + (2 * np.pi - 2 * lean[:, None]) * share
    angle = np.stack([far, near], axis=1)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    # Corners are a little outside the circle, so that the polygon has its area.
    step_angle = np.maximum(np.stack([lean, np.pi - lean], axis=1) * 2 / (_ARC - 1), 1e-6)
    grow = np.sqrt(step_angle / np.sin(step_angle))
    points = centres[:, :, None][:, ::-1] + (radius[:, ::-1] * grow)[..., None, None] * ring
    return np.asarray(points.reshape(-1, 2 * _ARC, 2))
