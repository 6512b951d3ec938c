"""A picture of the other camera for crops of sets that have one camera only.

No real pictures of both cameras that may be trained on are at hand. A network that sees real
pictures only with the other camera blank, and both cameras only on rendered scenes, does not
learn what real pictures of both mean. So both are put together of real ones:

- thermal with people and vehicles gets RGB of another place at night, in which nothing is;
- RGB gets thermal ground without objects, with real thermal objects laid where RGB has them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover_training.config import Range
from windhover_training.data.augment.apply import ground_level, to_bytes, warped
from windhover_training.data.augment.params import (
    ColourParams,
    ColourView,
    CropParams,
    ThermalParams,
    ThermalView,
    around,
    rim,
)
from windhover_training.data.augment.samples import Boxes, Classes, Pixels, Sample, ignored

Levels = NDArray[np.float32]

#: Sides of the windows that become a crop, pixels of their pictures.
THERMAL_SIDES: Final[Range] = (150.0, 360.0)
COLOUR_SIDES: Final[Range] = (260.0, 800.0)
#: Share of daylight that a picture keeps at night, and how much more lamps give in places.
NIGHT: Final[Range] = (0.03, 0.5)
LAMP: Final[Range] = (0.5, 3.5)
#: Part of the crops in which objects are colder than the ground.
COLD: Final = 0.25
_TRIES, _LEAST_SIDE = 12, 6
_AS_IT_IS = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


@dataclass(frozen=True, eq=False)
class OtherCamera:
    """Pictures of both cameras to make the missing one of.

    Attributes:
        thermal: ``(H, W)`` pictures whose objects all have boxes.
        colour: ``(H, W, 3)`` pictures.
        objects: class -> ``(h, w)`` float32 cut-outs of thermal, levels above the ground.
    """

    thermal: Sequence[Sample]
    colour: Sequence[Sample]
    objects: dict[int, list[Levels]]

    @classmethod
    def of(cls, thermal: Sequence[Sample], colour: Sequence[Sample]) -> OtherCamera:
        """Cut the objects out of thermal pictures."""
        objects: dict[int, list[Levels]] = {}
        for sample in thermal:
            for box, label in zip(sample.boxes, sample.classes, strict=True):
                cut = _cut(sample.pixels, box)
                if cut is not None:
                    objects.setdefault(int(label), []).append(cut)
        return cls(thermal, colour, objects)

    def night_rgb(self, size: int, rng: np.random.Generator) -> Pixels | None:
        """``(size, size, 3)`` RGB of empty ground at night; None where no window was empty."""
        ground = _empty_window(self.colour, COLOUR_SIDES, size, rng)
        if ground is None:
            return None
        light = np.full((size, size), math.exp(rng.uniform(*np.log(NIGHT))), np.float32)
        for _ in range(int(rng.integers(0, 3))):
            x, y, reach = *rng.uniform(0, size, 2), rng.uniform(0.08, 0.4) * size
            along = np.arange(size, dtype=np.float32)
            down = np.exp(-0.5 * ((along - y) / reach) ** 2)
            across = np.exp(-0.5 * ((along - x) / reach) ** 2)
            light *= 1 + np.float32(rng.uniform(*LAMP)) * down[:, None] * across
        tint = np.exp(rng.normal(0, 0.25, 3)).astype(np.float32)
        return to_bytes(ground.astype(np.float32) * light[..., None] * tint)

    def thermal_with(
        self, boxes: Boxes, classes: Classes, size: int, rng: np.random.Generator
    ) -> Pixels | None:
        """``(size, size)`` thermal with objects where boxes are; None where no window was empty.

        Args:
            boxes: ``(N, 4)`` x1, y1, x2, y2 in the crop's pixels.
            classes: ``(N,)``; what is not judged is laid as well, a class without cut-outs is not.
            size: side of the crop, pixels.
            rng: source of randomness.
        """
        ground = _empty_window(self.thermal, THERMAL_SIDES, size, rng)
        if ground is None:
            return None
        levels = ground.astype(np.float32)
        sign = -1.0 if rng.random() < COLD else 1.0
        for box, label in zip(boxes, classes, strict=True):
            known = self.objects.get(int(label) if label >= 0 else int(ignored(label)))
            if known:
                _lay(levels, _alike(known, box, rng), box, sign * rng.uniform(0.5, 1.3), rng)
        return to_bytes(levels)


def both_cameras(
    params: CropParams, other: Pixels, colour: ColourParams, thermal: ThermalParams
) -> CropParams:
    """A crop of one camera with a picture of the other.

    Args:
        params: of the crop; one of its cameras is blank.
        other: ``(S, S, 3)`` or ``(S, S)`` picture of that one.
        colour: change of B, G, R.
        thermal: change of thermal.
    """
    if isinstance(params.rgb, ColourView):
        parts = (warped(params, params.rgb), other)
    else:
        assert isinstance(params.thermal, ThermalView)
        parts = (other, warped(params, params.thermal))
    return replace(
        params,
        sample=replace(params.sample, pixels=np.dstack(parts)),
        rgb=ColourView(_AS_IT_IS, colour),
        thermal=ThermalView(_AS_IT_IS, thermal, (3, 4)),
    )


def _empty_window(
    samples: Sequence[Sample], sides: Range, size: int, rng: np.random.Generator
) -> Pixels | None:
    """A square window of a picture without any object in it, at the size of a crop."""
    for _ in range(_TRIES):
        sample = samples[int(rng.integers(len(samples)))]
        height, width = sample.pixels.shape[:2]
        side = min(int(rng.uniform(*sides)), height, width)
        x, y = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
        low, high = sample.boxes[:, :2] < (x + side, y + side), sample.boxes[:, 2:] > (x, y)
        if (low.all(axis=1) & high.all(axis=1)).any():
            continue
        window = sample.pixels[y : y + side, x : x + side]
        way = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(window, (size, size), interpolation=way), np.uint8)
    return None


def _cut(pixels: Pixels, box: NDArray[np.float32]) -> Levels | None:
    """An object's levels above the ground around it; None for one that is small or cut off."""
    x1, y1, x2, y2 = around(box)
    height, width = pixels.shape[:2]
    if (box[2:] - box[:2]).min() < _LEAST_SIDE or min(x1, y1, width - x2, height - y2) < 0:
        return None
    part = pixels[y1:y2, x1:x2].astype(np.float32)
    return np.asarray(part - ground_level(part), np.float32)


