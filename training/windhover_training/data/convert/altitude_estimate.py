"""An altitude from the sizes of boxes: a rough estimate, and marked as one wherever it is used.

People and cars are of known size, so how large they look tells how far they are; the
camera's angle then tells the height. The ground is taken to be level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_BOXES = 5  # fewer than this tell nothing: one may be a child, a lorry or half hidden
_MIN_DEPRESSION = np.deg2rad(10.0)  # nearer the horizon a pixel is many metres

# Metres. A person's depth is that of a walking one seen from the side or the front.
_PERSON_HEIGHT, _PERSON_DEPTH = 1.7, 0.5
_CAR_LENGTH, _CAR_WIDTH, _CAR_HEIGHT = 4.5, 1.8, 1.5


@dataclass(frozen=True, slots=True)
class CameraView:
    """How a set's camera sees the ground.

    Attributes:
        hfov_deg: horizontal field of view, degrees.
        pitch_deg: how far the camera points down; 90 is straight down.
    """

    hfov_deg: float
    pitch_deg: float


def estimate_altitude(
    boxes: NDArray[np.float64],
    people: NDArray[np.bool_],
    size: tuple[int, int],
    lens: CameraView,
    pitch_deg: NDArray[np.float64] | None = None,
) -> tuple[float, float] | None:
    """Estimate the height of a flight, or of any frames taken from about one height.

    Args:
        boxes: ``(N, 4)`` left, top, width, height in pixels, of people and cars.
        people: ``(N,)`` bool: a person; a car otherwise.
        size: ``(width, height)`` of the images in pixels.
        lens: of the camera.
        pitch_deg: ``(N,)`` the camera's pitch at each box, where it is known better.

    Returns:
        Metres above ground: the median over boxes, and half the range between quartiles.
        ``None`` if fewer than :data:`MIN_BOXES` boxes tell anything.
    """
    width, height = size
    focal = width / 2 / np.tan(np.deg2rad(lens.hfov_deg) / 2)
    left, top, w, h = boxes.T
    pitch = np.deg2rad(np.full(len(boxes), lens.pitch_deg) if pitch_deg is None else pitch_deg)
    down = pitch + np.arctan((top + h / 2 - height / 2) / focal)
    whole = (left > 0) & (top > 0) & (left + w < width) & (top + h < height)
    usable = whole & (down > _MIN_DEPRESSION) & (down < np.pi - _MIN_DEPRESSION)
    if usable.sum() < MIN_BOXES:
        return None
    sine, cosine = np.sin(down), np.abs(np.cos(down))
    # A car stands at any angle to the camera: the mean of its outline over all of them.
    across = (_CAR_LENGTH + _CAR_WIDTH) * 2 / np.pi
    car = np.sqrt(across * (across * sine + _CAR_HEIGHT * cosine))
    person = _PERSON_HEIGHT * cosine + _PERSON_DEPTH * sine
    seen = np.where(people, h, np.sqrt(w * h))
    away = focal * np.where(people, person, car) / seen
    low, middle, high = np.percentile((away * sine)[usable], (25, 50, 75))
    return float(middle), float(high - low) / 2
