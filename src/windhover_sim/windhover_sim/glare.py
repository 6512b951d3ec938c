"""Light that blinds a colour camera: glints, headlamps, bloom and a veil from a low sun.

Long-wave infrared cameras see none of it, so it is drawn for the colour camera alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover_sim.bands import row_bands
from windhover_sim.camera import NEAR_M, Camera, Floats
from windhover_sim.climate import Climate
from windhover_sim.shapes import Shape, normals

#: How narrow a mirrored sun is on sheet metal, and how bright, 255 being white.
_GLINT_POWER: Final = 50
_GLINT: Final = 900.0
#: Blur of what is too bright, shares of the picture's width, and how much of it spreads so.
_BLOOM: Final = ((0.002, 0.35), (0.012, 0.25))
_HEADLAMP: Final = np.array([430.0, 520.0, 560.0], np.float32)


@dataclass(frozen=True, slots=True)
class Glare:
    """How much one camera's lens scatters.

    Attributes:
        bloom: share of the light over white that spreads.
        veil: brightness that a low sun adds at the edge nearest to it, 0..255.
        ghosts: ``(G, 3)`` place on the line from that edge through the middle (0 middle,
            1 the far edge), radius as a share of the width, brightness.
    """

    bloom: float
    veil: float
    ghosts: Floats

    @classmethod
    def draw(cls, rng: np.random.Generator, variety: float) -> Glare:
        """Draw a lens; ``variety`` 0 to 1 is how bad it may be."""
        count = int(rng.integers(1, 5)) if rng.random() < 0.3 * variety else 0
        ghosts = rng.uniform([-0.8, 0.01, 6], [0.9, 0.05, 40], (count, 3))
        veil = float(rng.exponential(30)) if rng.random() < 0.5 * variety else 0.0
        return cls(variety * float(rng.uniform(0.3, 1)), min(veil, 110.0), ghosts)

    def add(self, image: NDArray[np.float32], camera: Camera, climate: Climate) -> None:
        """Add what the lens scatters to ``(H, W, 3)`` ideal colour, in place."""
        self._spread(image)
        if self.veil and climate.sunlight > 0:
            self._add_veil(image, camera, climate)

    def _spread(self, image: NDArray[np.float32]) -> None:
        # A quarter of the size is fine enough for light that is spread, and fast.
        small = cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
        over = np.maximum(np.asarray(small, np.float32) - 255, 0)
        if not over.any():
            return
        height, width = image.shape[:2]
        spread = np.zeros_like(over)
        for share, gain in _BLOOM:
            sigma = max(share * width / 4, 0.7)
            wide = np.asarray(cv2.GaussianBlur(over, (0, 0), sigma), np.float32)
            # A small source stays visible when it is spread: its light is a disc, not a point.
            spread += np.float32(gain * self.bloom * (1 + sigma)) * wide
        image += np.asarray(cv2.resize(spread, (width, height)), np.float32)

    def _add_veil(self, image: NDArray[np.float32], camera: Camera, climate: Climate) -> None:
        right, down, forward = (float(v) for v in camera.rotation @ climate.sun)
        # Behind the lens or high over it, its hood holds the sun off.
        strength = self.veil * climate.sunlight * float(np.clip(forward + 0.55, 0, 1))
        if strength < 1:
            return
        aside = np.array([right, down]) / max(float(np.hypot(right, down)), 1e-6)
        height, width = image.shape[:2]
        x = (np.arange(width, dtype=np.float32) / width - 0.5)[None]
        y = ((np.arange(height, dtype=np.float32) - height / 2) / width)[:, None]
        for rows in row_bands(height):
            near = np.clip(0.5 + aside[0] * x + aside[1] * y[rows], 0, 1.2)
            image[rows] += (strength * near**2)[..., None] * np.array([0.92, 0.98, 1.0], np.float32)
        if len(self.ghosts):
            self._add_ghosts(image, aside, strength)

    def _add_ghosts(self, image: NDArray[np.float32], aside: Floats, strength: float) -> None:
        height, width = image.shape[:2]
        glow = np.zeros((height, width), np.float32)
        for place, radius, light in self.ghosts:
            centre = (np.array([width, height]) / 2 - aside * place * width / 2).astype(int)
            disc = np.zeros_like(glow)
            cv2.circle(disc, centre.tolist(), max(int(radius * width), 2), 1.0, -1, cv2.LINE_AA)
            glow += np.asarray(light * strength / 60 * disc, np.float32)
        image += glow[..., None] * np.array([0.8, 1.0, 0.7], np.float32)


def glints(shape: Shape, camera: Camera, climate: Climate) -> NDArray[np.float32]:
    """``(K + F, 3)`` light that the parts of a glossy body mirror into a camera."""
    out = np.zeros((len(shape.layer), 3), np.float32)
    if not len(shape.faces) or climate.sunlight <= 0:
        return out
    toward = camera.position - shape.faces.mean(axis=1)
    toward /= np.linalg.norm(toward, axis=1, keepdims=True)
    half = toward + climate.sun
    half /= np.maximum(np.linalg.norm(half, axis=1, keepdims=True), 1e-9)
    shine = np.clip((normals(shape.faces) * half).sum(axis=1), 0, 1) ** _GLINT_POWER
    out[len(shape.capsules) :] = (_GLINT * climate.sunlight * shine)[:, None]
    return out


def add_headlamps(image: NDArray[np.float32], camera: Camera, at: Floats, ahead: Floats) -> None:
    """Light two lamps of a vehicle that drives by night, in place.

    Args:
        image: ``(H, W, 3)`` ideal colour.
        camera: that sees it.
        at: ``(2, 3)`` world, the lamps, metres.
        ahead: ``(3,)`` unit vector that the vehicle faces.
    """
    pixels, depth = camera.project(at)
    if (depth < NEAR_M).any():
        return
    toward = camera.position - at.mean(axis=0)
    # Lamps are shaded at their back and least bright from above.
    facing = float(np.clip(toward @ ahead / np.linalg.norm(toward) + 0.35, 0, 1))
    height, width = image.shape[:2]
    for (x, y), far in zip(pixels.tolist(), depth.tolist(), strict=True):
        size = max(0.12 * camera.intrinsics.focal / far, 0.7)
        reach = int(np.ceil(4 * size))
        x0, y0 = max(int(x) - reach, 0), max(int(y) - reach, 0)
        x1, y1 = min(int(x) + reach + 1, width), min(int(y) + reach + 1, height)
        if x0 >= x1 or y0 >= y1:
            continue
        dx, dy = np.arange(x0, x1) + 0.5 - x, np.arange(y0, y1) + 0.5 - y
        spot = np.exp(-(dx[None] ** 2 + dy[:, None] ** 2) / (2 * size**2)).astype(np.float32)
        image[y0:y1, x0:x1] += facing * spot[..., None] * 3 * _HEADLAMP
