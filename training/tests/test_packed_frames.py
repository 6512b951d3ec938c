"""Frames packed into one array: replaced pictures, truncated files, two processes at once."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from windhover.errors import DataError
from windhover_training.data.augment import rgbt_crops
from windhover_training.data.augment.rgbt_crops import load_frames


def write_set(root: Path, levels: tuple[int, ...], split: str = "train") -> Path:
    """A split whose pictures hold one level each."""
    folder = root / "images" / split
    folder.mkdir(parents=True, exist_ok=True)
    (root / "truth").mkdir(exist_ok=True)
    images = []
    for number, level in enumerate(levels):
        name = f"{number}.png"
        cv2.imwrite(str(folder / name), np.full((32, 48, 4), level, np.uint8))
        record = {"id": number, "file_name": name, "height": 32, "width": 48, "flight": "f"}
        images.append(record)
    document = {"images": images, "annotations": [], "categories": []}
    (root / "truth" / f"{split}.json").write_text(json.dumps(document))
    return root


def levels(root: Path, split: str = "train") -> list[int]:
    return [int(sample.pixels[0, 0, 0]) for sample in load_frames(root, split)]


def test_replaced_pictures_are_seen_and_the_outdated_array_goes(tmp_path: Path) -> None:
    write_set(tmp_path, (10, 20))
    write_set(tmp_path, (1,), "train-empty")
    assert levels(tmp_path) == [10, 20]
    assert levels(tmp_path, "train-empty") == [1]
    write_set(tmp_path, (10, 99))
    os.utime(tmp_path / "images/train/1.png", ns=(1, 1))
    assert levels(tmp_path) == [10, 99]
    assert len(list(tmp_path.glob("train-*.npy"))) == 2  # one of each split
    assert levels(tmp_path, "train-empty") == [1]


def test_unchanged_pictures_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_set(tmp_path, (10, 20))
    levels(tmp_path)

    def fail(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(rgbt_crops.cv2, "imread", fail)
    assert levels(tmp_path) == [10, 20]


def test_a_truncated_array_is_packed_again(tmp_path: Path) -> None:
    write_set(tmp_path, (10, 20))
    levels(tmp_path)
    (packed,) = tmp_path.glob("*.npy")
    os.truncate(packed, 200)
    assert levels(tmp_path) == [10, 20]


def test_a_missing_or_damaged_picture_is_named_and_nothing_is_left_behind(tmp_path: Path) -> None:
    write_set(tmp_path, (10, 20))
    damaged = tmp_path / "images/train/1.png"
    damaged.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1\.png"):
        load_frames(tmp_path, "train")
    damaged.unlink()
    with pytest.raises(DataError, match=r"1\.png"):
        load_frames(tmp_path, "train")
    assert not list(tmp_path.glob("*.npy")) + list(tmp_path.glob(".*"))


def _pack_together(root: Path, meet: multiprocessing.synchronize.Barrier) -> None:
    pack = rgbt_crops._pack

    def wait_and_pack(*arguments: object) -> None:
        meet.wait(60)  # both processes have found no array
        pack(*arguments)  # type: ignore[arg-type]
        meet.wait(60)  # both have written all of theirs

    rgbt_crops._pack = wait_and_pack
    assert levels(root) == list(range(40))


def test_two_processes_pack_one_set_at_once(tmp_path: Path) -> None:
    write_set(tmp_path, tuple(range(40)))
    context = multiprocessing.get_context("spawn")
    meet = context.Barrier(2)
    both = [context.Process(target=_pack_together, args=(tmp_path, meet)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    assert levels(tmp_path) == list(range(40))
    assert len(list(tmp_path.glob("*.npy"))) == 1
