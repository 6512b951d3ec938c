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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import DataError, EncodingError, SourceError
from windhover_training.config import Augmentation
from windhover_training.data.augment.lamps import light_lamps
from windhover_training.data.readers.pictures import read_files, read_truth

#: ``(S, S)`` or ``(S, S, C)`` uint8 pixels, ``(N, 4)`` float32 x1, y1, x2, y2 in its pixels,
#: ``(N,)`` int64 classes.
Crop = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.int64]]


@dataclass(frozen=True)
class Sample:
    """One image in memory with its boxes.

    Attributes:
        pixels: ``(H, W)`` or ``(H, W, C)`` uint8.
        boxes: ``(N, 4)`` float32 x1, y1, x2, y2 in pixels.
        classes: ``(N,)`` int64. A class below 0 is that of an object which is neither taught
            nor taken for background; :func:`ignored` gives it and takes it back.
        flight: name of the flight it belongs to.
        pixels_per_metre: scale of the ground in the middle of the image; 0 if not known.
        places: ``(P, 2)`` x, y of hard negatives, where crops of an image without objects
            are centred.
    """

    pixels: NDArray[np.uint8]
    boxes: NDArray[np.float32]
    classes: NDArray[np.int64]
    flight: str
    pixels_per_metre: float = 0.0
    places: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 2), np.float32))


def ignored(class_id: Any) -> Any:
    """The class of an object that is not judged, for an object of this class, and back."""
    return ~class_id


def cover_unlabelled(crop: Crop, unlabelled: Sequence[int]) -> Crop:
    """A crop in which nothing of some classes is judged, neither found nor missed.

    For pictures of a set that does not label all that they show: each of those classes gets
    an object over all of the crop that is not judged.
    """
    if not unlabelled:
        return crop
    pixels, boxes, classes = crop
    height, width = pixels.shape[:2]
    over_all = np.tile(np.array([0, 0, width, height], np.float32), (len(unlabelled), 1))
    ids = ignored(np.array(unlabelled, np.int64))
    return pixels, np.concatenate([boxes, over_all]), np.concatenate([classes, ids])


