"""The ground: one repeating map of materials, as temperature or as colour.

A map is drawn once for a scene; a frame is a perspective warp of it, taken from a
pyramid so that distant ground neither aliases nor flickers.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Final, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover_sim.bands import row_bands
from windhover_sim.camera import Camera, Floats
from windhover_sim.climate import Climate
from windhover_sim.layout import PERIOD_M, Layout, Rect
from windhover_sim.noise import Field, fractal_noise, stretch
from windhover_sim.textures import Texture

_SCALE: Final = 16.0
_SIZE: Final = int(PERIOD_M * _SCALE)
_LEVELS: Final = 6
#: Texels of a textured map of colours to one of the map of materials, along a side.
_FINE: Final = 2
#: Pixels a metre of the tiles that such a map is made of.
TEXTURE_SCALE: Final = _SCALE * _FINE
#: Kelvin of the grain of a real surface.
_TONE_KELVIN: Final = 0.45

_Pixel = TypeVar("_Pixel", np.uint8, np.float32)

MATERIALS: Final = ("grass", "dirt", "asphalt", "paving", "concrete", "paint", "seam")
_GRASS, _DIRT, _ASPHALT, _PAVING, _CONCRETE, _PAINT, _SEAM = range(7)

#: Kelvin of blotches, streaks and grain by material, in the order of MATERIALS.
_BLOTCH: Final = np.array([1.0, 1.0, 0.7, 0.8, 0.3, 0.3, 0.5], np.float32)
_STREAK: Final = np.array([0.0, 0.1, 0.5, 0.25, 0.2, 0.2, 0.2], np.float32)
_GRAIN: Final = np.array([0.42, 0.35, 0.12, 0.16, 0.15, 0.1, 0.15], np.float32)

#: Colour (B, G, R) by material, and its relative blotch and grain.
_COLOUR: Final = np.array(
    [
        [60, 101, 93],
        [96, 126, 148],
        [104, 102, 100],
        [148, 158, 164],
        [168, 172, 174],
        [222, 226, 228],
        [92, 98, 102],
    ],
    np.float32,
)
_COLOUR_BLOTCH: Final = np.array([0.12, 0.09, 0.05, 0.05, 0.05, 0.06, 0.05], np.float32)
_COLOUR_GRAIN: Final = np.array([0.15, 0.10, 0.06, 0.05, 0.06, 0.08, 0.06], np.float32)


class Ground:
    """Materials and static shadows of a scene's ground, as temperature and as colour."""

    def __init__(
        self,
        rng: np.random.Generator,
        layout: Layout,
        climate: Climate,
        textures: Mapping[str, Texture] | None = None,
    ) -> None:
        self._climate = climate
        self._textures = {MATERIALS.index(name): tile for name, tile in (textures or {}).items()}
        self._blotch = fractal_noise(rng, _SIZE, 4, 128, 0.75)
        self._grain = fractal_noise(rng, _SIZE, 128, _SIZE, 0.12)
        self._streak = stretch(self._grain, 96, axis=0)
        self._tint = rng.normal(0, [7, 7, 9]).astype(np.float32)
        self._material = _draw_materials(rng, layout, self._blotch, self._grain)
        self._shade = np.zeros((_SIZE, _SIZE), np.uint8)
        self._lamps: list[tuple[float, float]] = []
        self._glow = np.zeros((_SIZE // 4, _SIZE // 4), np.float32)

    def add_shadow(self, outline: Floats, dappled: bool = False) -> None:
        """Add a static shadow: the hull of ``(N, 2)`` ground points, metres.

        Call before the first picture is taken.
        """
        hull = cv2.convexHull(_texels(outline))
        if not dappled:
            cv2.fillConvexPoly(self._shade, hull, 255, cv2.LINE_8, 4)
            return
        x, y, w, h = cv2.boundingRect(hull // 16)
        rows, cols = slice(max(y, 0), max(y + h, 0)), slice(max(x, 0), max(x + w, 0))
        if not self._shade[rows, cols].size:
            return
        leaf = np.zeros_like(self._shade[rows, cols])
        cv2.fillConvexPoly(leaf, hull - 16 * np.array([cols.start, rows.start]), 255, 8, 4)
        gaps = self._grain[rows, cols] + 1.5 * self._blotch[rows, cols] > 1.8
        leaf[gaps] = 0
        np.maximum(self._shade[rows, cols], leaf, out=self._shade[rows, cols])

    def add_warm_patch(self, x: float, y: float, radius: float, kelvin: float) -> None:
        """Warm (or cool) a soft patch, such as under an engine or round a lamp."""
        centre = _texels(np.array([[x, y]]))[0, 0] // 64
        patch = np.zeros_like(self._glow)
        cv2.circle(patch, (int(centre[0]), int(centre[1])), max(1, round(radius * 4)), 1.0, -1)
        self._glow += np.float32(kelvin) * cv2.GaussianBlur(patch, (0, 0), max(1.0, radius * 2))

    def add_lamp(self, x: float, y: float) -> None:
        """Add a street lamp's pool of light, seen by the RGB camera after dark."""
        self._lamps.append((x, y))

    @cached_property
    def lamplight(self) -> list[Field]:
        """Pyramid of ``(S, S)`` float32: what lamps add to the light of the night, 0..1."""
        coarse = np.zeros((_SIZE // 8, _SIZE // 8), np.float32)
        for x, y in self._lamps:
            centre = _texels(np.array([[x, y]]))[0, 0] // 128
            cv2.circle(coarse, (int(centre[0]), int(centre[1])), 5, 1.0, -1)
        soft = 2.5 * cv2.GaussianBlur(coarse, (0, 0), 9)
        full = cv2.resize(np.minimum(soft, 1), (_SIZE, _SIZE), interpolation=cv2.INTER_LINEAR)
        return _pyramid(np.asarray(full, np.float32))

    @cached_property
    def thermal(self) -> list[Field]:
        """Pyramid of ``(S, S)`` float32 temperature, degrees Celsius, finest first."""
        warmth = np.array([self._climate.surface(m) for m in MATERIALS], np.float32)
        m = self._material
        out = warmth[m] + _BLOTCH[m] * self._blotch
        out += _STREAK[m] * self._streak
        out += _GRAIN[m] * self._grain
        for index, tile in self._textures.items():
            # By day what is dark is warm; by night what was dark still is, a little.
            out -= (m == index) * tile.tones(_SIZE) * np.float32(_TONE_KELVIN)
        if self._climate.casts_shadows:
            cooling = 0.75 * np.maximum(warmth - self._climate.air_c, 0.6)
            shade = cv2.GaussianBlur(self._shade, (0, 0), 5).astype(np.float32) / 255
            out -= cooling[m] * shade
        out += cv2.resize(self._glow, (_SIZE, _SIZE), interpolation=cv2.INTER_LINEAR)
        return _pyramid(out)

    @cached_property
    def colour(self) -> list[NDArray[np.uint8]]:
        """Pyramid of ``(S, S, 3)`` uint8 BGR in full light, with static shadows."""
        m = self._material
        gain = 1 + _COLOUR_BLOTCH[m] * self._blotch + _COLOUR_GRAIN[m] * self._grain
        gain += 0.3 * _STREAK[m] * 0.12 * self._streak
        if self._climate.casts_shadows:
            shade = cv2.GaussianBlur(self._shade, (0, 0), 1.2).astype(np.float32) / 255
            gain *= 1 - self._climate.darkened(0.62) * self._climate.sunlight * shade
        palette = _COLOUR.copy()
        palette[_GRASS] += self._tint
        palette[_DIRT] += self._tint
        if self._textures:
            return _pyramid(self._textured(palette, gain))
        out = palette[m] * gain[..., None]
        dry = np.clip(self._blotch, 0, 2)[..., None] * (m == _GRASS)[..., None]
        out += dry * np.array([3, 9, 15], np.float32)
        return _pyramid(np.clip(out, 0, 255).astype(np.uint8))

    def _textured(self, palette: NDArray[np.float32], gain: Field) -> NDArray[np.uint8]:
        """The finest map where tiles stand for materials: ``_FINE`` times as fine as without."""
        side, band = _SIZE * _FINE, 128
        out = np.empty((side, side, 3), np.uint8)
        for top in range(0, _SIZE, band):
            rows = slice(top, top + band)
            size = (side, band * _FINE)
            material = cv2.resize(self._material[rows], size, interpolation=cv2.INTER_NEAREST)
            light = cv2.resize(gain[rows], size, interpolation=cv2.INTER_LINEAR)
            part = palette[material]
            for index, tile in self._textures.items():
                here = material == index
                part[here] = tile.rows(top * _FINE, (top + band) * _FINE, side)[here]
            out[top * _FINE : (top + band) * _FINE] = np.clip(part * light[..., None], 0, 255)
        return out


def render_ground(
    pyramid: list[NDArray[np.uint8]] | list[Field], camera: Camera
) -> NDArray[np.float32]:
    """Render the ground as a camera sees it.

    Rows are taken from the pyramid level that matches how much the ground is
    shrunk there, blended between levels.

    Args:
        pyramid: a map's levels, finest first.
        camera: pinhole camera.

    Returns:
        ``(H, W)`` or ``(H, W, C)`` float32; rows above the horizon repeat the
        farthest ground and are for the caller to paint over.
    """
    lens = camera.intrinsics
    height, width = lens.height, lens.width
    finest = pyramid[0].shape[0] / PERIOD_M
    level = _level_by_row(camera, finest)
    shape = (height, width, *pyramid[0].shape[2:])
    out = np.zeros(shape, np.float32)
    to_ground = np.linalg.inv(camera.ground_to_image())
    for index in range(_LEVELS):
        weight = np.clip(1 - np.abs(level - index), 0, 1)
        rows = np.flatnonzero(weight > 1e-3)
        if not len(rows):
            continue
        top, bottom = int(rows[0]), int(rows[-1]) + 1
        scale = finest / 2**index
        # Continuous pixels and texels meet OpenCV's centre-based ones by a half.
        to_texel = np.array(
            [[scale, 0, PERIOD_M / 2 * scale - 0.5], [0, scale, PERIOD_M / 2 * scale - 0.5]]
            + [[0, 0, 1]]
        )
        shift = np.array([[1, 0, 0.5], [0, 1, top + 0.5], [0, 0, 1]])
        part = cv2.warpPerspective(
            pyramid[index],
            to_texel @ to_ground @ shift,
            (width, bottom - top),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_WRAP,
        )
        share = weight[top:bottom].astype(np.float32).reshape(-1, *[1] * (part.ndim - 1))
        level_out = out[top:bottom]
        for band in row_bands(bottom - top):
            level_out[band] += share[band] * part[band]
    return out


def horizon_mask(camera: Camera) -> NDArray[np.bool_] | None:
    """``(H, W)`` mask of pixels above the horizon, or ``None`` when there are none."""
    lens = camera.intrinsics
    fx, fy = np.arange(lens.width) + 0.5, np.arange(lens.height) + 0.5
    down = camera.rotation[:, 2]
    across = (fx - lens.width / 2) / lens.focal * down[0]
    along = (fy - lens.height / 2) / lens.focal * down[1] + down[2]
    if along[0] + across.max() < -0.02:
        return None
    return np.asarray(along[:, None] + across[None, :] > -0.02)


def _level_by_row(camera: Camera, finest: float) -> Floats:
    """Pyramid level, fractional, that suits each image row; ``finest`` texels a metre at 0."""
    lens = camera.intrinsics
    rows = np.arange(lens.height) + 0.5
    middle = np.full_like(rows, lens.width / 2)
    ground = camera.to_ground(np.column_stack([middle, rows]))
    reach = np.hypot(
        np.linalg.norm(ground - camera.position[:2], axis=1), float(camera.position[2])
    )
    across = reach / lens.focal
    along = across * reach / float(camera.position[2])
    # The geometric mean of both footprints: a little blur along, a little alias across.
    texels = np.sqrt(across * along) * finest
    level = np.log2(np.maximum(texels, 1e-6))
    return np.asarray(np.clip(np.nan_to_num(level, nan=_LEVELS - 1), 0, _LEVELS - 1))


def _pyramid(base: NDArray[_Pixel]) -> list[NDArray[_Pixel]]:
    levels = [base]
    while len(levels) < _LEVELS:
        half = levels[-1].shape[0] // 2
        small = cv2.resize(levels[-1], (half, half), interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(small, base.dtype))
    return levels


def _texels(points: Floats) -> NDArray[np.int32]:
    """``(N, 2)`` metres to ``(N, 1, 2)`` texels with 4 fractional bits."""
    return np.round(((points + PERIOD_M / 2) * _SCALE - 0.5) * 16).astype(np.int32)[:, None]


def _fill(image: NDArray[np.uint8], rect: Rect, value: int) -> None:
    cv2.fillConvexPoly(image, _texels(np.array(rect.corners)), value, cv2.LINE_8, 4)


def _line(
    image: NDArray[np.uint8], a: tuple[float, float], b: tuple[float, float], width: float, v: int
) -> None:
    """A straight stroke of a given width in metres."""
    direction = np.subtract(b, a) / max(float(np.hypot(*np.subtract(b, a))), 1e-6)
    side = np.array([-direction[1], direction[0]]) * width / 2
    corners = np.array([a + side, b + side, b - side, a - side])
    cv2.fillConvexPoly(image, _texels(corners), v, cv2.LINE_8, 4)


def _draw_materials(
    rng: np.random.Generator, layout: Layout, blotch: Field, grain: Field
) -> NDArray[np.uint8]:
    image = np.full((_SIZE, _SIZE), _GRASS, np.uint8)
    worn = np.zeros((_SIZE, _SIZE), np.uint8)
    track = _texels(np.array(layout.path))
    cv2.polylines(worn, [track], False, 255, round(1.6 * _SCALE), cv2.LINE_8, 4)
    soft = cv2.GaussianBlur(worn, (0, 0), 0.6 * _SCALE).astype(np.float32) / 255
    image[soft + 0.12 * grain + 0.22 * blotch > 0.62] = _DIRT
    if layout.plaza is not None:
        _draw_plaza(rng, image, layout.plaza, layout.court)
    for rect in filter(None, [*layout.walks]):
        _fill(image, rect, _PAVING)
        for y in np.arange(rect.y0, rect.y1, 1.5):
            _line(image, (rect.x0, y), (rect.x1, y), 0.08, _SEAM)
        for x in (rect.x0, rect.x1):
            _line(image, (x, rect.y0), (x, rect.y1), 0.3, _CONCRETE)
    if layout.lot is not None:
        _draw_lot(image, layout)
    for rect in filter(None, [layout.cross, layout.road]):
        _fill(image, rect, _ASPHALT)
    _draw_markings(image, layout)
    _draw_repairs(rng, image, layout)
    return image


def _draw_plaza(rng: np.random.Generator, image: NDArray[np.uint8], r: Rect, court: bool) -> None:
    _fill(image, r, _PAVING)
    step = float(rng.choice([3.0, 4.5, 6.0]))
    for x in np.arange(r.x0, r.x1, step):
        _line(image, (x, r.y0), (x, r.y1), 0.09, _SEAM)
    for y in np.arange(r.y0, r.y1, step):
        _line(image, (r.x0, y), (r.x1, y), 0.09, _SEAM)
    if court:
        cx, cy = (r.x0 + r.x1) / 2, (r.y0 + r.y1) / 2
        w, h = (r.x1 - r.x0) / 2 - 1.5, (r.y1 - r.y0) / 2 - 2
        inner = Rect(cx - w, cy - h, cx + w, cy + h).corners
        for a, b in zip(inner, inner[1:] + inner[:1], strict=True):
            _line(image, a, b, 0.12, _PAINT)
        _line(image, (cx - w, cy), (cx + w, cy), 0.12, _PAINT)
        # Cut to the court, so that half circles end at its edge.
        low, high = (_texels(np.array([[cx + s * w, cy + s * h]]))[0, 0] for s in (-1, 1))
        inside = image[low[1] // 16 : high[1] // 16, low[0] // 16 : high[0] // 16]
        for y, radius in ((cy, 1.8), (cy - h, 4.5), (cy + h, 4.5)):
            at = _texels(np.array([[cx, y]]))[0, 0] - low
            place, size = (int(at[0]), int(at[1])), round(radius * _SCALE * 16)
            cv2.circle(inside, place, size, _PAINT, 2, cv2.LINE_8, 4)
    for a, b in zip(r.corners, r.corners[1:] + r.corners[:1], strict=True):
        _line(image, a, b, 0.35, _CONCRETE)


def _draw_lot(image: NDArray[np.uint8], layout: Layout) -> None:
    lot = layout.lot
    assert lot is not None
    _fill(image, lot, _ASPHALT)
    for spot in layout.slots:
        for edge in (-1.25, 1.25):
            _line(image, (spot.x - 2.5, spot.y + edge), (spot.x + 2.5, spot.y + edge), 0.1, _PAINT)
    for a, b in zip(lot.corners, lot.corners[1:] + lot.corners[:1], strict=True):
        _line(image, a, b, 0.25, _CONCRETE)


def _draw_markings(image: NDArray[np.uint8], layout: Layout) -> None:
    road = layout.road
    if road is None:
        return
    centre = (road.x0 + road.x1) / 2
    for y in np.arange(road.y0, road.y1, 8.0):
        _line(image, (centre, y), (centre, y + 3.5), 0.14, _PAINT)
    for x in (road.x0 + 0.3, road.x1 - 0.3):
        _line(image, (x, road.y0), (x, road.y1), 0.12, _PAINT)
    if layout.cross is not None:
        _fill(image, Rect(road.x0, layout.cross.y0, road.x1, layout.cross.y1), _ASPHALT)
        for y in (layout.cross.y0 - 3.4, layout.cross.y1 + 0.6):
            for x in np.arange(road.x0 + 0.5, road.x1 - 0.6, 1.0):
                _fill(image, Rect(x, y, x + 0.5, y + 2.8), _PAINT)


def _draw_repairs(rng: np.random.Generator, image: NDArray[np.uint8], layout: Layout) -> None:
    """Cracks, trenches and manholes on paved ground."""
    for _ in range(26):
        x, y = rng.uniform(-PERIOD_M / 2, PERIOD_M / 2, 2)
        if not layout.is_paved(x, y):
            continue
        if rng.random() < 0.4:
            point = _texels(np.array([[x, y]]))[0, 0] // 16
            cv2.circle(image, (int(point[0]), int(point[1])), round(0.35 * _SCALE), _SEAM, -1)
            continue
        steps = rng.normal(0, 0.45, (18, 2)) + rng.normal(0, 0.5, 2)
        crack = _texels(np.cumsum(steps, axis=0) + [x, y])
        cv2.polylines(image, [crack], False, _SEAM, 1, cv2.LINE_8, 4)
