"""What is drawn for a crop, before any pixel is touched.

A sampler draws a :class:`CropParams`: which frame, where, how large, how each camera's
picture is changed, and the boxes that result. :mod:`.apply` makes the pixels with OpenCV,
:mod:`windhover_training.engine.render` makes them with torch, on a GPU where there is one.
Whatever needs the pixels themselves (a mean, a percentile) is left to these two; whatever is
random is drawn here, but for noise, of which the seed is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from windhover_training.data.augment.samples import Boxes, Classes, Sample

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Noise:
    """Gaussian noise of so many levels (standard deviation), drawn from a seed."""

    level: float
    seed: int


def draw_noise(level: float, rng: np.random.Generator) -> Noise:
    """Noise of a level with a seed of its own."""
    return Noise(level, int(rng.integers(2**62)))


@dataclass(frozen=True, slots=True)
class ColourParams:
    """How a picture of B, G, R is changed, in this order.

    Attributes:
        coarse: side in pixels of the square that it is reduced to and enlarged from; 0 to
            leave it.
        gain: factor of B, G and R.
        contrast: factor of the distance from the picture's mean level.
        saturation: factor of the distance from grey.
        blur: standard deviation of a Gaussian, pixels; 0 for none.
        noise: what is added.
    """

    coarse: int = 0
    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    contrast: float = 1.0
    saturation: float = 1.0
    blur: float = 0.0
    noise: Noise | None = None

    def mix(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Gain, contrast and saturation as one matrix.

        Returns:
            ``(3, 3)``, which maps B, G, R to those that are wanted, and ``(3,)``: what each of
            the picture's three means adds to all of them.
        """
        gain = np.array(self.gain, np.float32)
        grey = np.full((3, 3), (1 - self.saturation) / 3, np.float32)
        saturated = np.eye(3, dtype=np.float32) * self.saturation + grey
        return saturated * (self.contrast * gain), (1 - self.contrast) / 3 * gain


