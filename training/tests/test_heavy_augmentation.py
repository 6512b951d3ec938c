"""The guide's augmentation is really applied, to all channels and boxes alike."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from windhover.errors import DataError
from windhover_training.data.augment.heavy import (
    Canvas,
    HeavyAugmentation,
    HeavySampler,
    change_colour,
    copy_objects,
    mosaic,
)
from windhover_training.data.readers.pictures import (
    Picture,
    Reader,
    hide,
    load_pictures,
    read_files,
)

PLAIN = HeavyAugmentation(
    mosaic=0, mixup=0, copy_paste=0, degrees=0, scale=(1, 1), shear=0, perspective=0,
    flipud=0, fliplr=0, hsv_h=0, hsv_s=0, hsv_v=0,
)  # fmt: skip
SIDE = 96
LABELS = ["person", "vehicle"]
CATEGORIES = [{"id": i, "name": name} for i, name in enumerate(LABELS)]


def write_set(root: Path, channels: int, count: int = 6) -> Path:
    """Images with two bright rectangles each, one file an image."""
    rng = np.random.default_rng(channels)
    images, annotations = [], []
    (root / "images/train").mkdir(parents=True)
    (root / "truth").mkdir()
    for i in range(1, count + 1):
        pixels = rng.integers(40, 60, (SIDE, SIDE, channels), np.uint8)
        for x, y, w, h, k in ((10 + i, 20, 12, 20, 0), (50, 40 + i, 30, 16, 1)):
            pixels[y : y + h, x : x + w] = 200 + 20 * k
            row = {"id": len(annotations) + 1, "image_id": i, "category_id": k, "iscrowd": 0}
            annotations.append(row | {"bbox": [x, y, w, h]})
        cv2.imwrite(str(root / f"images/train/{i}.png"), pixels)
        images.append({"id": i, "file_name": f"{i}.png", "width": SIDE, "height": SIDE})
    document = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    (root / "truth/train.json").write_text(json.dumps(document))
    return root


@pytest.fixture(scope="module", params=[1, 3, 4])
def pictures(request, tmp_path_factory) -> tuple[list[Picture], int]:
    root = write_set(tmp_path_factory.mktemp(f"set{request.param}"), request.param)
    return load_pictures(root, ["train"], request.param, LABELS), request.param


def sampler(pictures, augmentation: HeavyAugmentation, seed: int = 1) -> HeavySampler:
    return HeavySampler(pictures[0], SIDE, pictures[1], augmentation, seed)


def test_nothing_changes_without_augmentation(pictures) -> None:
    drawer = sampler(pictures, PLAIN)
    pixels, boxes, classes = drawer.draw(0)
    first = pictures[0][int(np.random.default_rng((1, 0, 0)).permutation(6)[0])]
    np.testing.assert_array_equal(pixels, Reader(pictures[1])(first))
    np.testing.assert_allclose(boxes, first.boxes, atol=1e-4)
    np.testing.assert_array_equal(classes, first.classes)


def test_every_picture_leads_once_an_epoch(pictures) -> None:
    drawer = sampler(pictures, PLAIN)
    for epoch in (0, 1):
        shifts = sorted(round(float(drawer.draw(6 * epoch + i)[1][0, 0])) for i in range(6))
        assert shifts == [11, 12, 13, 14, 15, 16]


def test_what_is_drawn_depends_on_seed_and_number_alone(pictures) -> None:
    heavy = HeavyAugmentation()
    a, b = sampler(pictures, heavy), sampler(pictures, heavy)
    b.draw(3)
    for x, y in zip(a.draw(7), b.draw(7), strict=True):
        np.testing.assert_array_equal(x, y)
    assert not np.array_equal(a.draw(7)[0], sampler(pictures, heavy, seed=2).draw(7)[0])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_boxes_lie_on_their_objects_in_every_channel(pictures, seed) -> None:
    """Without blending, the middle of every box is bright in all channels."""
    still = HeavyAugmentation(mixup=0, hsv_h=0, hsv_s=0, hsv_v=0, least_seen=0.6)
    pixels, boxes, classes = sampler(pictures, still, seed).draw(0)
    assert len(boxes) == len(classes)
    for x1, y1, x2, y2 in boxes:
        middle = pixels[int((y1 + y2) / 2), int((x1 + x2) / 2)]
        assert np.min(middle) > 120
        assert 0 <= x1 < x2 <= SIDE
        assert 0 <= y1 < y2 <= SIDE


@pytest.mark.parametrize(
    "change",
    [
        {"mosaic": 1}, {"mixup": 1}, {"copy_paste": 1}, {"degrees": 15}, {"scale": (0.8, 1.2)},
        {"shear": 5}, {"perspective": 0.001}, {"flipud": 1}, {"fliplr": 1},
    ],
)  # fmt: skip
def test_each_change_is_applied(pictures, change) -> None:
    plain = sampler(pictures, PLAIN)
    changed = sampler(pictures, PLAIN.model_copy(update=change))
    assert any(not np.array_equal(plain.draw(i)[0], changed.draw(i)[0]) for i in range(3))


def test_scale_is_the_resulting_one(pictures) -> None:
    widths = [
        b[2] - b[0]
        for i in range(60)
        for b in sampler(pictures, PLAIN.model_copy(update={"scale": (0.8, 1.2)})).draw(i)[1][:1]
    ]
    assert 0.78 * 12 < min(widths) < 0.9 * 12
    assert 1.1 * 12 < max(widths) < 1.22 * 12


def test_colour_changes_leave_the_thermal_channel_alone() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (32, 32, 4), np.uint8)
    out = change_colour(pixels, HeavyAugmentation(), rng)
    np.testing.assert_array_equal(out[:, :, 3], pixels[:, :, 3])
    assert not np.array_equal(out[:, :, :3], pixels[:, :, :3])
    assert change_colour(pixels, PLAIN, rng) is pixels


def test_a_mosaic_holds_four_images_around_a_point() -> None:
    tiles = [
        Canvas(np.full((40, 40), 50 * (i + 1), np.uint8), np.float32([[5, 5, 35, 35]]),
               np.array([i]))
        for i in range(4)
    ]  # fmt: skip
    for seed in range(5):
        canvas = mosaic(tiles, 40, np.random.default_rng(seed))
        assert canvas.pixels.shape == (80, 80)
        assert set(np.unique(canvas.pixels)) <= {50, 100, 114, 150, 200}
        for box, kind in zip(canvas.boxes, canvas.classes, strict=True):
            x, y = int(box[[0, 2]].mean()), int(box[[1, 3]].mean())
            assert canvas.pixels[y, x] == 50 * (kind + 1)


def test_copied_objects_hide_none_and_carry_their_boxes() -> None:
    donor = Canvas(
        np.full((60, 60, 4), 250, np.uint8),
        np.float32([[10, 10, 22, 30], [30, 5, 50, 20]]),
        np.array([2, 3]),
    )
    own = np.float32([[0, 0, 60, 30]])
    canvas = Canvas(np.zeros((120, 120, 4), np.uint8), own, np.array([0]))
    copy_objects(canvas, donor, 2, np.random.default_rng(1))
    assert sorted(canvas.classes.tolist()) == [0, 2, 3]
    for x1, y1, x2, y2 in canvas.boxes[1:]:
        assert (canvas.pixels[int((y1 + y2) / 2), int((x1 + x2) / 2)] > 240).all()
        assert x1 >= 60 or y1 >= 27
    assert {tuple(np.round(b[2:] - b[:2])) for b in canvas.boxes[1:]} == {(12, 20), (20, 15)}


def test_hidden_regions_are_blurred_and_objects_in_them_are_not(pictures) -> None:
    first = pictures[0][0]
    region = np.float32([[0, 0, SIDE, SIDE]])
    pixels = Reader(pictures[1])(first)
    hidden = hide(pixels, region, first.boxes[:1])
    x1, y1, x2, y2 = first.boxes[0].astype(int)
    np.testing.assert_array_equal(hidden[y1:y2, x1:x2], pixels[y1:y2, x1:x2])
    x1, y1, x2, y2 = first.boxes[1].astype(int)
    assert hidden[y1:y2, x1:x2].max() < 150
    fewer = first.teaching(np.array([True, False]))
    assert len(fewer.boxes) == len(fewer.hidden) == 1
    assert Reader(pictures[1])(fewer)[y1:y2, x1:x2].max() < 150


def test_a_pair_becomes_four_channels(tmp_path: Path) -> None:
    for name, pixels in (
        ("rgb", np.full((20, 30, 3), (1, 2, 3), np.uint8)),
        ("thermal", np.full((20, 30), 9, np.uint8)),
    ):
        (tmp_path / f"images/train/{name}").mkdir(parents=True)
        cv2.imwrite(str(tmp_path / f"images/train/{name}/a.png"), pixels)
    (tmp_path / "truth").mkdir()
    image = {"id": 1, "file_name": "rgb/a.png", "rgb": "rgb/a.png", "thermal": "thermal/a.png"}
    box = {"image_id": 1, "category_id": 0, "bbox": [2, 2, 5, 5]}
    document = {"images": [image], "annotations": [box], "categories": CATEGORIES}
    (tmp_path / "truth/train.json").write_text(json.dumps(document))
    for channels, wanted in ((4, [1, 2, 3, 9]), (3, [1, 2, 3]), (1, 9)):
        (picture,) = load_pictures(tmp_path, ["train"], channels, LABELS)
        assert (Reader(channels)(picture)[5, 5] == wanted).all()


def test_what_is_wrong_with_a_set_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="data convert"):
        load_pictures(tmp_path, ["train"], 1, LABELS)
    (tmp_path / "truth").mkdir()
    for text, said in (("{", "damaged"), ("{}", "damaged")):
        (tmp_path / "truth/train.json").write_text(text)
        with pytest.raises(DataError, match=said):
            load_pictures(tmp_path, ["train"], 1, LABELS)
    empty = {"images": [], "annotations": [], "categories": CATEGORIES}
    (tmp_path / "truth/train.json").write_text(json.dumps(empty))
    with pytest.raises(DataError, match="hold no object of person, vehicle"):
        load_pictures(tmp_path, ["train"], 1, LABELS)
    image = {"id": 1, "file_name": "thermal/a.png", "thermal": "thermal/a.png"}
    (tmp_path / "truth/train.json").write_text(json.dumps(empty | {"images": [image]}))
    with pytest.raises(DataError, match="no rgb image"):
        load_pictures(tmp_path, ["train"], 4, LABELS)
    cv2.imwrite(str(tmp_path / "grey.png"), np.zeros((8, 8), np.uint8))
    with pytest.raises(DataError, match="no RGB channel"):
        read_files((tmp_path / "grey.png",), 4)


def test_hidden_regions_come_from_the_truth_unless_the_image_was_filled(tmp_path: Path) -> None:
    root = write_set(tmp_path / "set", 1, 1)
    document = json.loads((root / "truth/train.json").read_text())
    document["annotations"][1]["iscrowd"] = 1
    document["annotations"].append(document["annotations"][1] | {"id": 9, "category_id": 0})
    for filled, count in ((False, 1), (True, 0)):
        document["images"][0]["filled"] = filled
        (root / "truth/train.json").write_text(json.dumps(document))
        (picture,) = load_pictures(root, ["train"], 1, LABELS)
        assert (len(picture.boxes), len(picture.hidden)) == (1, count)
    assert replace(picture, flight="x").flight == "x"


def test_what_is_wrong_with_boxes_is_counted_and_left_out(tmp_path: Path) -> None:
    root = write_set(tmp_path / "set", 1, 2)
    path = root / "truth/train.json"
    document = json.loads(path.read_text())
    good = document["annotations"][0]
    wrong = [
        {"bbox": [1, 2, 3]},
        {"bbox": None},
        {"bbox": [float("nan"), 1, 5, 5]},
        {"bbox": [5, 5, 0, 4]},
        {"bbox": [SIDE + 5, 5, 10, 10]},
        {"category_id": 7},
        {"image_id": 99},
    ]
    document["annotations"] += [good | change for change in wrong]
    document["annotations"].append(good | {"bbox": [SIDE - 10, -5, 20, 20]})  # reaches outside
    path.write_text(json.dumps(document))
    flaws: Counter[str] = Counter()
    first, second = load_pictures(root, ["train"], 1, LABELS, flaws)
    assert (len(first.boxes), len(second.boxes)) == (3, 2)
    np.testing.assert_allclose(first.boxes[2], [SIDE - 10, 0, SIDE, 15])
    assert {text: n for text, n in flaws.items() if n} == {
        "box that is not four numbers": 2,
        "box that is not finite": 1,
        "box without area inside its image": 2,
        "box of a category that is no label": 1,
        "box of an image that is not in the set": 1,
    }


def test_categories_become_classes_by_name(tmp_path: Path) -> None:
    root = write_set(tmp_path / "set", 1, 1)
    (picture,) = load_pictures(root, ["train"], 1, ["weapon", "vehicle", "person"])
    assert picture.classes.tolist() == [2, 1]
    (only,) = load_pictures(root, ["train"], 1, ["vehicle"])
    assert only.classes.tolist() == [0]


def test_a_damaged_image_is_passed_over_and_named(tmp_path: Path) -> None:
    root = write_set(tmp_path / "set", 1)
    (root / "images/train/3.png").write_bytes(b"no image")
    (root / "images/train/4.png").unlink()
    pictures = load_pictures(root, ["train"], 1, LABELS)
    drawer = HeavySampler(pictures, SIDE, 1, HeavyAugmentation(), 1)
    drawer.look_at([(2, 10.0, 10.0)], 0.5)
    for number in range(12):
        assert drawer.draw(number)[0].shape == (SIDE, SIDE)
    assert {Path(name).name for name in drawer.unreadable} == {"3.png", "4.png"}
    for path in (root / "images/train").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="in a row can't be read"):
        HeavySampler(pictures, SIDE, 1, HeavyAugmentation(), 1).draw(0)
