"""Static objects that hide others: trees, bushes, buildings, lamp posts, boxes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from windhover_sim.camera import NEAR_M, Floats
from windhover_sim.climate import Climate
from windhover_sim.layout import Building, Spot, Tree
from windhover_sim.noise import fractal_noise
from windhover_sim.paint import Canvas
from windhover_sim.shapes import (
    FACE_CORNERS,
    Covering,
    Shape,
    box_faces,
    capsules_to_world,
    face,
    normals,
    to_world,
)
from windhover_sim.textures import Cover

_SPRITE: Final = 128
_PANE: Final = np.array([70.0, 62.0, 52.0])
#: Brighter than white in full light: it shines where all else is dark.
_LAMPLIGHT: Final = np.array([330.0, 560.0, 700.0])
_KINDS: Final = 8
_NO_FACES: Final = np.empty((0, FACE_CORNERS, 3))
_NO_CAPSULES: Final = np.empty((0, 8))


@dataclass(frozen=True, slots=True)
class Sprite:
    """A crown seen from the side the camera is on.

    Attributes:
        alpha: ``(128, 128)`` float32 coverage.
        tone: ``(128, 128)`` float32, 0 (deep shade) to 1 (lit leaf), times alpha.
    """

    alpha: NDArray[np.float32]
    tone: NDArray[np.float32]


class TreePainter:
    """Crowns of trees and bushes as sprites that face the camera."""

    def __init__(self, rng: np.random.Generator, climate: Climate) -> None:
        self._climate = climate
        grain = fractal_noise(rng, 256, 16, 256, 0.5)
        self._leafy = [_crown(rng, grain) for _ in range(_KINDS)]
        self._bare = [_branches(rng) for _ in range(3)]
        self._green = np.array([44, 88, 72]) + rng.normal(0, [6, 9, 10], (_KINDS, 3))
        self._kelvin = rng.normal(0, 0.6, _KINDS)

    def paint(self, canvas: Canvas, tree: Tree, thermal: bool) -> None:
        """Paint one crown onto a thermal (Celsius) or colour canvas."""
        middle = np.array([tree.x, tree.y, tree.height])
        pixel, depth = canvas.camera.project(middle)
        if depth < NEAR_M:
            return
        scale = canvas.camera.intrinsics.focal / float(depth)
        # A crown is an upright egg: how tall it looks depends on the view's tilt.
        down = abs(float(canvas.camera.rotation[2, 2]))
        tall = tree.radius * math.hypot(down, 1.15 * math.sqrt(max(0.0, 1 - down * down)))
        half = np.array([tree.radius, tall]) * scale * 1.1
        low, high = np.floor(pixel - half).astype(int), np.ceil(pixel + half).astype(int)
        lens = canvas.camera.intrinsics
        if high.min() <= 0 or low[0] >= lens.width or low[1] >= lens.height or half.min() < 1:
            return
        if (high - low).max() > 2 * lens.width:
            return
        sprite = self._bare[tree.kind % 3] if tree.bare else self._leafy[tree.kind % _KINDS]
        alpha, tone = (
            _resize_into(part, pixel, half, low, high) for part in (sprite.alpha, sprite.tone)
        )
        canvas.draw_sprite(
            alpha, self._value(tree, alpha, tone, thermal), (int(low[0]), int(low[1]))
        )

    def _value(
        self, tree: Tree, alpha: NDArray[np.float32], tone: NDArray[np.float32], thermal: bool
    ) -> NDArray[np.float32]:
        climate = self._climate
        if thermal:
            base = climate.surface("bark" if tree.bare else "foliage")
            base += float(self._kelvin[tree.kind % _KINDS])
            swing = 2.6 + 3.5 * climate.sunlight
            return np.asarray(alpha * base + (tone - 0.5 * alpha) * swing, np.float32)
        colour = np.array([70, 80, 92]) if tree.bare else self._green[tree.kind % _KINDS]
        light = 0.45 * alpha + (0.5 + 0.7 * climate.sunlight) * tone
        return np.asarray(light[..., None] * colour, np.float32)


def _resize_into(
    part: NDArray[np.float32], pixel: Floats, half: Floats, low: Floats, high: Floats
) -> NDArray[np.float32]:
    """Scale a sprite onto the whole pixels ``low`` to ``high``."""
    while part.shape[0] > 3.0 * half.max() and part.shape[0] > 16:
        small = cv2.resize(part, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        part = np.asarray(small, np.float32)
    gain = part.shape[0] / (2 * half)
    start = (low + 0.5 - pixel + half) * gain - 0.5
    to_sprite = np.array([[gain[0], 0, start[0]], [0, gain[1], start[1]]])
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(part, to_sprite, size, flags=flags), np.float32)


def _crown(rng: np.random.Generator, grain: NDArray[np.float32]) -> Sprite:
    """Clumps of leaves, the outer and lower ones first, lit from above."""
    alpha = np.zeros((_SPRITE, _SPRITE), np.float32)
    tone = np.zeros_like(alpha)
    count = 150
    angle, share = rng.uniform(0, 2 * np.pi, count), np.sqrt(rng.uniform(0, 1, count))
    x, y = 64 + 47 * share * np.cos(angle), 64 + 47 * share * np.sin(angle)
    height = np.sqrt(1 - 0.95 * share**2) - 0.35 * (y - 64) / 64 + rng.normal(0, 0.18, count)
    for index in np.argsort(height):
        centre = (round(x[index]), round(y[index]))
        radius = int(rng.integers(5, 13))
        cv2.circle(alpha, centre, radius, 1.0, -1, cv2.LINE_AA)
        light = float(np.clip(0.22 + 0.5 * height[index] + rng.normal(0, 0.1), 0.02, 1))
        cv2.circle(tone, centre, radius, light, -1, cv2.LINE_AA)
    shift = int(rng.integers(0, 128))
    leaf = grain[shift : shift + _SPRITE, shift : shift + _SPRITE]
    tone = np.clip(cv2.GaussianBlur(tone, (0, 0), 1.2) + 0.13 * leaf, 0, 1)
    soft = cv2.GaussianBlur(alpha, (0, 0), 1.5)
    alpha = np.clip((soft + 0.28 * leaf - 0.35) * 4, 0, 1).astype(np.float32)
    return Sprite(alpha, np.asarray(tone * alpha, np.float32))


def _branches(rng: np.random.Generator) -> Sprite:
    """A leafless crown: forks of ever thinner strokes."""
    alpha = np.zeros((_SPRITE, _SPRITE), np.float32)
    twigs = [(64.0, 118.0, -math.pi / 2, 26.0, 3.0)]
    while twigs:
        x, y, angle, length, width = twigs.pop()
        x1, y1 = x + length * math.cos(angle), y + length * math.sin(angle)
        ends = (round(x * 8), round(y * 8)), (round(x1 * 8), round(y1 * 8))
        cv2.line(alpha, *ends, 0.9, max(1, round(width)), cv2.LINE_AA, 3)
        if length < 5:
            continue
        for _ in range(int(rng.integers(2, 4))):
            turn = angle + float(rng.normal(0, 0.55))
            twigs.append((x1, y1, turn, length * float(rng.uniform(0.6, 0.85)), width * 0.65))
    return Sprite(alpha, np.asarray(alpha * 0.6, np.float32))


def building_shape(
    building: Building,
    climate: Climate,
    rng: np.random.Generator,
    lit_windows: float = 0.0,
    covers: tuple[Cover, Cover] | None = None,
) -> Shape:
    """Walls with rows of windows, a parapet and plant on the roof.

    Args:
        building: its place and height.
        climate: weather.
        rng: random generator.
        lit_windows: share of windows with light behind them by night.
        covers: pictures of its walls and of its roof.
    """
    r, h = building.footprint, building.height
    walls = box_faces((r.x0, r.x1), (r.y0, r.y1), (0.0, h))
    wall_bgr = np.array([150, 168, 182]) * (0.55 + 0.5 * building.tone)
    roof_bgr = np.array([104, 106, 112]) * (0.7 + 0.6 * rng.random())
    rows = [(2, climate.surface("roof"), roof_bgr, 0.0)]
    rows += [(0, climate.surface("wall"), wall_bgr, 5.0)] * 4
    faces = list(walls)
    for pane in _windows(building):
        lit = float(rng.normal(0, 1.3))
        faces.append(pane)
        shines = lit_windows and climate.daylight < 0.3 and rng.random() < lit_windows
        pane_bgr = _LAMPLIGHT if shines else _PANE
        rows.append((1, climate.surface("window") + lit, pane_bgr, 1.0))
    for _ in range(int(rng.integers(2, 6))):
        x, y = rng.uniform(r.x0 + 1, r.x1 - 2), rng.uniform(r.y0 + 1, r.y1 - 2)
        size = float(rng.uniform(0.6, 1.4))
        warm = climate.air_c + float(rng.uniform(-2, 9))
        for part in box_faces((x, x + size), (y, y + size), (h, h + 0.8)):
            faces.append(part)
            rows.append((3, warm, np.array([170, 174, 176]), 4.0))
    shape = face_body(np.array(faces), rows, climate)
    if covers is None:
        return shape
    parts = np.zeros(len(faces), np.int64)
    parts[: len(walls)] = [2, 1, 1, 1, 1]
    return replace(shape, covering=Covering(covers, parts, (r.x0 % 7, r.y0 % 7)))


def _windows(building: Building) -> list[Floats]:
    r, h = building.footprint, building.height
    panes: list[Floats] = []
    levels = max(1, int(h // 3))
    for level in range(levels):
        z0 = 0.9 + 3.0 * level
        for x in np.arange(r.x0 + 1.2, r.x1 - 1.6, 3.0):
            low, high = r.y0 - 0.01, r.y1 + 0.01
            panes.append(_pane((x, low), (x + 1.3, low), z0))
            panes.append(_pane((x + 1.3, high), (x, high), z0))
        for y in np.arange(r.y0 + 1.2, r.y1 - 1.6, 3.0):
            left, right = r.x0 - 0.01, r.x1 + 0.01
            panes.append(_pane((left, y + 1.3), (left, y), z0))
            panes.append(_pane((right, y), (right, y + 1.3), z0))
    return panes


def _pane(a: tuple[float, float], b: tuple[float, float], z0: float) -> Floats:
    return face([(*a, z0), (*b, z0), (*b, z0 + 1.4), (*a, z0 + 1.4)])


def lamp_shape(spot: Spot, climate: Climate) -> Shape:
    """A post 6 m tall with an arm; its head is warm at night."""
    post = np.array(
        [
            [0, 0, 0, 0.09, 0, 0, 6.0, 0.06],
            [0, 0, 6.0, 0.05, 1.6, 0, 6.3, 0.05],
            [1.5, 0, 6.3, 0.12, 2.0, 0, 6.3, 0.1],
        ]
    )
    steel, head = climate.surface("metal") + 2, climate.surface("lamp")
    return capsule_body(
        capsules_to_world(post, spot.x, spot.y, spot.heading),
        [steel, steel, head],
        [[120, 122, 124], [120, 122, 124], [210, 214, 216]],
    )


def box_shape(spot: Spot, climate: Climate, rng: np.random.Generator) -> Shape:
    """A bench, bin or cabinet: a small box, at times a warm one."""
    w, d, h = rng.uniform([0.4, 0.3, 0.4], [1.7, 0.7, 1.2])
    faces = to_world(
        np.array(box_faces((-w / 2, w / 2), (-d / 2, d / 2), (0.0, h))),
        spot.x,
        spot.y,
        spot.heading,
    )
    warm = climate.surface(str(rng.choice(["metal", "concrete", "wall"])))
    warm += float(rng.choice([0.0, 0.0, 6.0]))
    bgr = np.clip(rng.uniform(50, 190) + rng.normal(0, 20, 3), 0, 255)
    return face_body(faces, [(0, warm, bgr, 6.0)] * 5, climate)


def trunk_shape(tree: Tree, climate: Climate) -> Shape:
    """The stem below a crown."""
    radius = 0.05 + 0.05 * tree.radius
    stem = np.array([[tree.x, tree.y, 0, radius, tree.x, tree.y, tree.height, radius * 0.7]])
    return capsule_body(stem, [climate.surface("bark")], [[58, 68, 84]])


def crown_points(tree: Tree) -> Floats:
    """``(N, 3)`` points round a crown, for its shadow."""
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    rings = [(0.85, -0.5), (1.0, 0.0), (0.85, 0.5), (0.4, 1.0)]
    points = [
        np.column_stack(
            [
                tree.x + share * tree.radius * np.cos(angle),
                tree.y + share * tree.radius * np.sin(angle),
                np.full(12, max(tree.height + rise * tree.radius, 0.0)),
            ]
        )
        for share, rise in rings
    ]
    return np.concatenate(points)


def capsule_body(capsules: Floats, celsius: ArrayLike, bgr: ArrayLike) -> Shape:
    """A static body of capsules.

    Args:
        capsules: ``(K, 8)`` world metres.
        celsius: ``(K,)`` temperature of each.
        bgr: ``(K, 3)`` colour of each, 0..255.
    """
    return Shape(
        capsules=capsules,
        faces=_NO_FACES,
        layer=np.zeros(len(capsules), np.int64),
        celsius=np.asarray(celsius, np.float32),
        bgr=np.asarray(bgr, np.float32),
        entity=np.zeros(len(capsules), np.uint8),
    )


def face_body(
    faces: Floats, rows: list[tuple[int, float, Floats, float]], climate: Climate
) -> Shape:
    """A static body of faces, each lit and warmed according to its normal.

    Args:
        faces: ``(F, 12, 3)`` world metres.
        rows: paint order, degrees Celsius, colour B, G, R and kelvin that full sun adds, of each.
        climate: weather.
    """
    facing = normals(faces)
    direct_sun = climate.direct_sun(facing)
    light = (0.72 + 0.28 * facing[:, 2]) * (1 - 0.45 * climate.sunlight) + 0.6 * direct_sun
    layer, celsius, bgr, soak = zip(*rows, strict=True)
    return Shape(
        capsules=_NO_CAPSULES,
        faces=faces,
        layer=np.array(layer, np.int64),
        celsius=(np.array(celsius) + np.array(soak) * direct_sun).astype(np.float32),
        bgr=_lit(np.array(bgr), light),
        entity=np.zeros(len(faces), np.uint8),
    )


def _lit(bgr: Floats, light: Floats) -> NDArray[np.float32]:
    """``(N, 3)`` colours under ``(N,)`` light; what shines by itself stays as it is."""
    shines = bgr.max(axis=1, keepdims=True) > 255
    return np.where(shines, bgr, np.clip(bgr * light[:, None], 0, 255)).astype(np.float32)
