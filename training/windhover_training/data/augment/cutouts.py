"""Cut-outs of weapons from close-up pictures, and pasting them where hands would be.

The close-ups (``cgi_weapons``) have boxes and no masks, and busy backgrounds. Within a box
the weapon is nearly always the darkest thing, so what is dark, long and spans the box is
taken for it and the rest refused: fewer cut-outs, but weapons. At the scale that 30-50 m
gives a cut-out is about twenty pixels long, so its outline matters and its texture does not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import DataError
from windhover_training.data.augment.params import Patch

#: Length of each kind in metres, from butt to muzzle.
LENGTHS_M: Final = {"rifle": (0.75, 1.1), "shotgun": (0.9, 1.25)}
_LEAST_PX: Final = 90.0
_LEAST_SPAN: Final = 0.72
_SLENDER: Final = 4.0
_LEAST_FILL: Final = 0.4
_OUT_PX: Final = 128
#: Where hands are in a person's box seen from above at a slant: middle and spread of it.
_HANDS: Final = ((0.5, 0.42), (0.28, 0.14))


@dataclass(frozen=True, slots=True)
class Cutout:
    """A weapon lying along x, butt and muzzle at the ends.

    Attributes:
        kind: a key of :data:`LENGTHS_M`.
        bgr: ``(h, 128, 3)`` uint8.
        alpha: ``(h, 128)`` float32 coverage, 0..1.
    """

    kind: str
    bgr: NDArray[np.uint8]
    alpha: NDArray[np.float32]


def read_cutouts(root: Path) -> list[Cutout]:
    """Cut the long weapons out of a COCO folder of close-ups.

    Args:
        root: holds ``_annotations.coco.json`` and the pictures.

    Raises:
        DataError: there is no such list, or nothing in it can be cut out.
    """
    path = root / "_annotations.coco.json"
    if not path.is_file():
        raise DataError(f"{path} is missing; give the folder of close-ups with their COCO list")
    document = json.loads(path.read_text(encoding="utf-8"))
    names = {c["id"]: str(c["name"]) for c in document["categories"]}
    boxes: dict[int, list[tuple[str, list[float]]]] = {}
    for row in document["annotations"]:
        kind = names.get(row["category_id"], "")
        if kind in LENGTHS_M:
            boxes.setdefault(row["image_id"], []).append((kind, row["bbox"]))
    found = []
    for image in document["images"]:
        if image["id"] not in boxes:
            continue
        read = cv2.imread(str(root / image["file_name"]))
        if read is None:
            continue
        pixels = np.asarray(read, np.uint8)
        for kind, box in boxes[image["id"]]:
            mask = weapon_mask(pixels, box)
            if mask is not None:
                found.append(_lay_flat(kind, pixels, mask))
    if not found:
        raise DataError(f"{root}: no weapon in it stands out from its background")
    return found


def weapon_mask(pixels: NDArray[np.uint8], box: list[float]) -> NDArray[np.uint8] | None:
    """Mask of the weapon in a box, or ``None`` where it does not stand out from its surroundings.

    Args:
        pixels: ``(H, W, 3)`` BGR.
        box: left, top, width, height.

    Returns:
        ``(H, W)`` uint8, 0 or 255.
    """
    x, y, w, h = (round(v) for v in box)
    part = cv2.GaussianBlur(pixels[y : y + h, x : x + w], (0, 0), 1.0)
    if min(part.shape[:2]) < 8:
        return None
    level = part.max(axis=2)
    threshold, dark = cv2.threshold(level, 0, 255, cv2.THRESH_BINARY_INV | cv2.THRESH_OTSU)
    if threshold > 120:
        return None
    dark = cv2.morphologyEx(dark, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, labels, stats, _ = cv2.connectedComponentsWithStats(dark)
    if count < 2:
        return None
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    own = (labels == largest).astype(np.uint8) * 255
    (_, (a, b), _) = cv2.minAreaRect(np.argwhere(own)[:, ::-1].astype(np.float32))
    long, short = max(a, b), max(min(a, b), 1.0)
    filled = float((own > 0).sum()) / (long * short)
    spans = long / float(np.hypot(w, h))
    if long < _LEAST_PX or long / short < _SLENDER or spans < _LEAST_SPAN:
        return None
    if filled < _LEAST_FILL:
        return None
    mask = np.zeros(pixels.shape[:2], np.uint8)
    mask[y : y + h, x : x + w] = own
    return mask


def _lay_flat(kind: str, pixels: NDArray[np.uint8], mask: NDArray[np.uint8]) -> Cutout:
    points = np.argwhere(mask)[:, ::-1].astype(np.float32)
    centre = points.mean(axis=0)
    _, _, axes = np.linalg.svd(points - centre, full_matrices=False)
    along = (points - centre) @ axes[0]
    across = (points - centre) @ axes[1]
    scale = _OUT_PX / float(np.ptp(along) + 1)
    height = max(4, round(float(np.ptp(across) + 1) * scale))
    linear = axes[:2] * scale
    low = np.array([along.min(), across.min()]) * scale
    matrix = np.column_stack([linear, -linear @ centre - low])
    size = (_OUT_PX, height)
    bgr = cv2.warpAffine(pixels, matrix, size, flags=cv2.INTER_AREA)
    alpha = cv2.warpAffine(mask, matrix, size, flags=cv2.INTER_AREA).astype(np.float32) / 255
    return Cutout(kind, np.asarray(bgr, np.uint8), alpha.astype(np.float32))


def draw_patch(
    size: int,
    cutout: Cutout,
    person: NDArray[np.float32],
    pixels_per_metre: float,
    rng: np.random.Generator,
) -> tuple[Patch, NDArray[np.float32]] | None:
    """Draw how a cut-out lies beside the hands of a person.

    Args:
        size: side of the crop, pixels.
        cutout: what.
        person: x1, y1, x2, y2 in pixels of the crop.
        pixels_per_metre: scale of the ground there.
        rng: source of length, turn, place, light and warmth.

    Returns:
        What is to be laid over the crop, and the ``(4,)`` box of it; ``None`` where it would
        leave the crop.
    """
    metres = rng.uniform(*LENGTHS_M[cutout.kind])
    # Foreshortened, since it is rarely held square to the view.
    length = metres * pixels_per_metre * rng.uniform(0.6, 1.0)
    angle = rng.uniform(0, 2 * np.pi)
    sides = person[2:] - person[:2]
    (middle, spread) = _HANDS
    hand = person[:2] + sides * np.clip(rng.normal(middle, spread), 0.05, 0.95)
    height, width = cutout.alpha.shape
    scale = length / width
    cos, sin = np.cos(angle), np.sin(angle)
    linear = scale * np.array([[cos, -sin], [sin, cos]]) @ np.diag([1, rng.choice([-1, 1])])
    # Held a third of the way along it, as rifles are.
    grip = np.array([width * rng.uniform(0.25, 0.5), height / 2])
    matrix = np.column_stack([linear, hand - linear @ grip])
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) @ linear.T
    corners += matrix[:, 2]
    low = np.floor(corners.min(axis=0)).astype(int) - 1
    high = np.ceil(corners.max(axis=0)).astype(int) + 2
    if low.min() < 0 or high.max() > size:
        return None
    matrix[:, 2] -= low
    extent = (int(high[0] - low[0]), int(high[1] - low[1]))
    # An averaged shrink: twenty pixels are made of a hundred.
    fine = 4
    big = (extent[0] * fine, extent[1] * fine)
    alpha = cv2.resize(cv2.warpAffine(cutout.alpha, matrix * fine, big), extent, None, 0, 0, 3)
    if float(alpha.max()) < 0.3:
        return None
    bgr = cv2.resize(cv2.warpAffine(cutout.bgr, matrix * fine, big), extent, None, 0, 0, 3)
    rows, columns = np.nonzero(alpha > 0.3)
    corner = np.array([columns.min(), rows.min()])
    far = np.array([columns.max() + 1, rows.max() + 1])
    box = np.concatenate([corner + low, far + low]).astype(np.float32)
    patch = Patch(
        corner=(int(low[0]), int(low[1])),
        alpha=np.asarray(alpha, np.float32),
        bgr=np.asarray(bgr, np.float32),
        light=float(rng.uniform(0.6, 1.4)),
        warmth=float(rng.normal(0, 10)),
    )
    return patch, box


def lay_colour(crop: NDArray[np.float32], patch: Patch) -> None:
    """Lay a patch into ``(S, S, 3)`` under the crop's own light, in place."""
    x, y = patch.corner
    height, width = patch.alpha.shape
    window = crop[y : y + height, x : x + width]
    light = min(max(float(window.mean()) / 110, 0.08), 1.3) * patch.light
    layer = np.minimum(patch.bgr * light, 255)
    window += patch.alpha[..., None] * (layer - window)


def lay_thermal(crop: NDArray[np.float32], patch: Patch) -> None:
    """Lay a patch into ``(S, S)`` thermal, in place: it is as warm as what is around."""
    x, y = patch.corner
    height, width = patch.alpha.shape
    window = crop[y : y + height, x : x + width]
    level = min(max(float(np.percentile(window, 25)) + patch.warmth, 0.0), 255.0)
    window += patch.alpha * (level - window)
