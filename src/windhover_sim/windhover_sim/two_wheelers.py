"""Motorcycles, scooters and bicycles with their riders."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Final

import numpy as np

from windhover_sim.camera import Floats
from windhover_sim.climate import Climate
from windhover_sim.shapes import FACE_CORNERS, SIDES, box_faces, face
from windhover_sim.vehicles import PAINTS, PartList, RigidBody

_DARK: Final = np.array([36.0, 36.0, 38.0])


@dataclass(frozen=True, slots=True)
class _Panel:
    """A part of a machine that is as wide as it is drawn, seen from the side.

    Attributes:
        profile: corners x, z of a convex outline, anticlockwise with the front to the right.
        half_width: metres.
        paint: one of ``paint``, ``dark``, ``steel``, ``glass``, ``engine``.
    """

    profile: tuple[tuple[float, float], ...]
    half_width: float
    paint: str


#: What is seen of each kind of machine, front to the right, metres.
_SCOOTER: Final = (
    _Panel(((-0.05, 0.26), (0.45, 0.26), (0.45, 0.33), (-0.05, 0.33)), 0.17, "dark"),
    _Panel(((0.42, 0.26), (0.6, 0.5), (0.5, 0.98), (0.4, 0.95)), 0.22, "paint"),
    _Panel(((-0.85, 0.42), (-0.05, 0.3), (0.02, 0.72), (-0.8, 0.78)), 0.18, "paint"),
    _Panel(((-0.78, 0.78), (0.02, 0.72), (0.0, 0.84), (-0.74, 0.9)), 0.15, "dark"),
)
_STANDARD: Final = (
    _Panel(((-0.22, 0.22), (0.3, 0.22), (0.32, 0.62), (-0.22, 0.66)), 0.17, "engine"),
    _Panel(((0.0, 0.72), (0.45, 0.7), (0.5, 0.92), (0.1, 0.98)), 0.15, "paint"),
    _Panel(((-0.75, 0.74), (0.05, 0.72), (0.05, 0.82), (-0.72, 0.88)), 0.13, "dark"),
    _Panel(((-0.98, 0.72), (-0.6, 0.66), (-0.6, 0.78), (-0.95, 0.84)), 0.1, "paint"),
)
_SPORT: Final = (
    _Panel(((-0.2, 0.25), (0.4, 0.25), (0.5, 0.6), (-0.2, 0.68)), 0.19, "paint"),
    _Panel(((0.35, 0.62), (0.82, 0.66), (0.66, 0.98), (0.35, 0.92)), 0.2, "paint"),
    _Panel(((0.44, 0.94), (0.66, 0.96), (0.46, 1.16), (0.42, 1.14)), 0.16, "glass"),
    _Panel(((-0.02, 0.74), (0.38, 0.7), (0.38, 0.92), (0.05, 0.97)), 0.16, "paint"),
    _Panel(((-0.4, 0.74), (0.0, 0.72), (0.0, 0.82), (-0.4, 0.84)), 0.14, "dark"),
    _Panel(((-0.98, 0.92), (-0.38, 0.72), (-0.4, 0.86), (-0.94, 1.0)), 0.11, "paint"),
)
_CRUISER: Final = (
    _Panel(((-0.3, 0.2), (0.3, 0.2), (0.3, 0.6), (-0.3, 0.6)), 0.2, "engine"),
    _Panel(((0.0, 0.68), (0.5, 0.72), (0.55, 0.9), (0.05, 0.88)), 0.17, "paint"),
    _Panel(((-0.8, 0.62), (0.05, 0.64), (0.02, 0.74), (-0.8, 0.8)), 0.17, "dark"),
    _Panel(((-1.05, 0.35), (-0.6, 0.3), (-0.6, 0.62), (-1.0, 0.64)), 0.3, "dark"),
)


@dataclass(frozen=True, slots=True)
class _Machine:
    """A kind of motorcycle: how often it is drawn, and its sizes in metres.

    Attributes:
        odds: of all kinds, which sum to 1.
        wheelbase: between the axles.
        wheel_radius: of both wheels.
        handlebar: half of its width.
        panels: bodywork.
    """

    odds: float
    wheelbase: float
    wheel_radius: float
    handlebar: float
    panels: tuple[_Panel, ...]


_MACHINES: Final = (
    _Machine(0.45, 1.26, 0.24, 0.32, _SCOOTER),
    _Machine(0.3, 1.36, 0.31, 0.38, _STANDARD),
    _Machine(0.15, 1.38, 0.31, 0.3, _SPORT),
    _Machine(0.1, 1.56, 0.33, 0.44, _CRUISER),
)


def make_motorcycle(rng: np.random.Generator, climate: Climate, ridden: bool) -> RigidBody:
    """Draw a motorcycle or scooter, with its rider when it is ridden."""
    hot = float(rng.uniform(0.6, 1.0)) if ridden else float(rng.choice([0.0, 0.0, 0.5]))
    paint = PAINTS[int(rng.integers(len(PAINTS)))] * rng.uniform(0.7, 1.0)
    metal = climate.surface("metal")
    rubber = climate.surface("rubber") + 10 * hot
    grow = float(rng.uniform(0.92, 1.08))
    dark = _DARK
    parts = PartList()
    add = parts.capsule
    for x in (0.68, -0.66):
        # Two short thick strokes across a ring read as a narrow wheel from any side.
        for turn in np.arange(0, math.pi, math.pi / 3):
            dx, dz = 0.25 * math.cos(turn), 0.25 * math.sin(turn)
            add(0, [x - dx, 0, 0.31 - dz, 0.065, x + dx, 0, 0.31 + dz, 0.065], rubber, dark)
    add(0, [0.68, 0, 0.35, 0.05, 0.42, 0, 0.95, 0.045], metal + 1, dark * 2)
    add(0, [0.2, 0, 0.42, 0.17, -0.15, 0, 0.42, 0.16], climate.air_c + 3 + 42 * hot, dark * 1.6)
    add(0, [0.1, -0.16, 0.3, 0.05, -0.7, -0.18, 0.42, 0.06], climate.air_c + 2 + 30 * hot, dark * 3)
    add(0, [0.35, 0, 0.82, 0.14, 0.02, 0, 0.78, 0.12], metal + 3 * hot, paint)
    add(0, [-0.05, 0, 0.76, 0.11, -0.72, 0, 0.82, 0.09], climate.air_c + 4 * hot, dark)
    add(0, [0.36, 0.36, 1.0, 0.025, 0.36, -0.36, 1.0, 0.025], metal + 1, dark * 1.5)
    add(0, [0.55, 0, 0.85, 0.09, 0.5, 0, 0.9, 0.09], climate.air_c + 10 * hot, paint)
    if ridden:
        _rider(parts, rng, climate)
    body = parts.build(radius=1.5 * grow, climate=climate)
    body.capsules[...] *= grow
    return body


def make_panelled_motorcycle(rng: np.random.Generator, climate: Climate, ridden: bool) -> RigidBody:
    """Draw a scooter or a motorcycle with bodywork, wheels, lamps, mirrors and luggage.

    From 40 m its tank, seat, shield and top case are a few pixels each, which is what tells
    it from a bicycle and from a person.
    """
    kind = rng.choice(len(_MACHINES), p=[machine.odds for machine in _MACHINES])
    machine = _MACHINES[int(kind)]
    base, radius, bar = machine.wheelbase, machine.wheel_radius, machine.handlebar
    hot = float(rng.uniform(0.6, 1.0)) if ridden else float(rng.choice([0.0, 0.0, 0.5]))
    paint = PAINTS[int(rng.integers(len(PAINTS)))] * rng.uniform(0.7, 1.1)
    metal, air = climate.surface("metal"), climate.air_c
    surfaces = {
        "paint": (metal + 2 * hot, paint, 12.0),
        "dark": (air + 3 * hot, _DARK * rng.uniform(0.7, 1.6), 14.0),
        "steel": (metal + 1, np.array([150.0, 154, 158]), 4.0),
        "glass": (climate.surface("glass"), np.array([120.0, 116, 108]), 2.0),
        "engine": (air + 4 + 40 * hot, np.array([92.0, 94, 98]), 4.0),
    }
    parts = PartList()
    rubber = climate.surface("rubber") + 10 * hot
    for x in (base / 2, -base / 2):
        _wheel(parts, x, radius, rubber)
        guard = [x - 0.5 * radius, 0, 1.9 * radius, 0.06, x + 0.6 * radius, 0, 1.8 * radius, 0.05]
        parts.capsule(0, guard, *surfaces["paint"][:2])
    for panel in machine.panels:
        _extrude(parts, panel, surfaces[panel.paint])
    steel, dark = surfaces["steel"], surfaces["dark"]
    parts.capsule(0, [base / 2, 0, radius, 0.05, 0.42, 0, 0.98, 0.04], *steel[:2])
    parts.capsule(
        0, [0.1, -0.18, 0.28, 0.05, -0.75, -0.2, 0.4, 0.06], air + 2 + 30 * hot, _DARK * 3
    )
    parts.capsule(0, [0.38, bar, 1.02, 0.025, 0.38, -bar, 1.02, 0.025], *dark[:2])
    lamp = np.array([225.0, 235, 238])
    parts.capsule(0, [0.58, 0, 0.84, 0.08, 0.62, 0, 0.84, 0.07], air + 8 * hot, lamp)
    parts.capsule(0, [-0.92, 0, 0.74, 0.05, -0.94, 0, 0.74, 0.04], air, np.array([40.0, 30, 190]))
    for side in SIDES if rng.random() < 0.7 else ():
        mirror = [0.44, 0.75 * bar * side, 1.16, 0.04, 0.44, (0.75 * bar + 0.1) * side, 1.17, 0.04]
        parts.capsule(0, mirror, *dark[:2])
    if rng.random() < 0.3:
        _top_case(parts, rng, metal)
    if ridden:
        _rider(parts, rng, climate, bare=bool(rng.random() < 0.4))
    grow = float(rng.uniform(0.9, 1.1))
    body = parts.build(radius=1.7 * grow, climate=climate)
    body.capsules[...] *= grow
    body.faces[...] *= grow
    return body


def _top_case(parts: PartList, rng: np.random.Generator, metal: float) -> None:
    """Luggage or a courier's box behind the seat."""
    wide, tall = float(rng.uniform(0.18, 0.27)), float(rng.uniform(0.25, 0.5))
    colour = np.clip(rng.uniform(20, 230) + rng.normal(0, 50, 3), 12, 245)
    for part in box_faces((-1.05, -0.6), (-wide, wide), (0.88, 0.88 + tall)):
        parts.face(0, part, metal, colour, 8.0)


