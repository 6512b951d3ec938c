"""Sun, air and surface temperatures at an hour of the day.

Surface temperatures are offsets from the air that follow the daily course
measured for urban materials: asphalt and roofs peak some 15-25 K over the air
in early afternoon and stay a few kelvin over it at night, turf stays within a
few kelvin by day and falls below it on a clear night, and metal that faces a
clear sky radiates to below air temperature. That last one is why parked cars
are dark in thermal images taken at night (Gade & Moeslund, "Thermal cameras
and applications: a survey", Machine Vision and Applications 25, 2014).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

#: Offsets from the air in kelvin: night, day, dusk.
OFFSETS: Final[dict[str, tuple[float, float, float]]] = {
    "grass": (-2.6, 3.0, -0.6),
    "asphalt": (2.6, 11.5, 6.0),
    "paving": (1.6, 8.5, 4.0),
    "concrete": (2.2, 7.5, 4.0),
    "dirt": (-0.8, 9.0, 2.0),
    "paint": (1.8, 8.0, 4.2),
    "seam": (0.4, 6.5, 2.5),
    "foliage": (-0.9, 0.0, -0.3),
    "bark": (0.5, 3.0, 1.5),
    "wall": (1.5, 6.0, 5.0),
    "window": (3.0, 1.0, 2.5),
    "roof": (-3.0, 18.0, 3.0),
    "metal": (-3.5, 10.0, 0.5),
    "glass": (-5.0, 2.0, -2.0),
    "rubber": (0.5, 12.0, 4.0),
    "lamp": (9.0, 6.0, 8.0),
}
_HOURS: Final = (0.0, 5.5, 13.0, 16.0, 19.5, 22.0, 24.0)
_WEIGHTS: Final = np.array(
    [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0.85, 0.15], [0, 0, 1], [0.8, 0, 0.2], [1, 0, 0]]
)
_AIR: Final = (11.0, 23.0, 18.0)
_SKIN_C: Final = 33.5


@dataclass(frozen=True, slots=True)
class Climate:
    """The weather of one clip.

    Attributes:
        air_c: air temperature, degrees Celsius.
        phase: weights of night, day and dusk, summing to 1.
        sun: ``(3,)`` unit vector from the ground to the sun; z may be negative.
        sunlight: direct light, 0 (night or overcast) to 1.
        daylight: all light, 0.02 at night to 1.
        contrast: how far surface temperatures differ from the air's; low under
            cloud or after wind, 1 in the clear and calm.
        shadow: how dark shadows are, 1 as a rule.
    """

    air_c: float
    phase: tuple[float, float, float]
    sun: NDArray[np.float64]
    sunlight: float
    daylight: float
    contrast: float = 1.0
    shadow: float = 1.0

    @classmethod
    def at(cls, hour: float, rng: np.random.Generator) -> Climate:
        """Weather at an hour, its cloud and warmth drawn from ``rng``."""
        weights = [float(np.interp(hour, _HOURS, column)) for column in _WEIGHTS.T]
        total = sum(weights)
        night, day, dusk = (weight / total for weight in weights)
        elevation = math.radians(58) * math.sin(math.pi * (hour - 5.5) / 14.5)
        azimuth = float(rng.uniform(0, 2 * math.pi))
        clear = float(rng.choice([0.15, 0.7, 1.0], p=[0.25, 0.25, 0.5]))
        air = night * _AIR[0] + day * _AIR[1] + dusk * _AIR[2] + float(rng.normal(0, 4))
        height = math.sin(elevation)
        sun = np.array(
            [math.cos(elevation) * math.cos(azimuth), math.cos(elevation) * math.sin(azimuth)]
            + [height]
        )
        sunlight = clear * float(np.clip(height / 0.25, 0, 1))
        daylight = float(np.clip(0.02 + 1.6 * max(height, 0) + 0.35 * dusk, 0, 1))
        contrast = float(rng.uniform(0.6, 1.15)) * (0.6 + 0.4 * clear)
        return cls(air, (night, day, dusk), sun, sunlight, daylight, contrast)

    def varied(self, rng: np.random.Generator, variety: float) -> Climate:
        """Another climate at the same hour.

        The sun stands anywhere from 12 to 80 degrees, as it does at other latitudes and
        seasons; shadows are darker, and days so hot that the ground is warmer than people.

        Args:
            rng: random generator.
            variety: how far it may differ, 0 to 1.
        """
        day = self.phase[1]
        elevation, change = math.radians(float(rng.uniform(12, 80))), rng.random() < variety
        heat, dark, spread = rng.random(3) * variety
        sun, sunlight = self.sun, self.sunlight
        if day > 0.5 and change:
            flat = sun[:2] / max(float(np.hypot(*sun[:2])), 1e-9) * math.cos(elevation)
            sun, sunlight = np.append(flat, math.sin(elevation)), float(rng.choice([0.5, 1.0]))
        return replace(
            self,
            air_c=self.air_c + 13 * day * heat,
            sun=sun,
            sunlight=sunlight,
            contrast=self.contrast * (1 + 0.6 * spread),
            shadow=1 + 0.4 * dark,
        )

    def surface(self, material: str) -> float:
        """Temperature of a material in the open, degrees Celsius."""
        return self.air_c + self.contrast * float(np.dot(self.phase, OFFSETS[material]))

    def darkened(self, share: float) -> float:
        """Share of the light that a shadow takes, from what it takes as a rule."""
        return min(share * self.shadow, 0.9)

    def direct_sun(self, normals: NDArray[np.float64]) -> NDArray[np.float64]:
        """Direct sun on faces, 0..1, from ``(N, 3)`` unit normals."""
        return self.sunlight * np.clip(normals @ self.sun, 0, None)

    def skin(self) -> float:
        """Bare skin, degrees Celsius: cools a little with the air."""
        return _SKIN_C - 0.12 * max(0.0, 24.0 - self.air_c)

    def cloth(self, insulation: float, darkness: float = 0.5) -> float:
        """Outer face of clothing: between the skin and the air, warmed by sun.

        Args:
            insulation: 0 (thin, near the skin's warmth) to 1 (thick, near the air's).
            darkness: 0 (white) to 1 (black, which takes up most sun).
        """
        share = 0.44 - 0.3 * insulation
        return self.air_c + share * (self.skin() - self.air_c) + 14 * darkness * self.sunlight

    @property
    def casts_shadows(self) -> bool:
        """Whether the sun is high and clear enough to draw shadows."""
        return self.sunlight > 0.05 and self.sun[2] > 0.1