def _alike(known: Sequence[Levels], box: NDArray[np.float32], rng: np.random.Generator) -> Levels:
    """Of four cut-outs the one whose shape is nearest to a box's."""
    width, height = box[2:] - box[:2]
    some = [known[int(row)] for row in rng.integers(len(known), size=4)]
    wanted = math.log(max(float(width), 1) / max(float(height), 1))
    return min(some, key=lambda cut: abs(math.log(cut.shape[1] / cut.shape[0]) - wanted))


def _lay(
    levels: Levels, cut: Levels, box: NDArray[np.float32], factor: float, rng: np.random.Generator
) -> None:
    """Add a cut-out where a box is, a pixel or so apart, in place."""
    shift = rng.normal(0, 1.2, 2)
    x1, y1, x2, y2 = around((box + np.tile(shift, 2)).astype(np.float32))
    way = cv2.INTER_AREA if (x2 - x1) < cut.shape[1] else cv2.INTER_LINEAR
    laid = cv2.resize(cut, (x2 - x1, y2 - y1), interpolation=way) * np.float32(factor)
    laid *= rim(y2 - y1)[:, None] * rim(x2 - x1)
    height, width = levels.shape
    left, top = max(x1, 0), max(y1, 0)
    inside = levels[top : max(y2, 0), left : max(x2, 0)]
    inside += laid[top - y1 : max(height - y1, 0), left - x1 : max(width - x1, 0)]