def _wheel(parts: PartList, x: float, radius: float, rubber: float) -> None:
    """A tyre with its tread, and a hub on either side."""
    angle = np.linspace(0, 2 * math.pi, FACE_CORNERS, endpoint=False)
    ring = [(x + radius * math.cos(a), radius + radius * math.sin(a)) for a in angle]
    _extrude(parts, _Panel(tuple(ring), 0.055, "dark"), (rubber, _DARK, 3.0))
    hub = [(x + 0.6 * radius * math.cos(a), radius + 0.6 * radius * math.sin(a)) for a in angle]
    for side in SIDES:
        disc = np.array([(a, 0.056 * side, b) for a, b in (hub if side < 0 else hub[::-1])])
        parts.face(1, disc, rubber - 1, np.array([96.0, 98, 100]), 3.0)


def _extrude(parts: PartList, panel: _Panel, surface: tuple[float, Floats, float]) -> None:
    """Both sides of a panel, and the strips between them."""
    warm, colour, soak = surface
    w = panel.half_width
    right = [(x, -w, z) for x, z in panel.profile]
    left = [(x, w, z) for x, z in panel.profile]
    parts.face(0, face(right), warm, colour, soak)
    parts.face(0, face(left[::-1]), warm, colour, soak)
    for a, b in pairwise(range(-1, len(right))):
        parts.face(0, face([right[a], left[a], left[b], right[b]]), warm, colour, soak)


