"""Training chips of the second look: small changes of place and scale, strong ones of light."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import DataError
from windhover_training.config import Augmentation, Range
from windhover_training.data.augment.crops import Crop, CropSampler, Sample, warp_and_clip_boxes
from windhover_training.data.readers.pictures import Reader, load_pictures
from windhover_training.second_look_config import ChipAugmentation


def load_chips(root: Path, splits: Sequence[str], labels: Sequence[str]) -> list[Sample]:
    """Read splits of a set of chips into memory (77 kB a chip of 160 px).

    Raises:
        DataError: a split is missing, damaged or has no chip.
    """
    pictures = load_pictures(root, splits, 3, labels, may_be_empty=True)
    if not pictures:
        raise DataError(f"{root}: {', '.join(splits)} list no chips; render or cut them first")
    read = Reader(3, keep=1)
    return [Sample(read(each), each.boxes, each.classes, each.flight) for each in pictures]


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

    def draw(self) -> Crop:
        """Draw one chip: ``(size, size, 3)`` uint8, boxes and classes."""
        rng = self.rng
        sample = self.samples[int(np.searchsorted(self.cumulative, rng.random()))]
        low, high = self.scale
        scale = math.exp(rng.uniform(math.log(low), math.log(high)))
        matrix = self._chip_matrix(sample, scale)
        warped = cv2.warpAffine(
            sample.pixels,
            matrix,
            (self.size, self.size),
            flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        boxes, classes = warp_and_clip_boxes(sample.boxes, sample.classes, matrix, self.size)
        return change_light(np.asarray(warped, np.uint8), self.change, rng), boxes, classes

    def _chip_matrix(self, sample: Sample, scale: float) -> NDArray[np.float64]:
        rng, shift = self.rng, self.change.shift
        height, width = sample.pixels.shape[:2]
        centre = np.array([width, height]) / 2 + rng.uniform(-shift, shift, 2) / scale
        linear = np.diag(scale * rng.choice([-1.0, 1.0], 2))
        if rng.random() < 0.5:
            linear = np.array([[0.0, 1.0], [1.0, 0.0]]) @ linear
        # Boxes measure from the pixel's outer corner, warpAffine from its centre: shift by half.
        offset = self.size / 2 - linear @ centre
        return np.hstack([linear, (offset + linear @ (0.5, 0.5) - 0.5)[:, None]])


def change_light(
    chip: NDArray[np.uint8], a: ChipAugmentation, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Change brightness, colour, contrast, sharpness and noise as other cameras and hours would.

    Args:
        chip: ``(S, S, 3)`` uint8.
        a: ranges and probabilities.
        rng: source of randomness.

    Returns:
        ``(S, S, 3)`` uint8.
    """
    if rng.random() < a.coarse:
        side = max(16, int(chip.shape[0] * rng.uniform(0.4, 0.9)))
        small = cv2.resize(chip, (side, side), interpolation=cv2.INTER_AREA)
        chip = np.asarray(cv2.resize(small, chip.shape[:2], interpolation=cv2.INTER_LINEAR))
    x = chip.astype(np.float32)
    low, high = a.gain
    x *= math.exp(rng.uniform(math.log(low), math.log(high)))
    x *= 1 + rng.uniform(-a.tint, a.tint, 3).astype(np.float32)
    if rng.random() < a.contrast:
        mean = x.mean()
        x = mean + (x - mean) * np.float32(rng.uniform(0.0, 1.4))
    if rng.random() < a.grey:
        x = np.repeat(x.mean(axis=2, keepdims=True), 3, axis=2)
    if rng.random() < a.blur:
        x = np.asarray(cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 1.2)), np.float32)
    if rng.random() < a.noise:
        level = np.float32(rng.uniform(0, a.noise_level))
        x = x + rng.standard_normal(x.shape, np.float32) * level
    return np.asarray(x.clip(0, 255).round(), np.uint8)
