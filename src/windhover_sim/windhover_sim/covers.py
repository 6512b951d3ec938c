"""Pictures laid on the parts of bodies: walls, roofs and clothes."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover_sim.camera import NEAR_M, Camera, Floats
from windhover_sim.outlines import Outline
from windhover_sim.shapes import Shape
from windhover_sim.textures import Cover

#: A capsule that is seen more end-on than this shows its picture as if from the side.
_LEAST_SLANT: Final = 0.3


def lay_covers(
    values: NDArray[np.float32],
    ids: NDArray[np.uint16],
    camera: Camera,
    shape: Shape,
    outline: Outline,
) -> None:
    """Vary a painted body by the pictures on its parts.

    Args:
        values: ``(h, w)`` degrees Celsius or ``(h, w, 3)`` colour on the outline's fine grid,
            changed in place.
        ids: ``(h, w)`` row of the part in the outline that each cell shows, from 1; 0 for none.
        camera: that sees it.
        shape: the body, with a covering.
        outline: the same in this camera.
    """
    covering, fine = shape.covering, outline.fine
    assert covering is not None
    left, top = outline.window[:2]
    begin = np.eye(3)
    begin[:2, 2] = covering.start
    for row in np.flatnonzero(covering.parts[outline.order]):
        part = int(outline.order[row])
        corners = (outline.polygons[row] - [left, top]) * fine
        x0, y0 = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
        x1, y1 = np.ceil(corners.max(axis=0)).astype(int) + 1
        shown = ids[y0:y1, x0:x1] == row + 1
        if not shown.any():
            continue
        to_part = (
            _capsule_plane(camera, shape.capsules[part])
            if part < len(shape.capsules)
            else _face_plane(outline.polygons[row][:4], shape.faces[part - len(shape.capsules)][:4])
        )
        # Cells of the fine grid to pixels of the image, by their centres.
        to_pixel = np.array(
            [[1 / fine, 0, left + (x0 + 0.5) / fine], [0, 1 / fine, top + (y0 + 0.5) / fine]]
            + [[0, 0, 1]]
        )
        cover = covering.covers[int(covering.parts[part]) - 1]
        to_metre = begin @ to_part @ to_pixel
        picture = _sample(cover, to_metre, shown.shape, grey=values.ndim == 2)
        cells = values[y0:y1, x0:x1]
        if values.ndim == 2:
            cells[shown] += picture[shown]
        else:
            cells[shown] *= picture[shown]


def _sample(
    cover: Cover, to_metre: Floats, size: tuple[int, ...], *, grey: bool
) -> NDArray[np.float32]:
    """The picture on a grid of cells, from the level that suits their size."""
    height, width = size
    middle = to_metre @ [[width / 2, width / 2 + 1], [height / 2, height / 2], [1, 1]]
    middle = middle[:2] / middle[2]
    step = float(np.hypot(*(middle[:, 1] - middle[:, 0]))) * cover.pixels_per_metre
    level = int(np.clip(round(np.log2(max(step, 1e-6))), 0, len(cover.shade) - 1))
    tile = (cover.tone if grey else cover.shade)[level]
    scale = cover.pixels_per_metre / 2**level
    to_tile = np.diag([scale, scale, 1.0]) @ to_metre
    return np.asarray(
        cv2.warpPerspective(
            tile,
            to_tile,
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_WRAP,
        ),
        np.float32,
    )


def _face_plane(pixels: Floats, corners: Floats) -> Floats:
    """``(3, 3)`` pixels to metres along and across a face of four corners."""
    along = corners[1] - corners[0]
    along = along / max(float(np.linalg.norm(along)), 1e-9)
    across = corners[3] - corners[0]
    across = across - (across @ along) * along
    across = across / max(float(np.linalg.norm(across)), 1e-9)
    flat = np.column_stack([(corners - corners[0]) @ along, (corners - corners[0]) @ across])
    return np.asarray(
        cv2.getPerspectiveTransform(pixels.astype(np.float32), flat.astype(np.float32))
    )


def _capsule_plane(camera: Camera, capsule: Floats) -> Floats:
    """``(3, 3)`` pixels to metres along and across a capsule as it is seen."""
    ends = capsule.reshape(2, 4)[:, :3]
    pixels, depth = camera.project(ends)
    scale = camera.intrinsics.focal / max(float(depth.mean()), NEAR_M)
    axis, length = pixels[1] - pixels[0], float(np.linalg.norm(ends[1] - ends[0]))
    shown = float(np.hypot(*axis))
    if shown > _LEAST_SLANT * scale * length and shown > 1e-6:
        axis, gain = axis / shown, length / shown
    else:
        axis, gain = np.array([0.0, 1.0]), 1 / scale
    turn = np.array([[axis[0] * gain, axis[1] * gain], [-axis[1] / scale, axis[0] / scale]])
    out = np.eye(3)
    out[:2, :2] = turn
    out[:2, 2] = -turn @ pixels[0]
    return out
