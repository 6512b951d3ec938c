"""Training chips of the second look: small changes of place and scale, strong ones of light."""

from __future__ import annotations

import math

import numpy as np

from windhover_training.config import Augmentation, Range
from windhover_training.data.augment.crops import CropSampler, centred, warp_and_clip_boxes
from windhover_training.data.augment.params import (
    ColourParams,
    ColourView,
    CropParams,
    draw_noise,
)
from windhover_training.data.augment.samples import Sample
from windhover_training.second_look_config import ChipAugmentation


class ChipSampler(CropSampler):
    """Draws augmented chips."""

    def __init__(
        self,
        samples: list[Sample],
        size: int,
        augmentation: ChipAugmentation,
        rng: np.random.Generator,
        scale: Range = (0.8, 1.25),
        empty_weight: float = 0.8,
    ) -> None:
        """See :class:`.CropSampler`; pixels of ``samples`` are ``(H, W, 3)``.

        Args:
            samples: pool, at least one.
            size: chip side in pixels.
            augmentation: ranges and probabilities.
            rng: the only source of randomness.
            scale: range of the factor that chips are enlarged by.
            empty_weight: how often a chip without an object is drawn, beside 1.
        """
        self.change, self.scale, self.empty_weight = augmentation, scale, empty_weight
        super().__init__(samples, size, [1.0], Augmentation(), rng)

    def _weight(self, sample: Sample, flight_images: int) -> float:
        value = 1.0 if (sample.classes >= 0).any() else self.empty_weight
        # A video of 40 equal frames counts as 6.
        return float(value / np.sqrt(flight_images))

    def draw_params(self) -> CropParams:
        """Draw all that decides one chip of three channels."""
        rng, shift = self.rng, self.change.shift
        sample = self._draw_sample()
        low, high = self.scale
        scale = math.exp(rng.uniform(math.log(low), math.log(high)))
        height, width = sample.pixels.shape[:2]
        x, y = (rng.uniform(-shift, shift, 2) / scale).tolist()
        across, along, turned = rng.choice([-1.0, 1.0], 3).tolist()
        matrix = centred(
            scale * across,
            scale * along,
            turned > 0,
            (width / 2 + x, height / 2 + y),
            self.size / 2,
        )
        boxes, classes = warp_and_clip_boxes(sample.boxes, sample.classes, matrix, self.size)
        return CropParams(
            sample=sample,
            size=self.size,
            fill=None,
            rgb=ColourView(matrix, draw_light(self.change, self.size, rng)),
            thermal=None,
            boxes=boxes,
            classes=classes,
        )


def draw_light(a: ChipAugmentation, size: int, rng: np.random.Generator) -> ColourParams:
    """Draw brightness, colour, contrast, sharpness and noise of other cameras and hours.

    Args:
        a: ranges and probabilities.
        size: side of the chip, pixels.
        rng: source of randomness.
    """
    low, high = a.gain
    light = math.exp(rng.uniform(math.log(low), math.log(high)))
    blue, green, red = (light * (1 + rng.uniform(-a.tint, a.tint, 3))).tolist()
    coarse, contrast, grey, blur, noise = rng.random(5).tolist()
    return ColourParams(
        coarse=max(16, int(size * rng.uniform(0.4, 0.9))) if coarse < a.coarse else 0,
        gain=(blue, green, red),
        contrast=float(rng.uniform(0.0, 1.4)) if contrast < a.contrast else 1.0,
        saturation=0.0 if grey < a.grey else 1.0,
        blur=float(rng.uniform(0.4, 1.2)) if blur < a.blur else 0.0,
        noise=draw_noise(float(rng.uniform(0, a.noise_level)), rng) if noise < a.noise else None,
    )
