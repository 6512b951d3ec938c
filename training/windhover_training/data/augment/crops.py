"""Training crops cut around objects at (near) native scale.

People seen from 60-70 m are 10-20 px, so frames are never shrunk to a training size:
each sample is one affine warp of a window of a frame, with flips, a scale factor and
thermal intensity changes. Sampling is balanced over flights, because one hovering flight
gives a hundred almost equal frames, and over classes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Final, Self

import numpy as np

from windhover_training.config import Augmentation, Range
from windhover_training.data.augment.apply import apply
from windhover_training.data.augment.lamps import draw_lamps
from windhover_training.data.augment.params import (
    CropParams,
    Fade,
    Lamps,
    Matrix,
    ThermalParams,
    ThermalView,
    draw_noise,
)
from windhover_training.data.augment.samples import (
    Boxes,
    Classes,
    Crop,
    Sample,
    add_unlabelled,
)

#: Factors of the contrast of objects that are turned from warm to cold: of a crop, and how far
#: the ends of each object are from it.
TURNED: Final[Range] = (-1.3, -0.5)
TURNED_APART: Final[Range] = (-0.2, 0.2)


class CropSampler:
    """Draws augmented square crops from a pool of samples."""

    def __init__(
        self,
        samples: list[Sample],
        size: int,
        class_weights: list[float],
        augmentation: Augmentation,
        rng: np.random.Generator,
        unlabelled: Sequence[int] = (),
    ) -> None:
        """Prepare the sampling weights.

        Args:
            samples: pool, at least one.
            size: crop side in pixels.
            class_weights: how strongly images with each class are drawn.
            augmentation: ranges and probabilities.
            rng: the only source of randomness.
            unlabelled: classes that the pool shows without a box; see
                :func:`.samples.add_unlabelled`.
        """
        self.unlabelled = tuple(unlabelled)
        self.size = size
        self.augmentation = augmentation
        self.rng = rng
        self.class_weights = np.array(class_weights)
        self.samples = samples
        per_flight: dict[str, int] = {}
        for sample in samples:
            per_flight[sample.flight] = per_flight.get(sample.flight, 0) + 1
        weights = np.array([self._weight(s, per_flight[s.flight]) for s in samples])
        self.cumulative = np.cumsum(weights / weights.sum())

    def _weight(self, sample: Sample, flight_images: int) -> float:
        classes = np.unique(sample.classes[sample.classes >= 0])
        value = float(self.class_weights[classes].max()) if len(classes) else 0.5
        value += 0.0 if len(classes) else len(sample.places)
        # Square root: a flight of 150 equal frames counts as 12, not as 150 and not as 1.
        wanted = self.augmentation.flight_weights.items()
        value *= math.prod(w for prefix, w in wanted if sample.flight.startswith(prefix))
        return float(value / np.sqrt(flight_images))

    def drawing_from(self, rng: np.random.Generator) -> Self:
        """The same sampler with another source of randomness.

        The pool is shared, and nothing of this sampler changes: several threads may each
        draw from one of their own.
        """
        other = copy.copy(self)
        other.rng = rng
        return other

    def at(self, step: int) -> Self:  # noqa: ARG002 (its pool is the same at every step)
        """What draws the crops of a step."""
        return self

    @property
    def frames(self) -> int:
        """Pictures that it draws from."""
        return len(self.samples)

    def draw(self) -> Crop:
        """Draw one crop and make its pixels.

        Returns:
            ``(size, size)`` or ``(size, size, C)`` uint8 pixels, ``(N, 4)`` float32 x1, y1,
            x2, y2 in crop pixels and ``(N,)`` int64 classes.
        """
        return apply(self.draw_params())

    def draw_params(self) -> CropParams:
        """Draw all that decides one crop; pixels are not touched."""
        sample = self._draw_sample()
        scale = self._draw_scale()
        matrix = self._warp(sample, scale)
        boxes, classes = warp_and_clip_boxes(sample.boxes, sample.classes, matrix, self.size)
        change = self._draw_change(boxes, classes, scale)
        boxes, classes = add_unlabelled(boxes, classes, self.unlabelled, self.size, self.size)
        return CropParams(
            sample=sample,
            size=self.size,
            fill=sample.mean_level,
            rgb=None,
            thermal=ThermalView(matrix, change),
            boxes=boxes,
            classes=classes,
        )

    def _draw_sample(self) -> Sample:
        return self.samples[int(np.searchsorted(self.cumulative, self.rng.random()))]

    def _draw_scale(self) -> float:
        a, rng = self.augmentation, self.rng
        low, high = a.scale_wide if rng.random() < a.wide_probability else a.scale_near
        return math.exp(rng.uniform(math.log(low), math.log(high)))

    def _draw_change(self, boxes: Boxes, classes: Classes, scale: float) -> ThermalParams:
        a, rng = self.augmentation, self.rng
        fades = [
            Fade(box, *rng.uniform(-1.0, 0.9, 2).tolist())
            for box in boxes[np.isin(classes, a.fade_classes)]
            if a.fade and rng.random() < a.fade
        ]
        for label, probability in a.turned.items():
            if rng.random() < probability:
                factor = rng.uniform(*TURNED)
                fades += [
                    Fade(box, *(factor + rng.uniform(*TURNED_APART, 2)).tolist())
                    for box in boxes[classes == label]
                ]
        lamps = None
        if a.lamps and rng.random() < a.lamps:
            lamps = draw_lamps(self.size, boxes, scale, rng)
        return draw_intensity(a, rng, fades=tuple(fades), lamps=lamps)

    def _warp(self, sample: Sample, scale: float) -> Matrix:
        rng, a, half = self.rng, self.augmentation, self.size / 2
        height, width = sample.pixels.shape[:2]
        taught = sample.classes >= 0
        targets, weights = sample.places, np.ones(len(sample.places))
        if taught.any():
            targets = sample.boxes[taught].reshape(-1, 2, 2).mean(axis=1)
            weights = self.class_weights[sample.classes[taught]]
        if len(targets) and rng.random() < a.on_object:
            share = np.cumsum(weights)
            row = min(int(np.searchsorted(share, rng.random() * share[-1])), len(share) - 1)
            away = rng.uniform(-0.42, 0.42, 2) * self.size / scale
            centre = (targets[row] + away).tolist()
        else:
            centre = (rng.random(2) * (width, height)).tolist()
        reach = half / scale  # keep the window inside the frame where it fits
        for axis, extent in ((0, width), (1, height)):
            low, high = min(reach, extent / 2), max(extent - reach, extent / 2)
            centre[axis] = min(max(centre[axis], low), high)
        across, along, turned = rng.random(3).tolist()
        a11 = -scale if across < a.flip_horizontal else scale
        a22 = -scale if along < a.flip_vertical else scale
        return centred(a11, a22, turned < a.transpose, centre, half)


def centred(
    a11: float, a22: float, transpose: bool, centre: Sequence[float], half: float
) -> Matrix:
    """The map that puts a point of a frame into the middle of a crop.

    Args:
        a11: factor along x, below 0 to mirror.
        a22: factor along y.
        transpose: whether rows and columns change places after that.
        centre: x, y in the frame, measured from the outer corner of the first pixel.
        half: of the crop's side.

    Returns:
        ``(2, 3)`` as ``cv2.warpAffine`` takes it.
    """
    # Boxes measure from the pixel's outer corner, warpAffine from its centre: shift by half.
    x = half - 0.5 - a11 * (centre[0] - 0.5)
    y = half - 0.5 - a22 * (centre[1] - 0.5)
    if transpose:
        return np.array([[0.0, a22, y], [a11, 0.0, x]])
    return np.array([[a11, 0.0, x], [0.0, a22, y]])


def warp_and_clip_boxes(
    boxes: Boxes, classes: Classes, matrix: Matrix, size: int
) -> tuple[Boxes, Classes]:
    """Map boxes through an axis-aligned warp, clip them and drop what is mostly cut off.

    Args:
        boxes: ``(N, 4)`` source pixels, measured from the outer corner of the first pixel.
        classes: ``(N,)``.
        matrix: ``(2, 3)`` as given to ``cv2.warpAffine`` (pixel centres at integers).
        size: side of the crop.

    Returns:
        Boxes in crop pixels of which at least 40 % and 3 px remain, and their classes; of
        those that are not judged whatever remains.
    """
    linear, shift = matrix[:, :2], matrix[:, 2]
    offset = shift - linear @ (0.5, 0.5) + 0.5
    corners = boxes.reshape(-1, 2, 2) @ linear.T + offset
    whole = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    clipped = whole.clip(0, size)
    sides = clipped[:, 2:] - clipped[:, :2]
    area = np.maximum((whole[:, 2:] - whole[:, :2]).prod(axis=1), 1e-6)
    keep = (sides.min(axis=1, initial=1e9) >= 3) & (sides.prod(axis=1) >= 0.4 * area)
    keep |= (classes < 0) & (sides.min(axis=1, initial=1e9) > 0)
    return clipped[keep].astype(np.float32), classes[keep]


def draw_intensity(
    a: Augmentation,
    rng: np.random.Generator,
    *,
    fades: tuple[Fade, ...] = (),
    lamps: Lamps | None = None,
    keep_empty: bool = False,
) -> ThermalParams:
    """Draw gain, level and polarity, as of another scene temperature or tone mapping.

    Args:
        a: ranges and probabilities.
        rng: source of randomness.
        fades: see :class:`.params.ThermalParams`, as the others that are passed on.
        lamps: what is drawn in.
        keep_empty: leave what the camera does not see at 0.
    """
    stretch, invert, gradient, blur, noise = rng.random(5).tolist()
    rows, columns = rng.uniform(-25, 25, 2).tolist() if gradient < a.gradient else (0.0, 0.0)
    gamma, local = 1.0, 0.0
    if a.tone and rng.random() < a.tone:
        gamma, local = math.exp(rng.normal(0, 0.3)), float(rng.uniform(-0.3, 1.2))
    return ThermalParams(
        fades=fades,
        lamps=lamps,
        stretch=stretch < a.stretch,
        invert=invert < a.invert,
        gain=float(rng.uniform(*a.gain)),
        level=float(rng.uniform(-a.level, a.level)),
        gradient=(rows, columns),
        gamma=gamma,
        local=local,
        blur=float(rng.uniform(0.4, 1.1)) if blur < a.blur else 0.0,
        noise=draw_noise(float(rng.uniform(1, 7)), rng) if noise < a.noise else None,
        keep_empty=keep_empty,
    )
