"""Training crops of registered RGB + thermal frames, and what may go wrong with a camera.

A crop is one warp of a window of a frame, as in :mod:`.crops`; its thermal channel is
warped a little apart, because registration in flight is never exact. At times a camera is
blank or its picture stale, so that a model learns to work with the other one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import DataError
from windhover.files import atomic_path
from windhover.imaging.letterbox import FILL
from windhover_training.config import Augmentation
from windhover_training.data.augment.crops import (
    Crop,
    CropSampler,
    Sample,
    change_intensity,
    ignored,
    load_samples,
    warp_and_clip_boxes,
)
from windhover_training.data.augment.cutouts import Cutout, paste
from windhover_training.data.render.rgbt_scenes import RGBT_LABELS
from windhover_training.fusion_config import RgbtAugmentation

PERSON, WEAPON = (RGBT_LABELS.index(name) for name in ("person", "weapon"))
Pixels = NDArray[np.uint8]


def load_frames(root: Path, split: str) -> list[Sample]:
    """Read a split of four-channel frames, once from its files and then from one array.

    Args:
        root: data set of ``data render-rgbt``.
        split: name of the split.

    Returns:
        Samples whose ``(H, W, 4)`` pixels are read from disk as they are needed, from
        memory that all processes share. What is too small or too hidden to be judged has a
        class below 0.

    Raises:
        DataError: the split was never written, or a picture of it is not what it should be.
    """
    truth = root / "truth" / f"{split}.json"
    if not truth.is_file():
        raise DataError(f"{truth} is missing; make it with `windhover-train data render-rgbt`")
    document = json.loads(truth.read_text())
    images = document["images"]
    if not images:
        raise DataError(f"{truth} lists no images; run `windhover-train data render-rgbt`")
    array = _packed(root, split, images)
    rows: dict[int, list[dict[str, Any]]] = {}
    for row in document["annotations"]:
        rows.setdefault(row["image_id"], []).append(row)
    samples = []
    for pixels, image in zip(array, images, strict=True):
        own = rows.get(image["id"], [])
        xywh = np.array([r["bbox"] for r in own], np.float32).reshape(-1, 4)
        boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
        classes = np.array([r["category_id"] for r in own], np.int64)
        hidden = np.array([bool(r["iscrowd"]) for r in own], bool)
        classes[hidden] = ignored(classes[hidden])
        scale = float(image.get("pixels_per_metre", 0.0))
        samples.append(Sample(pixels, boxes, classes, image["flight"], scale))
    return samples


def _packed(root: Path, split: str, images: list[dict[str, Any]]) -> Pixels:
    """All pictures of a split as one ``(N, H, W, 4)`` array on disk.

    The array's file is named by what the picture files are (names, sizes, times of change),
    so replaced pictures are packed again. Several processes may pack at once: each writes its own
    file, and a reader keeps the one that it has mapped.
    """
    files = [root / "images" / split / image["file_name"] for image in images]
    shape = (len(images), images[0]["height"], images[0]["width"], 4)
    path = root / f"{split}-{_fingerprint(files, shape)}.npy"
    array = _mapped(path, shape)
    if array is None:
        with atomic_path(path) as partial:
            _pack(files, shape, partial)
        array = np.load(path, mmap_mode="r")
        outdated = re.compile(rf"{re.escape(split)}-[0-9a-f]+\.npy")
        for other in root.glob("*.npy"):
            if other != path and outdated.fullmatch(other.name):
                other.unlink(missing_ok=True)
    return array


def _fingerprint(files: Sequence[Path], shape: tuple[int, ...]) -> str:
    """16 hex digits that change when a picture is added, removed or replaced.

    Raises:
        DataError: a picture is missing.
    """
    facts: list[tuple[object, ...]] = [shape]
    for file in files:
        try:
            found = file.stat()
        except OSError as error:
            raise DataError(f"{file}: {error.strerror}; render the set again") from error
        facts.append((file.name, found.st_size, found.st_mtime_ns))
    return hashlib.blake2b(repr(facts).encode(), digest_size=8).hexdigest()


def _mapped(path: Path, shape: tuple[int, ...]) -> Pixels | None:
    """The array of a packed file; None where there is none, or a truncated one."""
    try:
        array = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return array if array.shape == shape and array.dtype == np.uint8 else None


def _pack(files: Sequence[Path], shape: tuple[int, int, int, int], target: Path) -> None:
    array = np.lib.format.open_memmap(target, "w+", np.uint8, shape)
    for row, file in enumerate(files):
        pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.shape != shape[1:]:
            raise DataError(f"{file} can't be read as {shape[1:]}; remove it and render again")
        array[row] = pixels
    array.flush()


class RgbtSampler(CropSampler):
    """Draws augmented four-channel crops from rendered frames."""

    def __init__(
        self,
        samples: list[Sample],
        size: int,
        class_weights: list[float],
        augmentation: RgbtAugmentation,
        rng: np.random.Generator,
        cutouts: Sequence[Cutout] = (),
    ) -> None:
        """See :class:`.CropSampler`; pixels of ``samples`` are ``(H, W, 4)``.

        ``cutouts`` are laid beside the hands of people who carry no weapon.
        """
        self.faults, self.cutouts = augmentation, cutouts
        shared = Augmentation(
            scale_near=augmentation.scale_near,
            scale_wide=augmentation.scale_wide,
            wide_probability=augmentation.wide_probability,
            on_object=augmentation.on_object,
            invert=augmentation.thermal_invert,
            gain=augmentation.thermal_gain,
            level=augmentation.thermal_level,
            stretch=0.1,
            blur=augmentation.blur,
        )
        super().__init__(samples, size, class_weights, shared, rng)

    def draw(self) -> Crop:
        """Draw one crop: ``(size, size, 4)`` uint8, boxes and classes."""
        a, rng = self.augmentation, self.rng
        sample = self.samples[int(np.searchsorted(self.cumulative, rng.random()))]
        low, high = a.scale_wide if rng.random() < a.wide_probability else a.scale_near
        scale = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        matrix = self._warp(sample, scale)
        apart = matrix.copy()
        apart[:, 2] += rng.normal(0, self.faults.misregistration, 2) * scale
        if rng.random() < self.faults.stale_thermal:
            apart[:, 2] += rng.uniform(-24, 24, 2)
        rgb = self._cut(sample.pixels, slice(0, 3), matrix, scale)
        thermal = self._cut(sample.pixels, slice(3, 4), apart, scale)
        boxes, classes = warp_and_clip_boxes(sample.boxes, sample.classes, matrix, self.size)
        if self.cutouts and sample.pixels_per_metre:
            both = np.dstack([rgb, thermal])
            boxes, classes = self._arm(both, boxes, classes, sample.pixels_per_metre * scale)
            rgb, thermal = both[..., :3], both[..., 3]
        rgb = change_colour(rgb, self.faults, rng)
        thermal = np.where(unseen(thermal), 0, change_intensity(thermal, a, rng))
        which = rng.random()
        if which < self.faults.blank_rgb:
            rgb = np.full_like(rgb, blank_level(rng))
            # Thermal hardly shows a weapon: without RGB nothing is to be claimed.
            seen = (classes != WEAPON) & (classes != ignored(WEAPON))
            boxes, classes = boxes[seen], classes[seen]
        elif which < self.faults.blank_rgb + self.faults.blank_thermal:
            thermal = np.full_like(thermal, blank_level(rng))
        return np.dstack([rgb, thermal]), boxes, classes

    def _arm(
        self,
        crop: Pixels,
        boxes: NDArray[np.float32],
        classes: NDArray[np.int64],
        pixels_per_metre: float,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Paste weapons beside some of the unarmed; returns all boxes and classes."""
        rng, weapons = self.rng, boxes[classes == WEAPON]
        pasted = []
        for person in boxes[classes == PERSON]:
            meets = (weapons[:, :2] < person[2:]) & (weapons[:, 2:] > person[:2])
            if meets.all(axis=1).any() or rng.random() >= self.faults.paste:
                continue
            cutout = self.cutouts[int(rng.integers(len(self.cutouts)))]
            box = paste(crop, cutout, person, pixels_per_metre, rng)
            if box is not None:
                pasted.append(box)
        if not pasted:
            return boxes, classes
        ids = np.full(len(pasted), WEAPON, np.int64)
        return np.concatenate([boxes, pasted]).astype(np.float32), np.concatenate([classes, ids])

    def _cut(
        self, pixels: Pixels, channels: slice, matrix: NDArray[np.float64], scale: float
    ) -> Pixels:
        """Warp some channels, reading no more of the frame than the crop shows."""
        corners = np.array([[0, 0], [self.size, 0], [0, self.size], [self.size, self.size]])
        there = (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
        x0, y0 = np.maximum(np.floor(there.min(axis=0)).astype(int) - 2, 0)
        x1, y1 = np.ceil(there.max(axis=0)).astype(int) + 3
        part = np.ascontiguousarray(pixels[y0 : max(y1, y0 + 1), x0 : max(x1, x0 + 1), channels])
        moved = matrix.copy()
        moved[:, 2] += matrix[:, :2] @ (x0, y0)
        flags = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        size = (self.size, self.size)
        fill = [float(FILL)] * part.shape[2]
        return np.asarray(cv2.warpAffine(part, moved, size, flags=flags, borderValue=fill))


class ThermalOnlySampler(CropSampler):
    """Draws four-channel crops from thermal pictures that no RGB belongs to."""

    def draw(self) -> Crop:
        """Draw one crop: ``(size, size, 4)`` uint8 with B, G, R blank, boxes and classes."""
        thermal, boxes, classes = super().draw()
        rgb = np.full((*thermal.shape, 3), blank_level(self.rng), np.uint8)
        return np.dstack([rgb, thermal]), boxes, classes


def unseen(thermal: Pixels) -> NDArray[np.bool_]:
    """Where a registered ``(H, W)`` thermal picture shows nothing: 0 over a wide area.

    Single pixels of 0 are merely the coldest of a tone-mapped picture.
    """
    empty = (thermal == 0).astype(np.uint8)
    return cv2.morphologyEx(empty, cv2.MORPH_OPEN, np.ones((17, 17), np.uint8)).astype(bool)


def load_thermal(
    root: Path, split: str, classes: dict[int, int], unreadable: dict[str, str] | None = None
) -> list[Sample]:
    """HIT-UAV as converted, with its classes renamed.

    Args:
        root: data set of ``data convert``.
        split: name of the split.
        classes: its class ids to the model's. Objects of any other class are blurred away:
            neither taught nor left in the picture as background.
        unreadable: receives the files that can't be read; see :func:`.crops.load_samples`.
    """
    renamed = []
    for sample in load_samples(root, [split], unreadable):
        known = np.isin(sample.classes, list(classes))
        pixels = sample.pixels
        if not known.all():
            pixels = pixels.copy()
            soft = cv2.GaussianBlur(pixels, (0, 0), 25)
            for x0, y0, x1, y1 in sample.boxes[~known].round().astype(int):
                pixels[y0:y1, x0:x1] = soft[y0:y1, x0:x1]
        ids = np.array([classes[int(i)] for i in sample.classes[known]], np.int64)
        renamed.append(Sample(pixels, sample.boxes[known], ids, sample.flight))
    return renamed


def blank_level(rng: np.random.Generator) -> int:
    """What a camera that gives nothing reads: mostly 0, at times the fill or any grey."""
    return int(rng.choice([0, FILL, int(rng.integers(256))], p=[0.7, 0.15, 0.15]))


def change_colour(crop: Pixels, a: RgbtAugmentation, rng: np.random.Generator) -> Pixels:
    """Change exposure, tint, sharpness and noise of a ``(H, W, 3)`` uint8 picture."""
    gain = np.exp(rng.uniform(*np.log(a.rgb_gain))) * (1 + rng.uniform(-1, 1, 3) * a.rgb_tint)
    x = crop * gain.astype(np.float32)
    if rng.random() < 0.3:
        grey = x.mean(axis=2, keepdims=True)
        x = grey + (x - grey) * np.float32(rng.uniform(0.2, 1.3))
    if rng.random() < a.blur:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 1.0))
    if rng.random() < 0.3:
        x += rng.standard_normal(x.shape, np.float32) * np.float32(rng.uniform(0, a.rgb_noise))
    return np.asarray(x.clip(0, 255), np.uint8)
