"""The guide's heavy augmentation, all of it applied, on colour, thermal and RGBT alike.

An image for training is composed on a canvas (four images around a point, with objects of a
fifth copied in), seen through one random homography that moves all channels and boxes
together, mixed with another such image, and changed in colour, on the colour channels only.

Ultralytics applies its copy-paste only where there are masks and its colour changes only to
three channels, and says nothing where it leaves them out; here both are always done: objects
are copied with a soft-edged ellipse for a mask, and the thermal channel keeps its values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from windhover.errors import DataError, EncodingError, SourceError
from windhover.imaging.letterbox import FILL
from windhover_training.config import Range, Strict
from windhover_training.data.augment.samples import Crop, cover_unlabelled
from windhover_training.data.augment.warp import random_homography, warp_boxes, warp_pixels
from windhover_training.data.readers.pictures import Picture, Reader

_TRIES = 20  # images that may be damaged one after the other
_MIX = 32.0  # both parameters of mixup's beta distribution, as in Ultralytics: near one half


class HeavyAugmentation(Strict):
    """How images are changed; the defaults are the guide's.

    Attributes:
        mosaic: chance of composing four images instead of showing one.
        mixup: chance of blending in a second image.
        copy_paste: chance of copying objects of another image in.
        copies: most objects that are copied in at once.
        degrees: greatest turn, either way.
        scale: least and greatest resulting factor.
        shear: greatest shear in degrees, either way.
        perspective: greatest change of depth a pixel, for 640 pixels.
        flipud: chance of mirroring top and bottom.
        fliplr: chance of mirroring left and right.
        hsv_h: greatest change of hue, as a part of the circle's half; colour channels only.
        hsv_s: greatest relative change of saturation.
        hsv_v: greatest relative change of brightness.
        least_seen: an object of which less is inside is not taught.
        least_side: nor is one with a shorter side, pixels.
    """

    mosaic: float = Field(1.0, ge=0, le=1)
    mixup: float = Field(0.5, ge=0, le=1)
    copy_paste: float = Field(0.3, ge=0, le=1)
    copies: int = Field(4, gt=0)
    degrees: float = Field(15.0, ge=0, le=180)
    scale: Range = (0.8, 1.2)
    shear: float = Field(5.0, ge=0, lt=45)
    perspective: float = Field(0.001, ge=0, le=0.0012)
    flipud: float = Field(0.5, ge=0, le=1)
    fliplr: float = Field(0.5, ge=0, le=1)
    hsv_h: float = Field(0.015, ge=0, le=1)
    hsv_s: float = Field(0.7, ge=0, le=1)
    hsv_v: float = Field(0.4, ge=0, le=1)
    least_seen: float = Field(0.25, ge=0, le=1)
    least_side: float = Field(2.0, ge=0)


@dataclass
class Canvas:
    """Images laid out before the camera looks at them; changed while it is composed.

    Attributes:
        pixels: ``(H, W)`` or ``(H, W, C)`` uint8.
        boxes: ``(N, 4)`` float32 x1, y1, x2, y2.
        classes: ``(N,)`` int64.
    """

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]


class HeavySampler:
    """Draws augmented squares. What is drawn depends on the seed and the number alone."""

    def __init__(
        self,
        pictures: Sequence[Picture],
        size: int,
        channels: int,
        augmentation: HeavyAugmentation,
        seed: int,
        unlabelled: Sequence[int] = (),
    ) -> None:
        """Prepare.

        Args:
            pictures: at least one. Each leads once an epoch; those that fill up a mosaic
                are drawn at random.
            size: side of what is drawn, pixels.
            channels: 1, 3 or 4.
            augmentation: how.
            seed: of everything.
            unlabelled: classes that the pictures show without a box; see
                :func:`.samples.cover_unlabelled`.
        """
        self.unlabelled = tuple(unlabelled)
        self.pictures, self.size, self.channels = pictures, size, channels
        self.augmentation, self.seed = augmentation, seed
        self.read = Reader(channels)
        self._order = lru_cache(maxsize=4)(self._shuffled)
        self._places: Sequence[tuple[int, float, float]] = ()
        self._share = 0.0
        #: Files that could not be read, and why; another picture stood in for each.
        self.unreadable: dict[str, str] = {}

    def look_at(self, places: Sequence[tuple[int, float, float]], share: float) -> None:
        """Centre some of the images on given places, such as hard negatives.

        Args:
            places: place in ``pictures``, x and y in its pixels.
            share: of all images that are drawn.
        """
        self._places, self._share = places, share

    def draw(self, number: int) -> Crop:
        """The ``number``-th image of the training, counted through all epochs.

        Returns:
            ``(size, size)`` or ``(size, size, channels)`` uint8, boxes and classes.
        """
        rng = np.random.default_rng((self.seed, 1, number))
        epoch, place = divmod(number, len(self.pictures))
        a = self.augmentation
        pixels, boxes, classes = self._seen(int(self._order(epoch)[place]), rng)
        if rng.random() < a.mixup:
            other, more, kinds = self._seen(self._any(rng), rng)
            weight = float(rng.beta(_MIX, _MIX))
            pixels = np.asarray(cv2.addWeighted(pixels, weight, other, 1 - weight, 0), np.uint8)
            boxes, classes = np.concatenate([boxes, more]), np.concatenate([classes, kinds])
        if self.channels >= 3:
            pixels = change_colour(pixels, a, rng)
        return cover_unlabelled((pixels, boxes, classes), self.unlabelled)

    def _shuffled(self, epoch: int) -> NDArray[np.intp]:
        rng = np.random.default_rng((self.seed, 0, epoch))
        return rng.permutation(len(self.pictures))

    def _any(self, rng: np.random.Generator) -> int:
        return int(rng.integers(len(self.pictures)))

    def _seen(self, index: int, rng: np.random.Generator) -> Crop:
        """Compose around one picture, copy objects in, and look at it."""
        a = self.augmentation
        if self._places and rng.random() < self._share:
            canvas, centre = self._around(rng)
        else:
            canvas, centre = self._composed(index, rng)
        if rng.random() < a.copy_paste:
            donor = self._tile(self._any(rng), rng)
            copy_objects(canvas, donor, int(rng.integers(1, a.copies + 1)), rng)
        matrix = random_homography(
            rng,
            centre,
            self.size,
            scale=a.scale,
            degrees=a.degrees,
            shear=a.shear,
            perspective=a.perspective,
            flip_x=bool(rng.random() < a.fliplr),
            flip_y=bool(rng.random() < a.flipud),
        )
        return look(canvas, matrix, self.size, a)

    def _composed(self, index: int, rng: np.random.Generator) -> tuple[Canvas, tuple[float, float]]:
        """A mosaic led by one picture, or that picture alone, and its middle."""
        if rng.random() < self.augmentation.mosaic:
            four = [index, *(self._any(rng) for _ in range(3))]
            canvas = mosaic([self._tile(i, rng) for i in four], self.size, rng)
        else:
            canvas = single(self._tile(index, rng), self.size)
        side = canvas.pixels.shape[0] / 2
        return canvas, (side, side)

    def _around(self, rng: np.random.Generator) -> tuple[Canvas, tuple[float, float]]:
        """A picture alone, and a point near one of the places to look at."""
        index, x, y = self._places[int(rng.integers(len(self._places)))]
        picture = self.pictures[index]
        tile = self._read(picture)
        if tile is None:
            return self._composed(self._any(rng), rng)
        canvas = single(tile, self.size)
        height, width = self.read(picture).shape[:2]
        factor = self.size / max(height, width)
        # As :func:`single` lays it, rounding included within a pixel.
        left, top = (self.size - width * factor) / 2, (self.size - height * factor) / 2
        away = rng.uniform(-0.3, 0.3, 2) * self.size
        return canvas, (left + x * factor + away[0], top + y * factor + away[1])

    def _tile(self, index: int, rng: np.random.Generator) -> Canvas:
        """A picture, or another one where its file is damaged: that ends no run of hours."""
        for _ in range(_TRIES):
            tile = self._read(self.pictures[index])
            if tile is not None:
                return tile
            index = self._any(rng)
        bad = next(iter(self.unreadable.values()))
        raise DataError(f"{_TRIES} images in a row can't be read ({bad}); convert the set again")

    def _read(self, picture: Picture) -> Canvas | None:
        try:
            return self._fitted(picture)
        except (DataError, SourceError, EncodingError) as error:
            self.unreadable[str(picture.files[0])] = str(error)
            return None

    def _fitted(self, picture: Picture) -> Canvas:
        """A picture whose longer side is the size of a square."""
        pixels = self.read(picture)
        factor = self.size / max(pixels.shape[:2])
        if factor == 1:
            return Canvas(pixels, picture.boxes, picture.classes)
        height, width = (max(1, round(side * factor)) for side in pixels.shape[:2])
        method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        resized = cv2.resize(pixels, (width, height), interpolation=method)
        fx, fy = width / pixels.shape[1], height / pixels.shape[0]
        factors = np.array((fx, fy, fx, fy), np.float32)
        return Canvas(np.asarray(resized, np.uint8), picture.boxes * factors, picture.classes)


def look(canvas: Canvas, matrix: NDArray[np.float64], size: int, a: HeavyAugmentation) -> Crop:
    """What a camera sees of a canvas, and the boxes of what is seen well enough."""
    pixels = warp_pixels(canvas.pixels, matrix, size, size, FILL)
    boxes, seen = warp_boxes(canvas.boxes, matrix, size, size)
    keep = (seen >= a.least_seen) & ((boxes[:, 2:] - boxes[:, :2]) >= a.least_side).all(axis=1)
    return pixels, boxes[keep], canvas.classes[keep]


def single(tile: Canvas, size: int) -> Canvas:
    """One image in the middle of a square."""
    height, width = tile.pixels.shape[:2]
    canvas = _blank(tile, size)
    _lay(canvas, tile, (size - width) // 2, (size - height) // 2)
    return canvas


def mosaic(tiles: Sequence[Canvas], size: int, rng: np.random.Generator) -> Canvas:
    """Four images around a random point of a square of twice the size."""
    canvas = _blank(tiles[0], 2 * size)
    x, y = (int(v) for v in rng.integers(size // 2, 2 * size - size // 2, 2))
    for i, tile in enumerate(tiles):
        height, width = tile.pixels.shape[:2]
        _lay(canvas, tile, x - width if i % 2 == 0 else x, y - height if i < 2 else y)
    return canvas


def _blank(like: Canvas, size: int) -> Canvas:
    pixels = np.full((size, size, *like.pixels.shape[2:]), FILL, np.uint8)
    return Canvas(pixels, like.boxes[:0].copy(), like.classes[:0].copy())


def _lay(canvas: Canvas, tile: Canvas, left: int, top: int) -> None:
    """Lay a tile down; what reaches over the edge is cut off, of pixels and boxes."""
    limit_y, limit_x = canvas.pixels.shape[:2]
    height, width = tile.pixels.shape[:2]
    x1, y1 = max(left, 0), max(top, 0)
    x2, y2 = min(left + width, limit_x), min(top + height, limit_y)
    canvas.pixels[y1:y2, x1:x2] = tile.pixels[y1 - top : y2 - top, x1 - left : x2 - left]
    moved = tile.boxes + np.array((left, top, left, top), np.float32)
    clipped = moved.clip((x1, y1, x1, y1), (x2, y2, x2, y2))
    # What is cut off here was cut off by the canvas, not by the camera: less than a half
    # is no object any more.
    area = (moved[:, 2:] - moved[:, :2]).prod(axis=1)
    kept = (clipped[:, 2:] - clipped[:, :2]).prod(axis=1) >= 0.5 * area
    canvas.boxes = np.concatenate([canvas.boxes, clipped[kept]]).astype(np.float32)
    canvas.classes = np.concatenate([canvas.classes, tile.classes[kept]])


def copy_objects(canvas: Canvas, donor: Canvas, count: int, rng: np.random.Generator) -> None:
    """Copy objects of a donor to places where there are none, with a soft-edged ellipse.

    Args:
        canvas: changed in place.
        donor: whose objects are copied, each at most once.
        count: how many at most.
        rng: source of randomness.
    """
    height, width = canvas.pixels.shape[:2]
    limits = (donor.pixels.shape[1], donor.pixels.shape[0])
    for row in rng.permutation(len(donor.boxes))[:count]:
        x1, y1 = np.floor(donor.boxes[row, :2]).astype(int).clip(0)
        x2, y2 = np.minimum(np.ceil(donor.boxes[row, 2:]).astype(int), limits)
        w, h = int(x2 - x1), int(y2 - y1)
        if min(w, h) < 2 or w >= width or h >= height:
            continue
        left, top = int(rng.integers(0, width - w)), int(rng.integers(0, height - h))
        box = donor.boxes[row] + np.array([left - x1, top - y1] * 2, np.float32)
        if _covers(box, canvas.boxes):
            continue
        patch = donor.pixels[y1:y2, x1:x2].astype(np.float32)
        target = canvas.pixels[top : top + h, left : left + w]
        alpha = _ellipse(w, h).reshape(h, w, *[1] * (patch.ndim - 2))
        target[:] = (target + (patch - target) * alpha).round().astype(np.uint8)
        canvas.boxes = np.concatenate([canvas.boxes, box[None]])
        canvas.classes = np.concatenate([canvas.classes, donor.classes[row : row + 1]])


def _covers(box: NDArray[np.float32], boxes: NDArray[np.float32]) -> bool:
    """Whether a box hides more than a tenth of any other."""
    corner, far = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    common = (far - corner).clip(min=0).prod(axis=1)
    return bool((common > 0.1 * (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)).any())


def _ellipse(width: int, height: int) -> NDArray[np.float32]:
    """1 inside the ellipse of a box, falling to 0 towards its corners."""
    y = (np.arange(height, dtype=np.float32) + 0.5) / height * 2 - 1
    x = (np.arange(width, dtype=np.float32) + 0.5) / width * 2 - 1
    radius = np.sqrt(x[None] ** 2 + y[:, None] ** 2)
    return np.clip((1.15 - radius) / 0.3, 0, 1)


def change_colour(
    pixels: NDArray[np.uint8], a: HeavyAugmentation, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Change hue, saturation and brightness of B, G, R; a fourth channel keeps its values.

    Args:
        pixels: ``(H, W, 3)`` or ``(H, W, 4)``.
        a: greatest changes.
        rng: source of randomness.
    """
    if not (a.hsv_h or a.hsv_s or a.hsv_v):
        return pixels  # the way through HSV in eight bits is not without loss
    gain = 1 + rng.uniform(-1, 1, 3) * (a.hsv_h, a.hsv_s, a.hsv_v)
    hue, saturation, value = cv2.split(cv2.cvtColor(pixels[:, :, :3], cv2.COLOR_BGR2HSV))
    levels = np.arange(256, dtype=np.float32)
    tables = [(levels * gain[0]) % 180, *((levels * g).clip(0, 255) for g in gain[1:])]
    changed = [
        cv2.LUT(plane, table.astype(np.uint8))
        for plane, table in zip((hue, saturation, value), tables, strict=True)
    ]
    out = pixels.copy()
    out[:, :, :3] = cv2.cvtColor(cv2.merge(changed), cv2.COLOR_HSV2BGR)
    return out
