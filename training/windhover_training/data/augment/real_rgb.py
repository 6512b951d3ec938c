"""Training crops of real RGB pictures, for a network that also takes thermal.

Thermal is blank, or put together of other pictures (:mod:`.other_camera`).

A set may label a few classes only; nothing is judged of the others. Pictures from the ground
show people far larger than a drone does, so they are made small and laid side by side.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from windhover.imaging.letterbox import FILL
from windhover_training.config import Range
from windhover_training.data.augment.crops import draw_intensity, warp_and_clip_boxes
from windhover_training.data.augment.other_camera import OtherCamera, both_cameras
from windhover_training.data.augment.params import ColourView, CropParams
from windhover_training.data.augment.rgbt_crops import RgbtSampler, blank_level, draw_colour
from windhover_training.data.augment.samples import Sample, add_unlabelled
from windhover_training.fusion_config import RgbtAugmentation

#: An object of a picture that was made small is judged from this height, pixels, and where
#: at least this share of it is in view.
LEAST_HEIGHT, LEAST_SHARE = 9.0, 0.5


class RealRgbSampler(RgbtSampler):
    """Draws four-channel crops from real RGB pictures."""

    def __init__(
        self,
        samples: list[Sample],
        size: int,
        class_weights: list[float],
        augmentation: RgbtAugmentation,
        rng: np.random.Generator,
        unlabelled: Sequence[int] = (),
        mosaic: Range | None = None,
        thermal: tuple[OtherCamera, float] | None = None,
    ) -> None:
        """See :class:`.RgbtSampler`; pixels of ``samples`` are ``(H, W, 3)``.

        Args:
            samples: pool, at least one.
            size: crop side in pixels.
            class_weights: how strongly pictures with each class are drawn.
            augmentation: ranges and probabilities; what concerns thermal is left out.
            rng: the only source of randomness.
            unlabelled: classes that the pictures may show without a box.
            mosaic: heights of rows of whole pictures, pixels; None shows them as they are.
            thermal: makes thermal for a share of the crops; without it all have none.
        """
        super().__init__(samples, size, class_weights, augmentation, rng)
        self.unlabelled, self.mosaic, self.thermal = tuple(unlabelled), mosaic, thermal

    def draw_params(self) -> CropParams:
        """Draw all that decides one crop.

        A class that is not labelled has a box over all that is not judged.
        """
        rng = self.rng
        if self.mosaic is not None:
            sample, scale = compose(self.samples, self.size, self.mosaic, rng), 1.0
        else:
            sample, scale = self._draw_sample(), self._draw_scale()
        matrix = self._warp(sample, scale)
        boxes, classes = warp_and_clip_boxes(sample.boxes, sample.classes, matrix, self.size)
        made = None
        if self.thermal is not None and rng.random() < self.thermal[1]:
            made = self.thermal[0].thermal_with(boxes, classes, self.size, rng)
        boxes, classes = add_unlabelled(boxes, classes, self.unlabelled, self.size, self.size)
        colour = draw_colour(self.faults, rng)
        params = CropParams(
            sample=sample,
            size=self.size,
            fill=float(FILL),
            rgb=ColourView(matrix, colour),
            thermal=blank_level(rng),
            boxes=boxes,
            classes=classes,
            held=True,
        )
        if made is None:
            return params
        return both_cameras(params, made, colour, draw_intensity(self.augmentation, rng))


def compose(
    samples: Sequence[Sample], side: int, heights: Range, rng: np.random.Generator
) -> Sample:
    """Lay whole pictures side by side in rows.

    Args:
        samples: to take from at random, pixels ``(H, W, 3)``.
        side: of the square that they fill, pixels.
        heights: least and largest height of a row, pixels.
        rng: source of randomness.

    Returns:
        The square; what of an object is too small or too much cut off is not judged.
    """
    frame = np.empty((side, side, 3), np.uint8)
    boxes, classes = [np.empty((0, 4), np.float32)], [np.empty(0, np.int64)]
    y = 0
    while y < side:
        height = max(8, int(np.exp(rng.uniform(*np.log(heights)))))
        x = 0
        while x < side:
            sample = samples[int(rng.integers(len(samples)))]
            factor = height / sample.pixels.shape[0]
            width = max(1, round(sample.pixels.shape[1] * factor))
            way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
            part = cv2.resize(sample.pixels, (width, height), interpolation=way)
            part = part[: side - y, : side - x]
            frame[y : y + height, x : x + width] = part
            whole = sample.boxes * factor
            seen = whole.clip(0, (part.shape[1], part.shape[0]) * 2)
            sides = seen[:, 2:] - seen[:, :2]
            share = sides.prod(axis=1) / (whole[:, 2:] - whole[:, :2]).prod(axis=1).clip(1e-6)
            unsure = (share < LEAST_SHARE) | (sides[:, 1] < LEAST_HEIGHT)
            there = sides.min(axis=1, initial=np.inf) > 0
            labels = np.where(unsure & (sample.classes >= 0), ~sample.classes, sample.classes)
            boxes.append((seen + np.array([x, y, x, y], np.float32))[there])
            classes.append(labels[there])
            x += width
        y += height
    return Sample(frame, np.concatenate(boxes), np.concatenate(classes), "mosaic")
