"""Long things that people carry: weapons of the truth, and what looks like them.

Every item is a line from a grip to its far end, held in one of ``people.CARRY_POSES``: a
broom at the port differs from a rifle at the port by its outline and colours alone, which
is what a detector has to learn.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from windhover_sim.camera import Floats
from windhover_sim.climate import Climate
from windhover_sim.kinds import WEAPON_KINDS
from windhover_sim.shapes import face

#: Shortest and longest length in metres, and how it may be held.
_ITEMS: Final[dict[str, tuple[float, float, tuple[str, ...]]]] = {
    "rifle": (0.85, 1.08, ("port", "port", "aim", "trail", "slung")),
    "shotgun": (0.95, 1.22, ("port", "port", "aim", "trail", "slung")),
    "pistol": (0.2, 0.26, ("aim", "aim", "trail")),
    "umbrella": (0.95, 1.1, ("raised",)),
    "closed_umbrella": (0.7, 0.95, ("trail", "trail", "port")),
    "stick": (0.8, 1.3, ("port", "trail", "slung")),
    "shovel": (1.0, 1.5, ("port", "trail", "slung")),
    "phone": (0.14, 0.17, ("port", "aim")),
    "long_bag": (0.8, 1.2, ("slung", "slung", "trail")),
    "pipe": (0.8, 1.6, ("port", "trail")),
}
_UMBRELLA_M: Final = 0.52


def grips(kind: str, posture: str, carry: str) -> dict[float, Floats] | None:
    """Where the left (1) and the right (-1) hand grip the item, ``(3,)`` metres each.

    ``None`` where the arms hang free.
    """
    if carry == "slung":
        return None
    if carry == "raised":
        hand = np.array([0.22, -0.12, 1.12 + _height_offset(posture)])
        return {1.0: np.array([0.08, 0.27, 0.82 + _height_offset(posture)]), -1.0: hand}
    grip, direction = _line(posture, carry)
    if carry == "trail":
        return {1.0: np.array([0.08, 0.27, 0.82]) + [0, 0, grip[2] - 0.8], -1.0: grip}
    if kind in ("pistol", "phone"):
        # Both hands meet at an object as short as these.
        return {1.0: grip + np.array([0.0, 0.05, -0.02]), -1.0: grip}
    return {1.0: grip + 0.34 * direction, -1.0: grip}


def carried_parts(kind: str, posture: str, carry: str, length: float) -> Floats:
    """``(P, 8)`` capsules of an item on a standing figure of 1.75 m.

    Args:
        kind: one of ``WEAPON_KINDS`` or ``LOOKALIKES``.
        posture: of who carries it.
        carry: how.
        length: metres, over the figure's stature.
    """
    if kind == "rifle":
        parts = _rifle(posture, carry, length)
    elif carry == "raised":
        hand = np.array([0.22, -0.12, 1.12 + _height_offset(posture)])
        top = np.array([0.12, -0.03, 2.02 + _height_offset(posture)])
        parts = np.array([[*hand, 0.015, *top, 0.015]])
    else:
        parts = _along(kind, posture, carry, length)
    return _rifle_to_prone(parts) if posture == "prone" else parts


def canopy(posture: str) -> Floats:
    """``(1, 12, 3)`` the cloth of an open umbrella over a standing figure of 1.75 m."""
    angle = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    ring = np.column_stack(
        [
            0.12 + _UMBRELLA_M * np.cos(angle),
            -0.03 + _UMBRELLA_M * np.sin(angle),
            np.full(8, 2.0 + _height_offset(posture)),
        ]
    )
    return face(ring)[None]


def item_surface(
    kind: str, rng: np.random.Generator, climate: Climate
) -> tuple[float, str, NDArray[np.float32], NDArray[np.float32]]:
    """Draw an item at random: length in metres, hold, and each part's temperature and colour."""
    low, high, holds = _ITEMS[kind]
    length, hold = float(rng.uniform(low, high)), str(rng.choice(holds))
    bgr = _colours(kind, rng)
    steel = climate.surface("metal")
    # As a rifle is: near the air's warmth, its metal cooled by the sky; cloth and wood less so.
    metal = 0.5 * (steel + climate.air_c) + float(rng.uniform(0, 5))
    cloth = climate.cloth(0.9, 1 - float(bgr.mean()) / 255)
    warm = {"umbrella": cloth, "closed_umbrella": cloth, "long_bag": cloth}.get(kind, metal)
    if kind == "phone":
        warm = climate.air_c + float(rng.uniform(4, 14))
    celsius = warm + rng.normal(0, 0.9 + 1.6 * climate.sunlight, len(bgr))
    return length, hold, celsius.astype(np.float32), np.clip(bgr, 0, 255).astype(np.float32)