def make_bicycle(rng: np.random.Generator, climate: Climate, ridden: bool) -> RigidBody:
    """Draw a bicycle, with its rider when it is ridden."""
    paint = PAINTS[int(rng.integers(len(PAINTS)))] * rng.uniform(0.6, 1.0)
    metal, rubber = climate.surface("metal"), climate.air_c + 1.0
    dark = np.array([42, 42, 44])
    parts = PartList()
    add = parts.capsule
    angle = np.linspace(0, 2 * math.pi, 9)
    for x in (0.52, -0.52):
        for a, b in pairwise(angle):
            ends = [(x + 0.33 * math.cos(t), 0.35 + 0.33 * math.sin(t)) for t in (a, b)]
            (x0, z0), (x1, z1) = ends
            add(0, [x0, 0, z0, 0.022, x1, 0, z1, 0.022], rubber, dark)
    saddle, crank, head = (-0.2, 0.9), (-0.05, 0.3), (0.38, 0.88)
    tubes = [(saddle, crank), (crank, head), (saddle, head), (crank, (-0.52, 0.35))]
    tubes += [(saddle, (-0.52, 0.35)), (head, (0.52, 0.35))]
    for (x0, z0), (x1, z1) in tubes:
        add(0, [x0, 0, z0, 0.02, x1, 0, z1, 0.02], metal, paint)
    add(0, [-0.3, 0, 0.94, 0.06, -0.12, 0, 0.94, 0.035], climate.air_c, dark)
    add(0, [0.4, 0.28, 1.0, 0.018, 0.4, -0.28, 1.0, 0.018], metal, dark * 1.5)
    if ridden:
        _rider(parts, rng, climate, passenger=False)
    return parts.build(radius=1.4, climate=climate)


