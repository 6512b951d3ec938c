"""Bodies that move without changing shape: cars, vans and lorries."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from windhover_sim.camera import Floats
from windhover_sim.climate import Climate
from windhover_sim.shapes import (
    FACE_CORNERS,
    SIDES,
    Shape,
    box_faces,
    capsules_to_world,
    face,
    normals,
    to_world,
)

_NO_CAPSULES: Final = np.empty((0, 8))

#: Side profile by kind: length, width, height, bonnet height, then where the
#: windscreen and the rear window start and end along the length (front = +).
_KINDS: Final = {
    "sedan": (4.6, 1.80, 1.45, 0.88, (1.05, 0.30), (-1.05, -1.70)),
    "hatch": (4.0, 1.75, 1.50, 0.90, (0.95, 0.25), (-1.55, -1.95)),
    "suv": (4.7, 1.90, 1.75, 1.05, (1.10, 0.45), (-1.90, -2.30)),
    "van": (5.2, 2.00, 2.10, 1.10, (1.90, 1.30), (-2.55, -2.60)),
}
_ODDS: Final = (0.4, 0.25, 0.25, 0.1)
#: Colours B, G, R of coachwork.
PAINTS: Final = np.array(
    [
        [225, 228, 230],
        [190, 194, 198],
        [120, 122, 126],
        [40, 40, 44],
        [38, 38, 168],
        [140, 76, 36],
        [64, 92, 70],
    ],
    np.float64,
)


@dataclass(frozen=True, slots=True)
class RigidBody:
    """A body that moves without changing shape, in its own frame (x forward).

    Attributes:
        capsules: ``(K, 8)`` body metres.
        faces: ``(F, 12, 3)`` body metres.
        layer: ``(K + F,)`` paint order.
        celsius: ``(K + F,)`` temperature out of the sun.
        bgr: ``(K + F, 3)`` colour facing the light.
        soak: ``(K + F,)`` kelvin that full sun adds to a part.
        entity: ``(K + F,)`` 0 for the machine, 1 for its rider, 2 for who sits behind.
        radius: of a sphere round the body's middle, metres.
        climate: light of the scene.
    """

    capsules: Floats
    faces: Floats
    layer: NDArray[np.int64]
    celsius: NDArray[np.float32]
    bgr: NDArray[np.float32]
    soak: NDArray[np.float32]
    entity: NDArray[np.uint8]
    radius: float
    climate: Climate

    def shape(self, x: float, y: float, heading: float) -> Shape:
        """The body at a place; faces are lit and warmed by where they look."""
        capsules = capsules_to_world(self.capsules, x, y, heading)
        faces = to_world(self.faces, x, y, heading)
        direct_sun = np.full(len(self.layer), 0.5 * self.climate.sunlight)
        sky = np.full(len(self.layer), 0.85)
        if len(faces):
            facing = normals(faces)
            direct_sun[len(capsules) :] = self.climate.direct_sun(facing)
            sky[len(capsules) :] = 0.72 + 0.28 * facing[:, 2]
        light = sky * (1 - 0.45 * self.climate.sunlight) + 0.6 * direct_sun
        return Shape(
            capsules=capsules,
            faces=faces,
            layer=self.layer,
            celsius=self.celsius + self.soak * direct_sun.astype(np.float32),
            bgr=np.clip(self.bgr * light[:, None], 0, 255).astype(np.float32),
            entity=self.entity,
            glossy=True,
        )

    @property
    def riders(self) -> int:
        """How many people sit on it."""
        return int(self.entity.max())


class PartList:
    """Collects faces and capsules with their paint, in paint order."""

    def __init__(self) -> None:
        self.faces: list[Floats] = []
        self.capsules: list[list[float]] = []
        self._face_rows: list[tuple[int, float, Floats, float]] = []
        self._capsule_rows: list[tuple[int, float, Floats, float]] = []
        self._entities: list[int] = []

    def face(self, layer: int, corners: Floats, celsius: float, bgr: Floats, soak: float) -> None:
        """Add a face, ``(12, 3)`` body metres as :func:`face` pads it."""
        self.faces.append(corners)
        self._face_rows.append((layer, celsius, bgr, soak))

    def capsule(
        self, layer: int, ends: list[float], celsius: float, bgr: Floats, entity: int = 0
    ) -> None:
        """Add a capsule: x, y, z, radius of each end."""
        self.capsules.append(ends)
        self._capsule_rows.append((layer, celsius, bgr, 0.0))
        self._entities.append(entity)

    def build(self, radius: float, climate: Climate) -> RigidBody:
        """The body, capsules before faces."""
        rows = self._capsule_rows + self._face_rows
        return RigidBody(
            capsules=np.array(self.capsules) if self.capsules else _NO_CAPSULES,
            faces=np.array(self.faces).reshape(-1, FACE_CORNERS, 3),
            layer=np.array([row[0] for row in rows], np.int64),
            celsius=np.array([row[1] for row in rows], np.float32),
            bgr=np.array([row[2] for row in rows], np.float32),
            soak=np.array([row[3] for row in rows], np.float32),
            entity=np.array(self._entities + [0] * len(self.faces), np.uint8),
            radius=radius,
            climate=climate,
        )


def make_car(rng: np.random.Generator, climate: Climate, engine_warmth: float) -> RigidBody:
    """Draw a car.

    Args:
        rng: random generator.
        climate: weather of the scene.
        engine_warmth: warmth of its engine and tyres, 0 (long parked) to 1 (driving).
    """
    kind = str(rng.choice(list(_KINDS), p=_ODDS))
    length, width, height, belt, screen, rear = _KINDS[kind]
    grow = float(rng.uniform(0.95, 1.06))
    paint = PAINTS[int(rng.integers(len(PAINTS)))] * rng.uniform(0.85, 1.08)
    dark = 1 - float(paint.mean()) / 255
    glass_bgr = np.array([62, 56, 50]) * rng.uniform(0.6, 1.2)
    metal = climate.surface("metal") + float(rng.normal(0, 0.8))
    glass = climate.surface("glass") + float(rng.normal(0, 0.6))
    rubber = climate.surface("rubber") + 14 * engine_warmth
    soak, night = 4 + 16 * dark, climate.phase[0]
    bonnet = metal + engine_warmth * float(rng.uniform(9, 20))
    x1, hw = length / 2, width / 2
    roof_w, z0 = hw * (0.78 if kind != "van" else 0.92), 0.28
    parts = PartList()
    # Sides see the warm ground, the top sees the cold sky.
    side_c = metal + 2.2 * night + 2.0 * engine_warmth
    _lower_body(parts, (x1, hw, z0, belt), (metal, side_c, bonnet), paint, soak)
    _details(parts, (x1, hw, belt), climate, engine_warmth)
    _wheels(parts, (x1, hw), rubber)
    sizes, colours = (hw, roof_w, belt, height), (paint, glass_bgr)
    _cabin(parts, sizes, (screen, rear), (metal, glass), colours, soak)
    body = parts.build(radius=length * grow / 2 + 0.4, climate=climate)
    body.faces[...] *= grow
    body.capsules[...] *= grow
    return body


def _lower_body(
    parts: PartList,
    size: tuple[float, float, float, float],
    warmth: tuple[float, float, float],
    paint: Floats,
    soak: float,
) -> None:
    x1, hw, z0, belt = size
    metal, side_c, bonnet = warmth
    nose = 0.12 * x1
    low, high = belt - 0.16, belt
    plan = [(x1, hw * 0.86), (x1 - nose, hw), (-x1 + nose, hw), (-x1, hw * 0.88)]
    outline = plan + [(x, -y) for x, y in reversed(plan)]
    for (xa, ya), (xb, yb) in pairwise([*outline, outline[0]]):
        warm = bonnet if xa > x1 - nose and xb > x1 - nose else side_c
        za, zb = (high if abs(x) < x1 - 0.01 else low for x in (xa, xb))
        corners = [(xa, ya, z0), (xb, yb, z0), (xb, yb, zb), (xa, ya, za)]
        parts.face(0, face(corners), warm, paint * 0.95, soak)
    front, back = 0.45 * x1, -0.62 * x1
    hood = [(front, -hw), (x1 - nose, -hw), (x1, -hw * 0.86), (x1, hw * 0.86)]
    hood += [(x1 - nose, hw), (front, hw)]
    tops = [(hood, bonnet), ([(back, -hw), (front, -hw), (front, hw), (back, hw)], metal)]
    boot = [(-x1 + nose, -hw), (back, -hw), (back, hw), (-x1 + nose, hw), (-x1, hw * 0.88)]
    tops.append(([*boot, (-x1, -hw * 0.88)], metal))
    for plan_top, warm in tops:
        corners = [(x, y, high if abs(x) < x1 - 0.01 else low) for x, y in plan_top]
        parts.face(2, face(corners), warm, paint, soak)


def _details(
    parts: PartList, size: tuple[float, float, float], climate: Climate, engine_warmth: float
) -> None:
    """Lamps, plates and bumpers: the small contrasts that make a car's ends."""
    x1, hw, belt = size
    warm = climate.air_c + 6 * engine_warmth
    for sign in SIDES:
        y0, y1 = sorted((sign * hw * 0.45, sign * hw * 0.84))
        front = [(x1 + 0.01, y0, 0.55), (x1 + 0.01, y1, 0.55), (x1 + 0.01, y1, 0.72)]
        parts.face(1, face([*front, (x1 + 0.01, y0, 0.72)]), warm, np.array([235, 240, 240]), 2)
        back = [(-x1 - 0.01, y1, 0.6), (-x1 - 0.01, y0, 0.6), (-x1 - 0.01, y0, belt - 0.2)]
        red = np.array([40, 30, 190])
        parts.face(1, face([*back, (-x1 - 0.01, y1, belt - 0.2)]), warm, red, 2)
    # Exhaust and the hot underside near it.
    tail = [-x1 + 0.1, -hw * 0.5, 0.28, 0.06, -x1 - 0.02, -hw * 0.5, 0.28, 0.06]
    parts.capsule(-1, tail, climate.air_c + 1 + 35 * engine_warmth, np.array([60, 60, 60]))