def _colours(kind: str, rng: np.random.Generator) -> Floats:
    """``(P, 3)`` colour of each part, in the order of the capsules, then the canopy."""
    dark = np.array([34.0, 34.0, 36.0])
    wood = np.array([38.0, 62.0, 98.0]) * rng.uniform(0.7, 1.8)
    cloth = np.clip(rng.uniform(20, 215) + rng.normal(0, 34, 3), 10, 245)
    if kind in WEAPON_KINDS:
        stock = wood if rng.random() < 0.5 else dark
        count = {"rifle": 5, "shotgun": 4, "pistol": 2}[kind]
        steel = dark * rng.uniform(0.8, 1.8)
        return np.array([steel, steel, stock, stock, stock][:count])
    grey = np.full(3, rng.uniform(60, 220)) + rng.normal(0, 12, 3)
    blade = np.array([90.0, 92.0, 96.0]) * rng.uniform(0.5, 1.6)
    rows = {
        "umbrella": [dark, cloth],
        "closed_umbrella": [cloth, dark],
        "shovel": [wood, blade],
        "pipe": [grey],
        "phone": [dark * rng.uniform(0.6, 3.0)],
        "long_bag": [cloth],
        "stick": [wood],
    }
    return np.array(rows[kind])


def _along(kind: str, posture: str, carry: str, length: float) -> Floats:
    grip, d = _line(posture, carry)
    butt, tip = grip - 0.34 * length * d, grip + 0.66 * length * d
    if kind == "shotgun":
        hand = grip + 0.34 * length * d
        rows = [
            [*hand, 0.021, *tip, 0.019],
            [*(grip - 0.05 * d), 0.036, *(grip + 0.14 * d), 0.032],
            [*butt, 0.05, *(grip - 0.05 * d), 0.03],
            [*(grip + 0.16 * d), 0.032, *hand, 0.03],
        ]
    elif kind == "pistol":
        down = np.array([0.0, 0.0, -0.1]) if abs(d[2]) < 0.7 else np.array([-0.1, 0.0, 0.0])
        rows = [
            [*grip, 0.024, *(grip + length * d), 0.02],
            [*grip, 0.024, *(grip + down), 0.024],
        ]
    elif kind == "shovel":
        rows = [
            [*butt, 0.018, *(tip - 0.25 * d), 0.018],
            [*(tip - 0.2 * d), 0.1, *tip, 0.07],
        ]
    elif kind == "closed_umbrella":
        rows = [
            [*grip, 0.045, *(grip + 0.8 * length * d), 0.02],
            [*(grip - 0.2 * length * d), 0.018, *grip, 0.018],
        ]
    else:
        radius = {"phone": 0.04, "long_bag": 0.12, "pipe": 0.025}.get(kind, 0.02)
        start = grip if kind == "phone" else butt
        end = grip + length * d if kind == "phone" else tip
        rows = [[*start, radius, *end, radius * 0.85]]
    return np.array(rows)


def _height_offset(posture: str) -> float:
    """Height of the upper body over that of a standing figure, metres (negative)."""
    return {"crouch": -0.38, "sit": -0.46}.get(posture, 0.0)


def _line(posture: str, carry: str) -> tuple[Floats, Floats]:
    """A point of the grip and the unit direction to the muzzle, standing figure."""
    at = {
        "port": ([0.27, -0.14, 1.05], [0.10, 0.72, 0.62]),
        "aim": ([0.34, -0.12, 1.40], [1.0, 0.10, 0.0]),
        "trail": ([0.05, -0.30, 0.80], [0.97, 0.0, 0.14]),
        "slung": ([-0.20, 0.02, 1.12], [0.05, -0.45, 0.85]),
    }[carry]
    direction = np.array(at[1]) / np.linalg.norm(at[1])
    return np.array(at[0]) + [0.0, 0.0, _height_offset(posture)], direction


def _rifle(posture: str, carry: str, length: float) -> Floats:
    """``(5, 8)`` capsules: barrel, receiver, stock, magazine, handguard."""
    grip, d = _line(posture, carry)
    up = np.cross(d, np.cross([0.0, 0.0, 1.0], d))
    up = up / max(float(np.linalg.norm(up)), 1e-6)
    butt, muzzle = grip - 0.34 * length * d, grip + 0.66 * length * d
    hand = grip + 0.36 * length * d
    return np.array(
        [
            [*hand, 0.016, *muzzle, 0.013],
            [*(grip - 0.06 * d), 0.036, *(grip + 0.16 * d), 0.032],
            [*butt, 0.045, *(grip - 0.05 * d), 0.028],
            [*(grip + 0.1 * d - 0.04 * up), 0.024, *(grip + 0.14 * d - 0.2 * up), 0.022],
            [*(grip + 0.16 * d), 0.027, *hand, 0.022],
        ]
    )


def _rifle_to_prone(parts: Floats) -> Floats:
    """Move a shouldered rifle ahead of a prone figure's head."""
    ends = parts.reshape(-1, 2, 4).copy()
    ends[..., 0] += 0.55
    ends[..., 2] -= 1.40 - 0.24
    return ends.reshape(-1, 8)
