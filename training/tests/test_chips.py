"""Chips for the second look: rendered, cut from pictures, and drawn for training."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from windhover.errors import DataError
from windhover_sim.config import SCENE_LABELS
from windhover_sim.truth import SceneTruth
from windhover_training.data.augment.chip_crops import ChipSampler
from windhover_training.data.augment.samples import Sample, load_colour
from windhover_training.data.convert.real_chips import SIZE, cut_chips, cut_person, is_held_out
from windhover_training.data.render.chips import (
    ChipPart,
    chip_parts,
    chip_truth,
    chips_of_scene,
    render_chips,
)
from windhover_training.data.render.rgbt_scenes import Part
from windhover_training.second_look_config import ChipAugmentation

STILL = ChipAugmentation(
    shift=0, gain=(1.0, 1.0), tint=0, contrast=0, grey=0, blur=0, noise=0, coarse=0
)


def test_no_scene_is_in_two_splits() -> None:
    seeds = [set(part.scenes.seeds) for part in chip_parts(400) if not part.name.startswith("test")]
    seeds.append(set(range(60)))
    assert sum(map(len, seeds)) == len(set().union(*seeds))


def test_a_scene_gives_chips_whose_weapons_are_boxed(tmp_path: Path) -> None:
    part = ChipPart("few", Part("few", range(400_000, 400_001), armed=True), frames=1, most=6)
    count = render_chips(tmp_path, part)
    truth = json.loads((tmp_path / "truth/few.json").read_text())
    assert count == len(truth["images"]) == 6
    assert {image["width"] for image in truth["images"]} == {160}
    armed = [image["id"] for image in truth["images"] if image["attributes"]["armed"]]
    boxed = {row["image_id"] for row in truth["annotations"]}
    assert armed
    assert len(boxed & set(armed)) >= len(armed) // 2
    # Resumed: what is complete is not drawn again.
    (tmp_path / "images/few").rename(tmp_path / "images/away")
    assert render_chips(tmp_path, part) == 6
    assert not list((tmp_path / "images/few").iterdir())
    assert json.loads((tmp_path / "truth/few.json").read_text()) == truth
    again = [row for _, row in chips_of_scene(part, 400_000)]
    assert [r["image"]["flight"] for r in again] == ["scene-400000"] * 6


def test_chips_of_things_are_of_two_wheelers_first() -> None:
    scenes = Part("things", range(470_000, 470_006))
    part = ChipPart("things", scenes, frames=1, most=4, around="things", exact=True)
    shown = [
        row["image"]["attributes"]["shows"]
        for seed in scenes.seeds
        for _, row in chips_of_scene(part, seed)
    ]
    assert {"two-wheeler", "vehicle", "clutter"} == set(shown)
    assert len(shown) > 12


def test_weapons_too_short_to_be_told_are_ignored() -> None:
    weapon, person = SCENE_LABELS.index("weapon"), SCENE_LABELS.index("person")
    boxes = np.array([[10, 10, 40, 14], [50, 50, 80, 54], [20, 20, 30, 60]], np.float32)
    truth = SceneTruth(
        boxes, boxes, np.array([weapon, weapon, person], np.int32), np.array([1, 2, 3]),
        np.array([1.0, 0.05, 1.0], np.float32), np.array([3, 3, 0]),
    )  # fmt: skip
    rows = chip_truth(truth, to_reference=0.5)
    assert [row["iscrowd"] for row in rows] == [0, 1]
    assert rows[0]["bbox"] == [10.0, 10.0, 30.0, 4.0]
    assert [row["iscrowd"] for row in chip_truth(truth, to_reference=0.2)] == [1, 1]


def test_a_person_is_cut_out_with_its_weapon_where_it_is() -> None:
    picture = np.full((400, 600, 3), 90, np.uint8)
    person, weapon = np.array([250.0, 100.0, 310.0, 260.0]), np.array([300.0, 150.0, 360.0, 160.0])
    picture[150:160, 300:360] = 255
    chip, placed = cut_person(picture, person, np.stack([weapon, weapon + 400]))
    assert chip.shape == (SIZE, SIZE, 3)
    assert len(placed) == 1
    x1, y1, x2, y2 = placed[0].round().astype(int)
    assert chip[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].min() > 230
    bright = np.argwhere(chip[..., 0] > 170)
    assert bright.min(axis=0) == pytest.approx([y1, x1], abs=1.1)
    assert bright.max(axis=0) + 1 == pytest.approx([y2, x2], abs=1.1)


def test_places_are_on_one_side_only(tmp_path: Path) -> None:
    root, out = tmp_path / "raw", tmp_path / "set"
    for folder in ("images", "labels"):
        (root / "weapon_videos" / folder).mkdir(parents=True)
    for video in range(30):
        for frame in range(3):
            name = f"video{video}_{frame}.rf.{frame}"
            image = np.full((64, 64, 3), video, np.uint8)
            cv2.imwrite(str(root / "weapon_videos/images" / f"{name}.jpg"), image)
            (root / "weapon_videos/labels" / f"{name}.txt").write_text("1 0.5 0.5 0.2 0.1\n")
    counts = cut_chips(root, out)
    assert sum(counts.values()) == 90
    flights = {}
    for split in counts:
        truth = json.loads((out / "truth" / f"{split}.json").read_text())
        flights[split] = {image["flight"] for image in truth["images"]}
        assert {image["flight"] for image in truth["images"] if is_held_out(image["flight"])} == (
            flights[split] if split.endswith("-val") else set()
        )
    assert not set.intersection(*flights.values())
    samples = load_colour(out, ["videos"], ["weapon"])
    assert samples[0].pixels.shape == (SIZE, SIZE, 3)
    np.testing.assert_allclose(samples[0].boxes[0], [70.4, 79.2, 105.6, 96.8], atol=0.1)


def test_a_folder_without_sources_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds none of"):
        cut_chips(tmp_path, tmp_path / "out")


def sampler(augmentation: ChipAugmentation, seed: int = 0) -> ChipSampler:
    pixels = np.full((160, 160, 3), 60, np.uint8)
    pixels[40:60, 90:130] = 220
    box = np.array([[90, 40, 130, 60]], np.float32)
    sample = Sample(pixels, box, np.zeros(1, np.int64), "a")
    rng = np.random.default_rng(seed)
    return ChipSampler([sample], 160, augmentation, rng, (0.8, 1.25))


def test_boxes_follow_the_pixels_through_every_turn() -> None:
    drawing = sampler(STILL)
    for _ in range(30):
        pixels, boxes, classes = drawing.draw()
        assert classes.tolist() == [0]
        bright = np.argwhere(pixels[..., 0] > 140)
        low, high = bright.min(axis=0)[::-1], bright.max(axis=0)[::-1] + 1
        assert boxes[0] == pytest.approx([*low, *high], abs=1.2)


def test_what_is_drawn_follows_from_the_seed() -> None:
    first, again = sampler(ChipAugmentation(), 3), sampler(ChipAugmentation(), 3)
    for _ in range(5):
        np.testing.assert_array_equal(first.draw()[0], again.draw()[0])
