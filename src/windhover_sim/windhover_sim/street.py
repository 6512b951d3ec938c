"""Things on the ground that are nothing to be found and look like something.

From 40 m a bin is as tall and as wide as a person, a parasol hides one, and a pile of
blocks has the outline of a car.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from windhover_sim.camera import Floats
from windhover_sim.climate import Climate
from windhover_sim.clutter import capsule_body, face_body
from windhover_sim.layout import Spot
from windhover_sim.shapes import Shape, box_faces, capsules_to_world, face, to_world

#: Colours B, G, R of bins, barriers and signs.
_BRIGHT: Final = np.array(
    [[40, 40, 200], [40, 150, 60], [170, 90, 30], [30, 180, 220], [210, 214, 216], [52, 54, 56]]
)


def street_shape(spot: Spot, climate: Climate, rng: np.random.Generator) -> Shape:
    """Draw one thing at a place: most often a bin or a post."""
    kinds = list(_KINDS)
    kind = str(rng.choice(kinds, p=[_KINDS[each][0] for each in kinds]))
    return _KINDS[kind][1](spot, climate, rng)


def _posts(spot: Spot, climate: Climate, rng: np.random.Generator) -> Shape:
    """Bollards, in a row."""
    step, tall = float(rng.uniform(1.2, 2.0)), float(rng.uniform(0.6, 1.1))
    rows = [[i * step, 0, 0, 0.08, i * step, 0, tall, 0.08] for i in range(int(rng.integers(1, 6)))]
    return _capsules(np.array(rows, float), spot, climate, rng)


def _barrel(spot: Spot, climate: Climate, rng: np.random.Generator) -> Shape:
    """A round bin or a barrel, as wide and nearly as tall as a person."""
    r, h = float(rng.uniform(0.22, 0.4)), float(rng.uniform(0.7, 1.25))
    return _capsules(np.array([[0, 0, 0.1, r, 0, 0, h - r / 2, r]]), spot, climate, rng)


def _cone(spot: Spot, climate: Climate, rng: np.random.Generator) -> Shape:
    rows = np.array([[0, 0, 0.05, 0.2, 0, 0, 0.15, 0.14], [0, 0, 0.15, 0.14, 0, 0, 0.7, 0.04]])
    shape = _capsules(rows, spot, climate, rng)
    shape.bgr[:] = [30, 90, 235]
    return shape


def _sign(spot: Spot, climate: Climate, rng: np.random.Generator) -> Shape:
    """A board on a post, seen on edge from above."""
    rows = np.array([[0, 0, 0, 0.04, 0, 0, 2.3, 0.04], [0, -0.25, 2.1, 0.28, 0, 0.25, 2.1, 0.28]])
    return _capsules(rows, spot, climate, rng)


def _blocks(spot: Spot, climate: Climate, rng: np.random.Generator) -> Shape:
    """A pile of blocks, pallets or crates: up to the size of a car."""
    boxes = []
    for _ in range(int(rng.integers(1, 6))):
        x, y = rng.normal(0, 0.9, 2)
        w, d, h = rng.uniform([0.4, 0.4, 0.3], [1.8, 1.3, 1.3])
        boxes.append(((x - w / 2, x + w / 2), (y - d / 2, y + d / 2), (0.0, float(h))))
    return _boxes(boxes, spot, climate, rng)


def _stairs(spot: Spot, climate: Climate, rng: np.random.Generator) -> Shape:
    wide, count = float(rng.uniform(1.5, 5)), int(rng.integers(3, 9))
    boxes = [
        ((0.32 * i, 0.32 * count), (-wide / 2, wide / 2), (0.16 * i, 0.16 * i + 0.16))
        for i in range(count)
    ]
    return _boxes(boxes, spot, climate, rng, bright=False)


def _bench(spot: Spot, climate: Climate, rng: np.random.Generator) -> Shape:
    boxes = [((-0.25, 0.2), (-0.8, 0.8), (0.4, 0.46)), ((-0.3, -0.25), (-0.8, 0.8), (0.46, 0.9))]
    return _boxes(boxes, spot, climate, rng, bright=False)


def _roof(spot: Spot, climate: Climate, rng: np.random.Generator) -> Shape:
    """A parasol or the roof of a tent or a stall."""
    radius, tall = float(rng.uniform(0.9, 2.4)), float(rng.uniform(2.0, 2.8))
    corners = int(rng.choice([4, 8]))
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    ring = np.column_stack([radius * np.cos(angle), radius * np.sin(angle), np.full(corners, tall)])
    top = np.array([0, 0, tall + 0.25 * radius])
    sides = [face(np.array([ring[i], ring[(i + 1) % corners], top])) for i in range(corners)]
    colour = _bright(rng, 0.7)
    warm = climate.air_c + float(rng.uniform(0, 3))
    rows = [(1, warm, colour * (0.8 if i % 2 else 1.0), 14.0) for i in range(corners)]
    return face_body(to_world(np.array(sides), spot.x, spot.y, spot.heading), rows, climate)


def _bright(rng: np.random.Generator, least: float) -> Floats:
    """A bright colour, B, G, R, worn down to ``least`` of itself at most."""
    return np.asarray(_BRIGHT[int(rng.integers(len(_BRIGHT)))] * rng.uniform(least, 1.1))


def _capsules(rows: Floats, spot: Spot, climate: Climate, rng: np.random.Generator) -> Shape:
    colour = _bright(rng, 0.5)
    warm = climate.surface(str(rng.choice(["metal", "concrete", "wall"])))
    warm += float(rng.choice([0.0, 0.0, 5.0])) + 6 * climate.sunlight
    return capsule_body(
        capsules_to_world(rows, spot.x, spot.y, spot.heading),
        np.full(len(rows), warm),
        np.repeat(np.clip(colour, 0, 255)[None], len(rows), axis=0),
    )


def _boxes(
    boxes: list[tuple[tuple[float, float], tuple[float, float], tuple[float, float]]],
    spot: Spot,
    climate: Climate,
    rng: np.random.Generator,
    *,
    bright: bool = True,
) -> Shape:
    faces, rows = [], []
    warm = climate.surface(str(rng.choice(["concrete", "wall", "metal"])))
    for box in boxes:
        colour = np.repeat(rng.uniform(70, 200), 3) + rng.normal(0, 12, 3)
        if bright and rng.random() < 0.5:
            colour = _bright(rng, 0.6)
        faces += box_faces(*box)
        rows += [(0, warm + float(rng.normal(0, 0.8)), colour, 7.0)] * 5
    return face_body(to_world(np.array(faces), spot.x, spot.y, spot.heading), rows, climate)


_KINDS: Final[dict[str, tuple[float, Callable[[Spot, Climate, np.random.Generator], Shape]]]] = {
    "posts": (0.2, _posts),
    "barrel": (0.24, _barrel),
    "cone": (0.1, _cone),
    "sign": (0.1, _sign),
    "blocks": (0.16, _blocks),
    "stairs": (0.05, _stairs),
    "bench": (0.08, _bench),
    "roof": (0.07, _roof),
}