def _wheels(parts: PartList, size: tuple[float, float], rubber: float) -> None:
    x1, hw = size
    angle = np.linspace(0, 2 * math.pi, FACE_CORNERS, endpoint=False)
    for x in (0.62 * x1, -0.60 * x1):
        for sign in SIDES:
            across = np.full(FACE_CORNERS, sign * (hw + 0.01))
            ring = np.column_stack([x + 0.33 * np.cos(angle), across, 0.33 + 0.33 * np.sin(angle)])
            ring = ring[::-1] if sign > 0 else ring
            parts.face(1, ring, rubber, np.array([34, 34, 36]), 3)


def _cabin(
    parts: PartList,
    size: tuple[float, float, float, float],
    spans: tuple[tuple[float, float], tuple[float, float]],
    warmth: tuple[float, float],
    colours: tuple[Floats, Floats],
    soak: float,
) -> None:
    hw, roof_w, belt, height = size
    (screen0, screen1), (rear1, rear0) = spans
    metal, glass = warmth
    paint, glass_bgr = colours
    base_w = hw * 0.94
    corners = {
        "screen": [
            (screen0, -base_w, belt),
            (screen0, base_w, belt),
            (screen1, roof_w, height),
            (screen1, -roof_w, height),
        ],
        "rear": [
            (rear0, base_w, belt),
            (rear0, -base_w, belt),
            (rear1, -roof_w, height),
            (rear1, roof_w, height),
        ],
        "left": [
            (screen0, base_w, belt),
            (rear0, base_w, belt),
            (rear1, roof_w, height),
            (screen1, roof_w, height),
        ],
        "right": [
            (rear0, -base_w, belt),
            (screen0, -base_w, belt),
            (screen1, -roof_w, height),
            (rear1, -roof_w, height),
        ],
        "roof": [
            (rear1, -roof_w, height),
            (screen1, -roof_w, height),
            (screen1, roof_w, height),
            (rear1, roof_w, height),
        ],
    }
    for name, points in corners.items():
        if name == "roof":
            parts.face(6, face(points), metal - 0.5, paint, soak)
            continue
        # The pillar shows round a pane that is drawn smaller on top of it.
        parts.face(3, face(points), metal + 0.8, paint * 0.92, soak)
        pane = np.array(points)
        middle = pane.mean(axis=0)
        pane = middle + (pane - middle) * (0.9 if name in ("screen", "rear") else 0.86)
        parts.face(4, face(pane), glass, glass_bgr, 2.0)


