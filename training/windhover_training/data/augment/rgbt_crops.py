"""Training crops of registered RGB + thermal frames, and what may go wrong with a camera.

A crop is one warp of a window of a frame, as in :mod:`.crops`; its thermal channel is
warped a little apart, because registration in flight is never exact. At times a camera is
blank or its picture stale, so that a model learns to work with the other one.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from windhover.errors import DataError
from windhover.files import atomic_path
from windhover.imaging.letterbox import FILL
from windhover_training.config import Augmentation
from windhover_training.data.augment.crops import (
    CropSampler,
    draw_intensity,
    warp_and_clip_boxes,
)
from windhover_training.data.augment.cutouts import Cutout, draw_patch
from windhover_training.data.augment.other_camera import OtherCamera, both_cameras
from windhover_training.data.augment.params import (
    ColourParams,
    ColourView,
    CropParams,
    Matrix,
    Patch,
    ThermalView,
    draw_noise,
)
from windhover_training.data.augment.samples import (
    Boxes,
    Classes,
    Pixels,
    Sample,
    ignored,
    load_samples,
)
from windhover_training.data.render.rgbt_scenes import RGBT_LABELS
from windhover_training.fusion_config import RgbtAugmentation

PERSON, WEAPON = (RGBT_LABELS.index(name) for name in ("person", "weapon"))


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
        scale = float(image.get("pixels_per_metre", 0.0))
        own = rows.get(image["id"], [])
        samples.append(frame_sample(pixels, own, image["flight"], scale))
    return samples


def frame_sample(
    pixels: Pixels, rows: Sequence[dict[str, Any]], flight: str, pixels_per_metre: float
) -> Sample:
    """A frame with its truth.

    Args:
        pixels: ``(H, W, 4)`` uint8 B, G, R, T.
        rows: COCO annotations of it.
        flight: flight or scene that it is of.
        pixels_per_metre: scale of the ground in its middle; 0 if not known.
    """
    xywh = np.array([r["bbox"] for r in rows], np.float32).reshape(-1, 4)
    boxes = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
    classes = np.array([r["category_id"] for r in rows], np.int64)
    hidden = np.array([bool(r["iscrowd"]) for r in rows], bool)
    classes[hidden] = ignored(classes[hidden])
    return Sample(pixels, boxes, classes, flight, pixels_per_metre)


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
            tone=augmentation.thermal_tone,
            stretch=0.1,
            blur=augmentation.blur,
        )
        super().__init__(samples, size, class_weights, shared, rng)

    def draw_params(self) -> CropParams:
        """Draw all that decides one crop of four channels."""
        rng = self.rng
        sample = self._draw_sample()
        scale = self._draw_scale()
        matrix = self._warp(sample, scale)
        boxes, classes = warp_and_clip_boxes(sample.boxes, sample.classes, matrix, self.size)
        patches: tuple[Patch, ...] = ()
        if self.cutouts and sample.pixels_per_metre:
            boxes, classes, patches = self._arm(boxes, classes, sample.pixels_per_metre * scale)
        rgb: ColourView | int = ColourView(matrix, draw_colour(self.faults, rng))
        thermal: ThermalView | int = self._draw_thermal(matrix, scale)
        which = rng.random()
        if which < self.faults.blank_rgb:
            rgb = blank_level(rng)
            # Thermal hardly shows a weapon: without RGB nothing is to be claimed.
            seen = (classes != WEAPON) & (classes != ignored(WEAPON))
            boxes, classes = boxes[seen], classes[seen]
        elif which < self.faults.blank_rgb + self.faults.blank_thermal:
            thermal = blank_level(rng)
        return CropParams(
            sample=sample,
            size=self.size,
            fill=float(FILL),
            rgb=rgb,
            thermal=thermal,
            boxes=boxes,
            classes=classes,
            patches=patches,
        )

    def _draw_thermal(self, matrix: Matrix, scale: float) -> ThermalView:
        rng, apart = self.rng, matrix.copy()
        apart[:, 2] += rng.normal(0, self.faults.misregistration, 2) * scale
        if rng.random() < self.faults.stale_thermal:
            apart[:, 2] += rng.uniform(-24, 24, 2)
        change = draw_intensity(self.augmentation, rng, keep_empty=True)
        return ThermalView(apart, change, (3, 4))

    def _arm(
        self, boxes: Boxes, classes: Classes, pixels_per_metre: float
    ) -> tuple[Boxes, Classes, tuple[Patch, ...]]:
        """Lay weapons beside some of the unarmed; returns all boxes and classes."""
        rng, weapons = self.rng, boxes[classes == WEAPON]
        drawn = []
        for person in boxes[classes == PERSON]:
            meets = (weapons[:, :2] < person[2:]) & (weapons[:, 2:] > person[:2])
            if meets.all(axis=1).any() or rng.random() >= self.faults.paste:
                continue
            cutout = self.cutouts[int(rng.integers(len(self.cutouts)))]
            found = draw_patch(self.size, cutout, person, pixels_per_metre, rng)
            if found is not None:
                drawn.append(found)
        if not drawn:
            return boxes, classes, ()
        ids = np.full(len(drawn), WEAPON, np.int64)
        boxes = np.concatenate([boxes, [box for _, box in drawn]]).astype(np.float32)
        return boxes, np.concatenate([classes, ids]), tuple(patch for patch, _ in drawn)


@dataclass(frozen=True, eq=False)
class NightRgb:
    """RGB at night beside real thermal.

    Attributes:
        other: makes the pictures.
        share: of the crops that have one.
        augmentation: how they are changed; what concerns thermal is left out.
    """

    other: OtherCamera
    share: float
    augmentation: RgbtAugmentation


class ThermalOnlySampler(CropSampler):
    """Draws four-channel crops from thermal pictures that no RGB belongs to."""

    def __init__(
        self,
        samples: list[Sample],
        size: int,
        class_weights: list[float],
        augmentation: Augmentation,
        rng: np.random.Generator,
        unlabelled: Sequence[int] = (),
        night: NightRgb | None = None,
    ) -> None:
        """See :class:`.CropSampler`.

        ``night`` gives a part of the crops a dark RGB picture; without it all have none.
        """
        super().__init__(samples, size, class_weights, augmentation, rng, unlabelled)
        self.night = night

    def draw_params(self) -> CropParams:
        """Draw all that decides one crop of four channels, B, G, R blank or of another place."""
        params, rng = super().draw_params(), self.rng
        if self.night is not None and rng.random() < self.night.share:
            dark = self.night.other.night_rgb(self.size, rng)
            if dark is not None:
                assert isinstance(params.thermal, ThermalView)
                colour = draw_colour(self.night.augmentation, rng)
                return both_cameras(params, dark, colour, params.thermal.change)
        return replace(params, rgb=blank_level(rng))


def load_thermal(
    root: Path, split: str, classes: dict[int, int], unreadable: dict[str, str] | None = None
) -> list[Sample]:
    """HIT-UAV as converted, with its classes renamed.

    Args:
        root: data set of ``data convert``.
        split: name of the split.
        classes: its class ids to the model's. Objects of any other class are blurred away:
            neither taught nor left in the picture as background.
        unreadable: receives the files that can't be read; see :func:`.samples.load_samples`.
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


def draw_colour(a: RgbtAugmentation, rng: np.random.Generator) -> ColourParams:
    """Draw exposure, tint, saturation, sharpness and noise of an RGB picture."""
    low, high = a.rgb_gain
    exposure = math.exp(rng.uniform(math.log(low), math.log(high)))
    blue, green, red = (exposure * (1 + rng.uniform(-1, 1, 3) * a.rgb_tint)).tolist()
    grey, blur, noise = rng.random(3).tolist()
    return ColourParams(
        gain=(blue, green, red),
        saturation=float(rng.uniform(0.2, 1.3)) if grey < 0.3 else 1.0,
        blur=float(rng.uniform(0.4, 1.0)) if blur < a.blur else 0.0,
        noise=draw_noise(float(rng.uniform(0, a.rgb_noise)), rng) if noise < 0.3 else None,
    )
