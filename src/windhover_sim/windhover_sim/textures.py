"""Surfaces from pictures: tiles that repeat, cut from photographs of real ground and cloth.

A folder of them has a ``textures.yaml``: a list of ``file``, ``material`` (one of
:data:`TEXTURED`) and ``pixels_per_metre``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import ConfigError
from windhover.plain_yaml import YamlError, read_yaml
from windhover_sim.noise import Field

#: Materials of the ground that a picture may stand for, and those of bodies.
Ground = Literal["grass", "dirt", "asphalt", "paving"]
Covered = Literal["wall", "roof", "cloth"]
Textured = Ground | Covered
TEXTURED: Final[tuple[str, ...]] = (*get_args(Ground), *get_args(Covered))
INDEX_FILE: Final = "textures.yaml"
#: Kelvin that a surface of twice the mean brightness differs by: folds, joints and stains.
_WARMTH_K: Final = 2.0


@dataclass(frozen=True, slots=True)
class Texture:
    """One tile that repeats without a seam.

    Attributes:
        bgr: ``(h, w, 3)`` uint8 at the scale that was asked for.
        tone: ``(h, w)`` float32, how bright against its mean, deviation 1.
    """

    bgr: NDArray[np.uint8]
    tone: Field

    def rows(self, start: int, stop: int, width: int) -> NDArray[np.uint8]:
        """``(stop - start, width, 3)`` rows of the ground that it covers."""
        return self.bgr[_wrapped(start, stop, len(self.bgr))][
            :, _wrapped(0, width, self.bgr.shape[1])
        ]

    def tones(self, size: int) -> Field:
        """``(size, size)`` of the ground that it covers."""
        height, width = self.tone.shape
        return self.tone[_wrapped(0, size, height)][:, _wrapped(0, size, width)]


def draw_textures(
    folder: Path, rng: np.random.Generator, pixels_per_metre: float
) -> dict[str, Texture]:
    """Choose a tile for each material that the folder has some of.

    Args:
        folder: of tiles.
        rng: random generator.
        pixels_per_metre: of the tiles that are returned; their own size varies by a third.

    Raises:
        ConfigError: the folder or a picture of it can't be read, or its index is no such list.
    """
    index = _read_index(folder)
    found = {}
    for material in get_args(Ground):
        choices = [row for row in index if row[1] == material]
        if not choices:
            continue
        name, _, scale = choices[int(rng.integers(len(choices)))]
        turns, grow = int(rng.integers(4)), float(rng.uniform(0.75, 1.33))
        picture = np.rot90(_read(folder / name), turns)
        factor = pixels_per_metre / scale * grow
        small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        found[material] = _texture(_mirrored(np.asarray(small, np.uint8)))
    return found


@dataclass(frozen=True, slots=True)
class Cover:
    """How the surface of bodies varies from its mean colour and warmth.

    Attributes:
        shade: of each level, each half of the one before: ``(h, w, 3)`` float32 that colours
            are multiplied by, mean 1; repeats without a seam.
        tone: likewise ``(h, w)`` float32, kelvin.
        pixels_per_metre: of the first level.
    """

    shade: tuple[NDArray[np.float32], ...]
    tone: tuple[Field, ...]
    pixels_per_metre: float


@lru_cache(maxsize=16)
def read_covers(folder: Path, material: Covered) -> tuple[Cover, ...]:
    """All of a folder's pictures of a material.

    Raises:
        ConfigError: the folder or a picture of it can't be read, or its index is no such list.
    """
    return tuple(
        _cover(_read(folder / name), scale)
        for name, its, scale in _read_index(folder)
        if its == material
    )


def _cover(bgr: NDArray[np.uint8], pixels_per_metre: float) -> Cover:
    whole = _mirrored(bgr).astype(np.float32)
    # Black cloth is noise in a picture: as much is added as keeps it quiet.
    shade = np.clip((whole + 20) / (whole.mean(axis=(0, 1)) + 20), 0.4, 1.8)
    levels = [np.asarray(shade / shade.mean(axis=(0, 1)), np.float32)]
    while min(levels[-1].shape[:2]) >= 16:
        small = cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        levels.append(np.asarray(small, np.float32))
    tones = tuple(_WARMTH_K * (each.mean(axis=2) - 1) for each in levels)
    return Cover(tuple(levels), tones, pixels_per_metre)


def _mirrored(bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture with its mirror images beside and below it, so that it repeats without a seam."""
    half = np.concatenate([bgr, bgr[:, ::-1]], axis=1)
    return np.concatenate([half, half[::-1]], axis=0)


def _texture(bgr: NDArray[np.uint8]) -> Texture:
    grey = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY).astype(np.float32)
    half = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return Texture(bgr, np.asarray((half - half.mean()) / max(float(half.std()), 1.0), np.float32))


def _wrapped(start: int, stop: int, period: int) -> NDArray[np.int64]:
    return np.arange(start, stop) % period


@lru_cache(maxsize=4)
def _read_index(folder: Path) -> tuple[tuple[str, str, float], ...]:
    path = folder / INDEX_FILE
    try:
        rows = read_yaml(path)
        index = tuple(
            (str(row["file"]), str(row["material"]), float(row["pixels_per_metre"])) for row in rows
        )
    except (OSError, YamlError, TypeError, KeyError, ValueError) as error:
        raise ConfigError(f"{path}: not a list of textures: {error}") from None
    unknown = sorted({material for _, material, _ in index} - set(TEXTURED))
    if unknown or not index:
        raise ConfigError(f"{path}: material {unknown} must be one of {', '.join(TEXTURED)}")
    return index


@lru_cache(maxsize=64)
def _read(path: Path) -> NDArray[np.uint8]:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ConfigError(f"{path}: not a picture that OpenCV can read")
    return np.asarray(picture, np.uint8)