@dataclass(frozen=True, slots=True)
class Fade:
    """An object whose contrast against what is around it changes, evenly along it.

    Attributes:
        box: x1, y1, x2, y2 of the object in crop pixels.
        top: factor of the contrast at its upper end; below 0 it is turned round.
        bottom: the same at its lower end.
    """

    box: NDArray[np.float32]
    top: float
    bottom: float

    def window(self, size: int) -> tuple[int, int, int, int]:
        """Columns and rows x1, y1, x2, y2 of the crop that change."""
        x1, y1, x2, y2 = around(self.box)
        return max(x1, 0), max(y1, 0), min(x2, size), min(y2, size)

    def factors(
        self, window: tuple[int, int, int, int]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Weights of the window's rows and columns.

        The contrast of row y and column x changes by their product.
        """
        x1, y1, x2, y2 = window
        along = np.linspace(self.top, self.bottom, y2 - y1, dtype=np.float32) - 1
        return along * rim(y2 - y1), rim(x2 - x1)


def around(box: NDArray[np.float32]) -> tuple[int, int, int, int]:
    """Whole pixels x1, y1, x2, y2 of an object and of some ground around it."""
    margin = 0.15 * (box[2:] - box[:2]) + 1
    x1, y1 = np.floor(box[:2] - margin).astype(int).tolist()
    x2, y2 = np.ceil(box[2:] + margin).astype(int).tolist()
    return x1, y1, x2, y2


def rim(length: int) -> NDArray[np.float32]:
    """1 but for both ends, where it is 0: an edge would be something to find."""
    return np.minimum(1, 3 * np.hanning(length + 2)[1:-1]).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Lamps:
    """A group of lamp heads on a pole, in crop pixels; see :mod:`.lamps`.

    Attributes:
        heads: ``(N, 8)`` float32: x, y of a head, its half axes, its peak 0..1, x, y of its
            cooler middle and how much cooler that is, 0..1.
        angle: of the axes, radians.
        softness: standard deviation of the heads' edges, pixels.
        heat: level of the heads; they are never less than 40 above the picture's mean.
        pole: x, y of its upper and lower end and its width.
        steel: level of the pole above the picture's mean; None for no pole.
    """

    heads: NDArray[np.float32]
    angle: float
    softness: float
    heat: float
    pole: tuple[float, float, float, float, float]
    steel: float | None


#: Standard deviation of what is around a pixel where local contrast changes, pixels.
LOCAL_SIGMA: Final = 9.0


@dataclass(frozen=True, slots=True)
class ThermalParams:
    """How a thermal picture is changed, in this order.

    Attributes:
        fades: objects that lose contrast.
        lamps: what is drawn in.
        stretch: make the 1st and 99th percentile 0 and 255.
        invert: turn warm into cold.
        gain: factor of the distance from the mean level.
        level: added to all.
        gradient: levels added from the middle to the lowest row and to the last column.
        gamma: exponent of levels as shares of 255; 1 leaves them.
        local: share of a level's distance from those around it that is added: local contrast.
        blur: standard deviation of a Gaussian, pixels; 0 for none.
        noise: what is added.
        keep_empty: leave what the camera does not see at 0.
    """

    fades: tuple[Fade, ...] = ()
    lamps: Lamps | None = None
    stretch: bool = False
    invert: bool = False
    gain: float = 1.0
    level: float = 0.0
    gradient: tuple[float, float] = (0.0, 0.0)
    gamma: float = 1.0
    local: float = 0.0
    blur: float = 0.0
    noise: Noise | None = None
    keep_empty: bool = False


@dataclass(frozen=True, slots=True)
class ColourView:
    """How B, G, R of a crop are taken from a frame.

    Attributes:
        matrix: ``(2, 3)`` from the frame to the crop, pixel centres at integers.
        change: what is done to them.
        channels: of the frame, first and last + 1.
    """

    matrix: Matrix
    change: ColourParams
    channels: tuple[int, int] = (0, 3)


@dataclass(frozen=True, slots=True)
class ThermalView:
    """How thermal of a crop is taken from a frame; see :class:`ColourView`."""

    matrix: Matrix
    change: ThermalParams
    channels: tuple[int, int] = (0, 1)


@dataclass(frozen=True, slots=True)
class Patch:
    """A cut-out that is laid into a crop, over both cameras' pictures.

    Attributes:
        corner: x, y of its first pixel.
        alpha: ``(h, w)`` float32 coverage, 0..1.
        bgr: ``(h, w, 3)`` float32 under full light.
        light: factor of the light that the crop has there.
        warmth: levels above the lower quartile of thermal there.
    """

    corner: tuple[int, int]
    alpha: NDArray[np.float32]
    bgr: NDArray[np.float32]
    light: float
    warmth: float


@dataclass(frozen=True, slots=True)
class CropParams:
    """Everything about a crop but its pixels.

    Attributes:
        sample: the frame.
        size: side of the crop, pixels.
        fill: level of what lies outside of the frame; None repeats its border.
        rgb: where B, G, R come from; a level where that camera is blank; None where the
            network does not take them.
        thermal: the same for thermal.
        boxes: ``(N, 4)`` float32 x1, y1, x2, y2 in crop pixels.
        classes: ``(N,)`` int64; below 0 what is not judged.
        patches: what is laid over the frame.
        held: whether its scores may be held near those of the start.
    """

    sample: Sample
    size: int
    fill: float | None
    rgb: ColourView | int | None
    thermal: ThermalView | int | None
    boxes: Boxes
    classes: Classes
    patches: tuple[Patch, ...] = field(default=())
    held: bool = False


def source_window(matrix: Matrix, size: int, width: int, height: int) -> tuple[int, int, int, int]:
    """Columns and rows x1, y1, x2, y2 of a frame that a crop reads; at least one of each."""
    last = size - 1
    bounds = []
    for (p, q, shift), limit in zip(invert(matrix).tolist(), (width, height), strict=True):
        low = min(0.0, p * last) + min(0.0, q * last) + shift
        high = max(0.0, p * last) + max(0.0, q * last) + shift
        # A pixel more than interpolation needs, for OpenCV rounds positions to 1/32.
        first = min(max(math.floor(low) - 1, 0), limit - 1)
        bounds.append((first, min(max(math.ceil(high) + 2, first + 1), limit)))
    (x1, x2), (y1, y2) = bounds
    return x1, y1, x2, y2


def invert(matrix: Matrix) -> Matrix:
    """The ``(2, 3)`` map that undoes one."""
    (a, b, x), (c, d, y) = matrix.tolist()
    det = a * d - b * c
    p, q, r, s = d / det, -b / det, -c / det, a / det
    return np.array([[p, q, -p * x - q * y], [r, s, -r * x - s * y]])