def _rider(
    parts: PartList,
    rng: np.random.Generator,
    climate: Climate,
    *,
    passenger: bool = True,
    bare: bool = False,
) -> None:
    """Who sits on it; ``bare`` without a helmet."""
    top_c = climate.cloth(float(rng.uniform(0.3, 0.8)))
    legs_c = climate.cloth(float(rng.uniform(0.3, 0.7)))
    top = np.clip(rng.uniform(25, 210) + rng.normal(0, 40, 3), 12, 240)
    legs = np.clip(rng.uniform(20, 120) + rng.normal(0, 12, 3), 10, 200)
    helmet = np.clip(rng.uniform(20, 230) + rng.normal(0, 40, 3), 12, 245)
    add = partial(parts.capsule, 0, entity=1)
    add([-0.25, 0, 0.95, 0.15, -0.02, 0, 1.38, 0.16], top_c, top)
    add([0.0, 0.18, 1.4, 0.08, 0.0, -0.18, 1.4, 0.08], top_c + 0.3, top)
    if bare:
        skin = np.array([118, 148, 196]) * rng.uniform(0.45, 1.1)
        add([0.08, 0, 1.57, 0.09, 0.08, 0, 1.6, 0.095], climate.skin(), skin)
        add([0.05, 0, 1.61, 0.1, 0.06, 0, 1.64, 0.095], climate.cloth(0.25, 0.9), skin * 0.2)
    else:
        add([0.06, 0, 1.6, 0.135, 0.1, 0, 1.63, 0.13], climate.cloth(0.75), helmet)
    if passenger and rng.random() < 0.25:
        behind = partial(parts.capsule, 0, entity=2)
        behind([-0.55, 0, 0.95, 0.15, -0.42, 0, 1.36, 0.16], top_c - 0.8, legs * 1.2)
        behind([-0.38, 0, 1.58, 0.12, -0.36, 0, 1.62, 0.12], climate.cloth(0.5), helmet * 0.7)
    for side in SIDES:
        shoulder, elbow, hand = (0.0, 0.2, 1.38), (0.2, 0.34, 1.16), (0.38, 0.32, 1.02)
        for a, b, r, warm in ((shoulder, elbow, 0.055, top_c), (elbow, hand, 0.045, top_c - 0.6)):
            ends = [a[0], a[1] * side, a[2], r, b[0], b[1] * side, b[2], r * 0.85]
            add(ends, warm, top * 0.95)
        hip, knee, foot = (-0.2, 0.12, 0.88), (0.2, 0.24, 0.72), (0.0, 0.24, 0.34)
        for a, b, r, warm in ((hip, knee, 0.09, legs_c), (knee, foot, 0.065, legs_c - 0.7)):
            ends = [a[0], a[1] * side, a[2], r, b[0], b[1] * side, b[2], r * 0.8]
            add(ends, warm, legs)