def make_lorry(rng: np.random.Generator, climate: Climate, engine_warmth: float) -> RigidBody:
    """Draw a lorry or a bus, up to 8.5 m long: a cab and a box behind it.

    Args:
        rng: random generator.
        climate: weather of the scene.
        engine_warmth: warmth of its engine and tyres, 0 (long parked) to 1 (driving).
    """
    bus = bool(rng.random() < 0.35)
    half, hw = float(rng.uniform(2.9, 4.2)), float(rng.uniform(1.05, 1.25))
    cab, tall = half - float(rng.uniform(1.5, 2.0)), float(rng.uniform(2.6, 3.4))
    paint = np.clip(PAINTS[int(rng.integers(len(PAINTS)))] * rng.uniform(0.8, 1.1), 0, 255)
    load = paint if bus else np.clip(rng.uniform(90, 235) + rng.normal(0, 25, 3), 20, 245)
    metal = climate.surface("metal") + float(rng.normal(0, 0.8))
    glass, dark = climate.surface("glass"), np.array([62, 56, 50])
    parts = PartList()
    front = half if not bus else cab
    for part in box_faces((front - (half - cab), front), (-hw, hw), (0.5, tall * 0.8)):
        parts.face(0, part, metal + 3 * engine_warmth, paint, 12)
    for part in box_faces((-half, cab if not bus else half), (-hw, hw), (0.6, tall)):
        parts.face(1, part, metal, load, 10)
    high, low = tall * 0.72, tall * 0.45
    screen = [(half + 0.01, -hw * 0.9, low), (half + 0.01, hw * 0.9, low)]
    screen += [(half + 0.01, hw * 0.9, high), (half + 0.01, -hw * 0.9, high)]
    parts.face(2, face(screen), glass, dark, 2)
    _wheels(parts, (half, hw), climate.surface("rubber") + 14 * engine_warmth)
    return parts.build(radius=half + 0.6, climate=climate)
