"""A bundle that looks twice, made of two blob graphs, and scenes for it.

The blob graph calls what is bright a person and what is half as bright a vehicle: here a
vehicle is carried by a person.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import yaml

from windhover.model.bundle import file_sha256
from windhover.types import Frame, FullFrame
from windhover_sim.blob_bundle import build_blob_bundle

PERSON, CARRIED = 230, 150
WIDTH, HEIGHT = 640, 320
SCALE = 4
PERSON_BOX = (200.0, 100.0, 224.0, 124.0)
CARRIED_BOX = (224.5, 107.5, 233.5, 116.5)


def build_looks_twice(folder: Path, channels: Literal["rgb", "rgbt"] = "rgb") -> Path:
    """Build a bundle with a second graph on chips of 160 px that are 4.8 m across."""
    build_blob_bundle(folder, height=HEIGHT, width=WIDTH, channels=channels)
    build_blob_bundle(folder / "chips", height=160, width=160, channels="rgb", batch=4)
    manifest = yaml.safe_load((folder / "bundle.yaml").read_text())
    manifest["second_look"] = {
        "bundle": "chips",
        "sha256": file_sha256(folder / "chips" / "bundle.yaml"),
        "span_m": 4.8,
        "look_at": ["person"],
    }
    (folder / "bundle.yaml").write_text(yaml.safe_dump(manifest))
    return folder


def full_picture(carried: bool = True, moved: int = 0) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A person, and beside it what it carries, too small to be seen in the reduced frame.

    Args:
        carried: whether there is something.
        moved: pixels to the right of :data:`PERSON_BOX` in the reduced frame.
    """
    full = np.full((HEIGHT * SCALE, WIDTH * SCALE, 3), 40, np.uint8)
    left = 800 + moved * SCALE
    full[400:496, left : left + 96, 2] = PERSON
    if carried:
        full[430:466, left + 98 : left + 134, 2] = CARRIED
    return full


def frame_of(full: np.ndarray[Any, np.dtype[np.uint8]]) -> Frame:
    """A picture as the camera node hands it on."""
    small = np.asarray(cv2.resize(full, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)
    return Frame(small, "bgr8", 0, full=FullFrame(full, "bgr8"))