def load_samples(
    root: Path, splits: list[str], unreadable: dict[str, str] | None = None
) -> list[Sample]:
    """Read all frames of some splits of a converted data set into memory (0.3 MB a frame).

    Args:
        root: data set written by ``data convert``.
        splits: names of the splits to pool.
        unreadable: receives the files that can't be read and why, which are then left out;
            without it one such file is an error.

    Raises:
        DataError: a split was never written, or pictures can't be read.
    """
    samples = []
    for split in splits:
        document = read_truth(root / "truth" / f"{split}.json")
        rows: dict[int, list[dict[str, Any]]] = {}
        for row in document["annotations"]:
            if not row["iscrowd"]:
                rows.setdefault(row["image_id"], []).append(row)
        for image in document["images"]:
            path = root / "images" / split / image["file_name"]
            try:
                pixels = read_files((path,), 1)
            except (SourceError, EncodingError) as error:
                if unreadable is None:
                    raise DataError(f"{error}; convert the set again") from error
                unreadable[str(path)] = str(error)
                continue
            own = rows.get(image["id"], [])
            xywh = np.array([r["bbox"] for r in own], np.float32).reshape(-1, 4)
            boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
            classes = np.array([r["category_id"] for r in own], np.int64)
            samples.append(Sample(pixels, boxes, classes, image["flight"]))
    if not samples:
        raise DataError(f"{root}: no picture of {', '.join(splits)} can be read; convert it again")
    return samples


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
                :func:`cover_unlabelled`.
        """
        self.unlabelled = tuple(unlabelled)
        self.samples = samples
        self.size = size
        self.augmentation = augmentation
        self.rng = rng
        self.class_weights = np.array(class_weights)
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

    def draw(self) -> Crop:
        """Draw one crop.

        Returns:
            ``(size, size)`` uint8 pixels, ``(N, 4)`` float32 x1, y1, x2, y2 in crop pixels
            and ``(N,)`` int64 classes.
        """
        a, rng = self.augmentation, self.rng
        sample = self.samples[int(np.searchsorted(self.cumulative, rng.random()))]
        low, high = a.scale_wide if rng.random() < a.wide_probability else a.scale_near
        scale = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        matrix = self._warp(sample, scale)
        fill = float(sample.pixels.mean())
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        warped = cv2.warpAffine(
            sample.pixels,
            matrix,
            (self.size, self.size),
            flags=interpolation,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=fill,
        )
        crop = np.asarray(warped, np.uint8)
        boxes, classes = warp_and_clip_boxes(sample.boxes, sample.classes, matrix, self.size)
        for box in boxes[np.isin(classes, a.fade_classes)]:
            if rng.random() < a.fade:
                fade_object(crop, box, rng)
        if a.lamps and rng.random() < a.lamps:
            light_lamps(crop, boxes, scale, rng)
        changed = change_intensity(crop, a, rng)
        return cover_unlabelled((changed, boxes, classes), self.unlabelled)

    def _warp(self, sample: Sample, scale: float) -> NDArray[np.float64]:
        rng, a, half = self.rng, self.augmentation, self.size / 2
        height, width = sample.pixels.shape[:2]
        taught = sample.classes >= 0
        targets, weights = sample.places, np.ones(len(sample.places))
        if taught.any():
            targets = sample.boxes[taught].reshape(-1, 2, 2).mean(axis=1)
            weights = self.class_weights[sample.classes[taught]]
        if len(targets) and rng.random() < a.on_object:
            row = rng.choice(len(weights), p=weights / weights.sum())
            centre = targets[row] + rng.uniform(-0.42, 0.42, 2) * self.size / scale
        else:
            centre = rng.uniform(0, 1, 2) * (width, height)
        reach = half / scale  # keep the window inside the frame where it fits
        for axis, extent in ((0, width), (1, height)):
            low, high = min(reach, extent / 2), max(extent - reach, extent / 2)
            centre[axis] = np.clip(centre[axis], low, high)
        linear = np.eye(2) * scale
        if rng.random() < a.flip_horizontal:
            linear = np.diag([-1.0, 1.0]) @ linear
        if rng.random() < a.flip_vertical:
            linear = np.diag([1.0, -1.0]) @ linear
        if rng.random() < a.transpose:
            linear = np.array([[0.0, 1.0], [1.0, 0.0]]) @ linear
        # Boxes measure from the pixel's outer corner, warpAffine from its centre: shift by half.
        offset = half - linear @ centre
        pixel_offset = offset + linear @ (0.5, 0.5) - 0.5
        return np.hstack([linear, pixel_offset[:, None]])


def warp_and_clip_boxes(
    boxes: NDArray[np.float32], classes: NDArray[np.int64], matrix: NDArray[np.float64], size: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
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


def fade_object(
    crop: NDArray[np.uint8], box: NDArray[np.float32], rng: np.random.Generator
) -> None:
    """Weaken or turn round an object's contrast against what is around it, in place.

    By day people are partly warmer and partly colder than sunlit ground, and often hardly
    differ from it; by night they are all warm. The factor changes linearly along the object,
    so that a head may be cold over a warm back.

    Args:
        crop: ``(H, W)`` uint8, changed.
        box: x1, y1, x2, y2 of the object in crop pixels.
        rng: source of randomness.
    """
    margin = 0.15 * (box[2:] - box[:2]) + 1
    x1, y1 = np.maximum(np.floor(box[:2] - margin), 0).astype(int)
    x2, y2 = np.ceil(box[2:] + margin).astype(int)
    patch = crop[y1:y2, x1:x2].astype(np.float32)
    height, width = patch.shape
    ring = np.concatenate([patch[0], patch[-1], patch[:, 0], patch[:, -1]])
    ground = float(np.median(ring))
    top, bottom = rng.uniform(-1.0, 0.9, 2)
    rows = np.linspace(top, bottom, height, dtype=np.float32)[:, None]
    # A window that is zero at the rim leaves no edge that a model could learn to find.
    window = np.minimum(1, 3 * np.hanning(height + 2)[1:-1, None])
    window = window * np.minimum(1, 3 * np.hanning(width + 2)[None, 1:-1])
    factor = 1 + window * (rows - 1)
    faded = ground + (patch - ground) * factor
    crop[y1:y2, x1:x2] = faded.clip(0, 255).astype(np.uint8)


def change_intensity(
    crop: NDArray[np.uint8], a: Augmentation, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Change gain, level and polarity as another scene temperature or tone mapping would.

    Args:
        crop: ``(H, W)`` uint8.
        a: ranges and probabilities.
        rng: source of randomness.

    Returns:
        ``(H, W)`` uint8.
    """
    x = crop.astype(np.float32)
    if rng.random() < a.stretch:
        low, high = np.percentile(crop, (1, 99))
        x = (x - low) * (255.0 / max(high - low, 16.0))
    if rng.random() < a.invert:
        x = 255.0 - x
    mean = float(x.mean())
    x = (x - mean) * rng.uniform(*a.gain) + mean + rng.uniform(-a.level, a.level)
    if rng.random() < a.gradient:
        rows = np.linspace(-1, 1, x.shape[0], dtype=np.float32)[:, None]
        columns = np.linspace(-1, 1, x.shape[1], dtype=np.float32)[None, :]
        x += rows * rng.uniform(-25, 25) + columns * rng.uniform(-25, 25)
    if rng.random() < a.blur:
        x = np.asarray(cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 1.1)), np.float32)
    if rng.random() < a.noise:
        x += rng.standard_normal(x.shape, np.float32) * rng.uniform(1, 7)
    return x.clip(0, 255).astype(np.uint8)
