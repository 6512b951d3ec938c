"""Painting bodies into an image from far to near, and what stays visible of them.

Each body is drawn on a grid finer than the image's, so edges are smooth, boxes
are sub-pixel and a rifle two pixels wide is not a staircase. The same fine
masks say what hides what, so truth and picture can't disagree.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover_sim.camera import Camera, Floats
from windhover_sim.covers import lay_covers
from windhover_sim.outlines import Outline, Window, overlap
from windhover_sim.shapes import Shape
from windhover_sim.truth import SceneTruth

#: Objects less visible than this, or smaller in pixels, are left out of the truth.
MIN_VISIBILITY: Final = 0.05
MIN_AREA_PX: Final = 1.0

_SHIFT: Final = 4

_T = TypeVar("_T", bound=np.generic)

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Target:
    """How a body, or what it carries, is named in the truth."""

    track_id: int
    class_id: int
    carrier_id: int = 0


@dataclass(slots=True)
class _PaintedBody:
    """A labelled silhouette: its window in whole pixels and its fine mask."""

    target: Target
    window: Window
    fine: int
    visible: Mask
    whole_px: float
    amodal: Floats

    def hide(self, mask: Mask, window: Window, fine: int) -> None:
        """Take away what a nearer mask covers."""
        x0, y0 = max(self.window[0], window[0]), max(self.window[1], window[1])
        x1, y1 = min(self.window[2], window[2]), min(self.window[3], window[3])
        if x0 >= x1 or y0 >= y1:
            return
        mine = _crop(self.visible, self.window, self.fine, (x0, y0, x1, y1))
        mine &= ~_regrid(_crop(mask, window, fine, (x0, y0, x1, y1)), fine, self.fine)


class Canvas:
    """An image being painted, far bodies first.

    Attributes:
        camera: where it is seen from.
        image: ``(H, W)`` or ``(H, W, 3)`` float32, changed in place.
    """

    def __init__(self, camera: Camera, image: NDArray[np.float32]) -> None:
        self.camera = camera
        self.image = image
        self._frame: Window = (0, 0, camera.intrinsics.width, camera.intrinsics.height)
        self._drawn: list[_PaintedBody] = []

    def draw_body(
        self,
        shape: Shape,
        outline: Outline,
        values: NDArray[np.float32],
        targets: tuple[Target, ...] = (),
    ) -> None:
        """Paint a body.

        Args:
            shape: the body in the world.
            outline: the same in this camera.
            values: ``(K + F,)`` or ``(K + F, 3)`` what each part shows.
            targets: name of the body and of each entity on it, such as what it carries;
                empty for a body that is not in the truth.
        """
        ids = _fill(outline, np.arange(1, len(outline.polygons) + 1))
        solid = ids > 0
        self._blend(ids, solid, shape, outline, values)
        for drawn in self._drawn:
            drawn.hide(solid, outline.window, outline.fine)
        if targets:
            self._label(ids, outline, shape.entity, targets)

    def draw_sprite(
        self, alpha: NDArray[np.float32], value: NDArray[np.float32], origin: tuple[int, int]
    ) -> None:
        """Paint a flat picture with its top-left pixel at ``origin``.

        Args:
            alpha: ``(h, w)`` coverage, 0..1.
            value: ``(h, w)`` or ``(h, w, 3)``, already times ``alpha``.
            origin: x, y in pixels; may be outside the image.
        """
        x, y = origin
        window = (x, y, x + alpha.shape[1], y + alpha.shape[0])
        self._composite(alpha, value, window)
        solid = alpha > 0.5
        for drawn in self._drawn:
            drawn.hide(solid, window, 1)

    def truth(self) -> SceneTruth:
        """What is visible of all labelled bodies, nearest first."""
        rows = [row for drawn in reversed(self._drawn) if (row := self._row(drawn)) is not None]
        if not rows:
            return SceneTruth()
        boxes, amodal, targets, visibility = zip(*rows, strict=True)
        return SceneTruth(
            boxes=np.array(boxes, np.float32),
            amodal=np.array(amodal, np.float32),
            class_ids=np.array([t.class_id for t in targets], np.int32),
            track_ids=np.array([t.track_id for t in targets], np.int64),
            visibility=np.array(visibility, np.float32),
            carrier_ids=np.array([t.carrier_id for t in targets], np.int64),
        )

    def _blend(
        self,
        ids: NDArray[np.uint16],
        solid: Mask,
        shape: Shape,
        outline: Outline,
        values: NDArray[np.float32],
    ) -> None:
        fine = outline.fine
        table = np.concatenate([np.zeros_like(values[:1]), values[outline.order]])
        size = (ids.shape[1] // fine, ids.shape[0] // fine)
        flat = table[ids]
        if shape.covering is not None:
            lay_covers(flat, ids, self.camera, shape, outline)
        value = cv2.resize(flat, size, interpolation=cv2.INTER_AREA)
        alpha = cv2.resize(solid.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        self._composite(np.asarray(alpha, np.float32), np.asarray(value), outline.window)

    def _composite(
        self, alpha: NDArray[np.float32], value: NDArray[np.float32], window: Window
    ) -> None:
        inner = overlap(window, self._frame)
        if inner[0] >= inner[2] or inner[1] >= inner[3]:
            return
        part = _crop(self.image, self._frame, 1, inner)
        keep = 1 - _crop(alpha, window, 1, inner)
        part *= keep if part.ndim == 2 else keep[..., None]
        part += _crop(value, window, 1, inner)

    def _label(
        self,
        ids: NDArray[np.uint16],
        outline: Outline,
        entity: NDArray[np.uint8],
        targets: tuple[Target, ...],
    ) -> None:
        fine = outline.fine
        kinds = entity[outline.order]
        # What has no name of its own belongs to the body.
        kinds = np.where(kinds < len(targets), kinds, 0)
        owner = np.concatenate([[255], kinds]).astype(np.uint8)[ids]
        for number, target in enumerate(targets):
            visible = owner == number
            alone = outline.select(kinds == number)
            if len(targets) == 1:
                whole = float(visible.sum())
            else:
                whole = float((_fill(alone, np.ones(len(alone.polygons), int)) > 0).sum())
            self._drawn.append(
                _PaintedBody(target, outline.window, fine, visible, whole / fine**2, alone.bounds())
            )

    def _row(self, drawn: _PaintedBody) -> tuple[Floats, Floats, Target, float] | None:
        inner = overlap(drawn.window, self._frame)
        seen = _crop(drawn.visible, drawn.window, drawn.fine, inner)
        area = float(seen.sum()) / drawn.fine**2
        share = min(1.0, area / max(drawn.whole_px, 1e-6))
        if area < MIN_AREA_PX or share < MIN_VISIBILITY:
            return None
        columns, rows = np.flatnonzero(seen.any(axis=0)), np.flatnonzero(seen.any(axis=1))
        corner = np.array([inner[0], inner[1]], float)
        low = corner + np.array([columns[0], rows[0]]) / drawn.fine
        high = corner + np.array([columns[-1] + 1, rows[-1] + 1]) / drawn.fine
        low, high = np.maximum(low, drawn.amodal[:2]), np.minimum(high, drawn.amodal[2:])
        return np.concatenate([low, high]), drawn.amodal, drawn.target, share


def _fill(outline: Outline, values: NDArray[np.int64]) -> NDArray[np.uint16]:
    """Paint polygons on the fine grid of the outline's window, later over earlier."""
    x0, y0, x1, y1 = outline.window
    fine = outline.fine
    grid = np.zeros(((y1 - y0) * fine, (x1 - x0) * fine), np.uint16)
    # OpenCV puts coordinates at pixel centres and paints the boundary too, which
    # adds half a fine pixel all round: the inset has taken that off before.
    corners = (outline.polygons - [x0, y0]) * fine - 0.5
    fixed = np.round(corners * (1 << _SHIFT)).astype(np.int32)
    for polygon, value in zip(fixed, values.tolist(), strict=True):
        cv2.fillConvexPoly(grid, polygon, value, cv2.LINE_8, _SHIFT)
    return grid


def _crop(grid: NDArray[_T], window: Window, fine: int, inner: Window) -> NDArray[_T]:
    """View of a grid that covers ``window``, cut to the pixels of ``inner``."""
    rows = slice((inner[1] - window[1]) * fine, (inner[3] - window[1]) * fine)
    columns = slice((inner[0] - window[0]) * fine, (inner[2] - window[0]) * fine)
    return grid[rows, columns]


def _regrid(mask: Mask, fine: int, wanted: int) -> Mask:
    """A mask on another fineness; both are powers of two."""
    if fine == wanted:
        return mask
    if fine < wanted:
        times = wanted // fine
        return mask.repeat(times, axis=0).repeat(times, axis=1)
    step = fine // wanted
    return mask[step // 2 :: step, step // 2 :: step]
