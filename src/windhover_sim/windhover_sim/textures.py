"""Ground from pictures: tiles that repeat, cut from photographs of real ground.

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

#: Materials of the ground that a picture may stand for.
Textured = Literal["grass", "dirt", "asphalt", "paving"]
TEXTURED: Final[tuple[str, ...]] = get_args(Textured)
INDEX_FILE: Final = "textures.yaml"


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
    for material in TEXTURED:
        choices = [row for row in index if row[1] == material]
        if not choices:
            continue
        name, _, scale = choices[int(rng.integers(len(choices)))]
        turns, grow = int(rng.integers(4)), float(rng.uniform(0.75, 1.33))
        picture = np.rot90(_read(folder / name), turns)
        factor = pixels_per_metre / scale * grow
        small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        half = np.concatenate([small, small[:, ::-1]], axis=1)
        found[material] = _texture(np.concatenate([half, half[::-1]], axis=0))
    return found


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
