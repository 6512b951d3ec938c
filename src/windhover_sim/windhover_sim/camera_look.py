"""What a camera's own processing makes of a picture: tones, colours, edges, compression.

Real pictures come through an image signal processor and a codec. Each make has its own
curve, sharpening and bit rate, and a network that has seen one look alone reads it as part
of the objects.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class CameraLook:
    """One camera's processing.

    Attributes:
        curve: ``(256, 3)`` uint8, output by input and channel B, G, R.
        saturation: 1 leaves colours as they are, 0 is grey.
        sharpening: share of the unsharp mask that is added.
        quality: of JPEG, 1 to 100.
    """

    curve: NDArray[np.uint8]
    saturation: float
    sharpening: float
    quality: int

    @classmethod
    def draw(cls, rng: np.random.Generator, variety: float) -> CameraLook:
        """Draw a look.

        Args:
            rng: random generator.
            variety: how far from a plain camera, 0 to 1.
        """
        gamma = float(np.exp(variety * rng.normal(0, 0.28)))
        contrast = float(np.exp(variety * rng.normal(0.1, 0.25)))
        level = variety * float(rng.normal(0, 12))
        balance = np.exp(variety * rng.normal(0, 0.07, 3))
        tone = 255 * (np.arange(256) / 255) ** gamma
        tone = 75 + (tone - 75) * contrast + level
        curve = np.clip(tone[:, None] * balance, 0, 255).astype(np.uint8)
        return cls(
            curve=curve,
            saturation=float(np.clip(1 + variety * rng.normal(0, 0.35), 0.2, 1.8)),
            sharpening=variety * float(rng.choice([0.0, rng.uniform(0.3, 1.6)])),
            quality=round(95 - variety * float(rng.uniform(0, 60))),
        )

    def apply(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """``(H, W, 3)`` uint8 BGR to the same."""
        out = np.asarray(cv2.LUT(image, self.curve[None]), np.uint8)
        grey = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        out = np.asarray(cv2.addWeighted(out, self.saturation, grey, 1 - self.saturation, 0))
        if self.sharpening:
            soft = cv2.GaussianBlur(out, (0, 0), 1.0)
            share = self.sharpening
            out = np.asarray(cv2.addWeighted(out, 1 + share, soft, -share, 0), np.uint8)
        done, data = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, self.quality])
        assert done, "OpenCV encodes JPEG"
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
