"""Cut-outs of weapons and where they are pasted."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from windhover.errors import DataError
from windhover_training.data.augment.cutouts import (
    LENGTHS_M,
    draw_patch,
    lay_colour,
    lay_thermal,
    read_cutouts,
    weapon_mask,
)
from windhover_training.data.augment.rgbt_crops import PERSON, WEAPON, RgbtSampler
from windhover_training.data.augment.samples import Sample
from windhover_training.fusion_config import RgbtAugmentation


@pytest.fixture
def close_ups(tmp_path: Path) -> Path:
    """One clear rifle, one that is lost in the dark, one pistol."""
    images, rows = [], []
    for i, (kind, background) in enumerate([(2, 190), (2, 20), (1, 190)]):
        pixels = np.full((300, 300, 3), background, np.uint8)
        cv2.line(pixels, (40, 60), (250, 230), (25, 22, 20), 16)
        cv2.imwrite(str(tmp_path / f"{i}.png"), pixels)
        images.append({"id": i, "file_name": f"{i}.png"})
        rows.append({"id": i, "image_id": i, "category_id": kind, "bbox": [32, 52, 226, 186]})
    names = ["Weapons", "pistol", "rifle", "shotgun"]
    document = {
        "images": images,
        "annotations": rows,
        "categories": [{"id": i, "name": n} for i, n in enumerate(names)],
    }
    (tmp_path / "_annotations.coco.json").write_text(json.dumps(document))
    return tmp_path


def test_only_clear_long_weapons_are_cut_out(close_ups: Path) -> None:
    (cutout,) = read_cutouts(close_ups)
    assert cutout.kind == "rifle"
    height, width = cutout.alpha.shape
    assert width / height > 4
    # It lies along x, and the mask is on the weapon: its pixels are the dark ones.
    assert cutout.bgr[cutout.alpha > 0.9].mean() < 40
    assert (cutout.alpha > 0.5).any(axis=0).mean() > 0.95


def test_a_folder_without_weapons_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"_annotations.coco.json is missing"):
        read_cutouts(tmp_path)
    assert weapon_mask(np.full((50, 50, 3), 200, np.uint8), [0, 0, 50, 50]) is None


def test_pasted_at_the_scale_beside_the_person(close_ups: Path) -> None:
    (cutout,) = read_cutouts(close_ups)
    person = np.float32([90, 80, 104, 112])
    rng = np.random.default_rng(0)
    scale = 21.0
    sides, warmth = [], []
    for _ in range(200):
        frame = np.full((200, 200, 4), 120, np.float32)
        drawn = draw_patch(200, cutout, person, scale, rng)
        assert drawn is not None
        patch, box = drawn
        lay_colour(frame[..., :3], patch)
        lay_thermal(frame[..., 3], patch)
        frame, before = frame.round(), np.full((200, 200, 4), 120)
        changed = np.argwhere((frame != before).any(axis=2))[:, ::-1]
        # All that was changed is in the box, but for its soft rim.
        assert (changed >= box[:2] - 2).all()
        assert (changed <= box[2:] + 2).all()
        warmth.append(bool((frame[..., 3] != before[..., 3]).any()))
        sides.append(float(np.hypot(*(box[2:] - box[:2]))))
        reach = LENGTHS_M["rifle"][1] * scale
        centre = (box[:2] + box[2:]) / 2
        assert (centre > person[:2] - reach).all()
        assert (centre < person[2:] + reach).all()
    assert np.mean(warmth) > 0.8
    low, high = LENGTHS_M["rifle"]
    assert 0.5 * low * scale < min(sides)
    assert max(sides) < 1.2 * high * scale


def test_nothing_is_pasted_beyond_the_frame(close_ups: Path) -> None:
    (cutout,) = read_cutouts(close_ups)
    corner = np.float32([0, 0, 4, 4])
    assert draw_patch(40, cutout, corner, 80.0, np.random.default_rng(0)) is None


def test_the_sampler_arms_the_unarmed_only(close_ups: Path) -> None:
    pixels = np.full((200, 200, 4), 120, np.uint8)
    boxes = np.float32([[40, 40, 54, 72], [120, 120, 134, 152], [118, 130, 138, 136]])
    classes = np.array([PERSON, PERSON, WEAPON])
    sample = Sample(pixels, boxes, classes, "f", pixels_per_metre=21.0)
    # Where RGB is blank no weapon is taught.
    settings = RgbtAugmentation(
        paste=1.0, on_object=1.0, scale_near=(1, 1), scale_wide=(1, 1), blank_rgb=0
    )
    sampler = RgbtSampler(
        [sample], 192, [1] * 4, settings, np.random.default_rng(3), read_cutouts(close_ups)
    )
    for _ in range(10):
        _, _, found = sampler.draw()
        if (found == PERSON).sum() == 2:
            assert (found == WEAPON).sum() in (1, 2)  # one pasted, unless it would leave the crop
    unknown = Sample(pixels, boxes, classes, "f")
    sampler = RgbtSampler(
        [unknown], 192, [1] * 4, settings, np.random.default_rng(3), read_cutouts(close_ups)
    )
    assert all((sampler.draw()[2] == WEAPON).sum() <= 1 for _ in range(5))
