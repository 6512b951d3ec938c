"""From bodies in the world to convex polygons in an image, many bodies at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from windhover_sim.camera import NEAR_M, Camera, Floats
from windhover_sim.shapes import Shape, face_outlines, hulls

#: Sub-pixel grid of small and of large bodies, cells a pixel.
FINE_SAMPLES: Final = 4
COARSE_SAMPLES: Final = 2
_SMALL_PX: Final = 128
_MAX_PIXELS: Final = 1_500_000

Window = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Outline:
    """Convex polygons of a body's parts in paint order.

    Attributes:
        polygons: ``(P, 12, 2)`` pixels.
        order: ``(P,)`` row of each in the shape.
        fine: cells a pixel of the grid it is to be painted on.
        window: whole pixels x0, y0, x1, y1 that hold them.
    """

    polygons: Floats
    order: NDArray[np.intp]
    fine: int
    window: Window

    @property
    def inset(self) -> float:
        """How far the outlines of capsules are drawn in, pixels.

        The rasteriser paints boundaries too, which adds this much all round.
        """
        return 0.5 / self.fine

    def select(self, rows: NDArray[np.bool_]) -> Outline:
        """Some of the parts, same window."""
        return Outline(self.polygons[rows], self.order[rows], self.fine, self.window)

    def bounds(self) -> Floats:
        """``(4,)`` box of the outlines with the inset given back, pixels."""
        low = self.polygons.min(axis=(0, 1)) - self.inset
        high = self.polygons.max(axis=(0, 1)) + self.inset
        return np.concatenate([low, high])


def overlap(a: Window, b: Window) -> Window:
    """What two windows share; empty when its ends are out of order."""
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])


def outline_all(camera: Camera, shapes: Sequence[Shape]) -> list[Outline | None]:
    """Outlines of bodies.

    A sphere's image is taken as a circle, which holds to a fraction of a pixel
    at the sizes of limbs.

    Args:
        camera: pinhole camera.
        shapes: bodies.

    Returns:
        One a body; ``None`` for one that is outside the image or reaches
        behind the camera.
    """
    if not shapes:
        return []
    ends = np.concatenate([shape.capsules for shape in shapes]).reshape(-1, 2, 4)
    centres, end_depth = camera.project(ends[..., :3])
    radius = ends[..., 3] * camera.intrinsics.focal / np.maximum(end_depth, NEAR_M)
    counts = [len(shape.capsules) for shape in shapes]
    stops = np.cumsum(counts)
    faces, face_depth, facing = face_outlines(
        camera, np.concatenate([shape.faces for shape in shapes])
    )
    fine = _supersampling(centres, radius, faces, [(len(s.capsules), len(s.faces)) for s in shapes])
    inset = np.repeat(0.5 / fine, counts)
    capsules = hulls(centres, np.maximum(radius - inset[:, None], 0.02))
    depth = end_depth.mean(axis=1)
    nearest = end_depth.min(axis=1) if len(ends) else depth
    found: list[Outline | None] = []
    face_stop = 0
    for shape, stop, count, grain in zip(
        shapes, stops.tolist(), counts, fine.tolist(), strict=True
    ):
        mine = slice(stop - count, stop)
        its_faces = slice(face_stop, face_stop + len(shape.faces))
        face_stop += len(shape.faces)
        if (nearest[mine] < NEAR_M).any() or (face_depth[its_faces] < NEAR_M).any():
            found.append(None)
            continue
        shown = np.concatenate([np.ones(count, bool), facing[its_faces]])
        depths = np.concatenate([depth[mine], face_depth[its_faces]])
        polygons = np.concatenate([capsules[mine], faces[its_faces]])
        order = np.lexsort((-depths, shape.layer))
        order = order[shown[order]]
        found.append(_frame(camera, polygons[order], order, int(grain)))
    return found


def _frame(camera: Camera, polygons: Floats, order: NDArray[np.intp], fine: int) -> Outline | None:
    if not len(polygons):
        return None
    low = np.floor(polygons.min(axis=(0, 1)) - 0.5 / fine).astype(int).tolist()
    high = np.ceil(polygons.max(axis=(0, 1)) + 0.5 / fine).astype(int).tolist()
    frame = (0, 0, camera.intrinsics.width, camera.intrinsics.height)
    window = (low[0], low[1], high[0], high[1])
    inner = overlap(window, frame)
    if inner[0] >= inner[2] or inner[1] >= inner[3]:
        return None
    if (window[2] - window[0]) * (window[3] - window[1]) > _MAX_PIXELS:
        window = inner
    return Outline(polygons, order, fine, window)


def _supersampling(
    centres: Floats, radius: Floats, faces: Floats, counts: list[tuple[int, int]]
) -> NDArray[np.int64]:
    """``(S,)`` grid of each shape: fine for small ones, coarse for large ones."""
    grains = []
    at = face_at = 0
    for capsules, its_faces in counts:
        spans = [0.0]
        if capsules:
            mine = slice(at, at + capsules)
            reach = radius[mine].max()
            spans.append(float(np.ptp(centres[mine], axis=(0, 1)).max() + 2 * reach))
        if its_faces:
            spans.append(float(np.ptp(faces[face_at : face_at + its_faces], axis=(0, 1)).max()))
        at, face_at = at + capsules, face_at + its_faces
        grains.append(FINE_SAMPLES if max(spans) < _SMALL_PX else COARSE_SAMPLES)
    return np.array(grains)
