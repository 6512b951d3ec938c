"""Cuts ground, walls and cloth out of real pictures, for :mod:`windhover_sim.textures`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import cv2
import yaml
from pydantic import Field, RootModel

from windhover.errors import DataError
from windhover_sim.textures import INDEX_FILE, Textured
from windhover_training.config import Strict, load_config


class Patch(Strict):
    """A rectangle of a picture of a converted set.

    Attributes:
        set: folder of the set, beside the others.
        image: file name of the picture, whatever its split.
        box: x, y, width, height, pixels.
        material: that it shows.
        pixels_per_metre: of what it shows.
    """

    set: str
    image: str
    box: tuple[int, int, Annotated[int, Field(ge=16)], Annotated[int, Field(ge=16)]]
    material: Textured
    pixels_per_metre: float = Field(gt=0)


def read_patches(path: Path) -> list[Patch]:
    """Read a list of patches.

    Raises:
        ConfigError: it can't be read or is no such list.
    """
    return load_config(path, RootModel[list[Patch]]).root


def cut_textures(patches: list[Patch], sets: Path, out: Path) -> int:
    """Write patches as PNG files and their index.

    Args:
        patches: what to cut.
        sets: folder of the converted sets.
        out: folder that exists.

    Returns:
        How many were written.

    Raises:
        DataError: a picture is missing or smaller than its patch.
    """
    index = []
    for number, patch in enumerate(patches):
        found = sorted((sets / patch.set / "images").glob(f"*/rgb/{patch.image}"))
        picture = cv2.imread(str(found[0])) if found else None
        if picture is None:
            raise DataError(
                f"{sets / patch.set}: no picture {patch.image}; convert that set first "
                "(training/README.md)"
            )
        x, y, width, height = patch.box
        part = picture[y : y + height, x : x + width]
        if part.shape[:2] != (height, width):
            raise DataError(f"{found[0]}: {picture.shape[1]}x{picture.shape[0]} lacks {patch.box}")
        name = f"{number:02d}-{patch.material}.png"
        if not cv2.imwrite(str(out / name), part):
            raise DataError(f"{out / name}: can't be written; free some space")
        row = {"file": name, "material": patch.material, "source": f"{patch.set}/{patch.image}"}
        index.append({**row, "pixels_per_metre": patch.pixels_per_metre})
    (out / INDEX_FILE).write_text(yaml.safe_dump(index, sort_keys=False), encoding="utf-8")
    return len(index)
