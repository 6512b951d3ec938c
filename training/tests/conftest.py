"""A tiny HIT-UAV as its publisher would have written it, flaws included."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from windhover_training.data.convert import split
from windhover_training.data.convert.check import check_frames
from windhover_training.data.convert.summary import Summary
from windhover_training.data.convert.writer import write_set
from windhover_training.data.readers import hit_uav
from windhover_training.data.readers.sets import SETS

CATEGORIES = ["Person", "Car", "Bicycle", "OtherVehicle", "DontCare"]


def _publish(root: Path, images: dict[str, list[tuple[int, list[float]]]]) -> Path:
    """Write one image and its (category, x y w h) boxes per name, spread over the lists."""
    rng = np.random.default_rng(0)
    lists = {s: {"images": [], "annotation": []} for s in ("train", "val", "test")}
    box_id = 0
    for i, (name, boxes) in enumerate(images.items()):
        split = ("train", "val", "test")[i % 3]
        (root / split).mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(60, 90, (128, 160), np.uint8)
        for category, (x, y, w, h) in boxes:
            if category < 4 and np.isfinite([x, y, w, h]).all():
                pixels[int(max(y, 0)) : int(y + h), int(max(x, 0)) : int(x + w)] = 220
        cv2.imwrite(str(root / split / name), pixels)
        lists[split]["images"].append({"filename": name, "height": 128, "width": 160, "id": i})
        for category, bbox in boxes:
            box_id += 1
            row = {"id": box_id, "image_id": i, "category_id": category, "bbox": bbox}
            lists[split]["annotation"].append(row)
    (root / "annotations").mkdir()
    for split, document in lists.items():
        document["categories"] = [{"id": i, "name": n} for i, n in enumerate(CATEGORIES)]
        (root / "annotations" / f"{split}.json").write_text(json.dumps(document))
    return root


def _convert(root: Path, out: Path, held_out: dict[str, list[str]]) -> Summary:
    summary = Summary()
    raws = list(hit_uav.read(root, summary))
    labels = SETS["hit-uav"].label_map(None, raws)
    frames = check_frames(raws, labels, "hit-uav", summary)
    flights = split.assign(dict.fromkeys(frame.flight for frame in frames), held_out)
    splits = {part: [f for f in frames if f.flight in names] for part, names in flights.items()}
    write_set(out, splits, labels.labels, summary)
    return summary


@pytest.fixture
def publish() -> Callable[..., Path]:
    """Write images and boxes the way HIT-UAV is published."""
    return _publish


@pytest.fixture
def convert() -> Callable[..., Summary]:
    """Convert a published folder with the given flights held out."""
    return _convert


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """Three flights of four frames: day 60 m, night 60 m, night 80 m."""
    images = {}
    for prefix, start in (("0_60_30_0", 100), ("1_60_30_0", 110), ("1_80_30_0", 120)):
        for i in range(4):
            boxes = [(0, [20.0 + 5 * i, 30, 10, 20]), (1, [80, 60, 40, 24]), (2, [10, 90, 20, 12])]
            boxes += [(3, [120, 10, 30, 20]), (4, [60, 5, 30, 20])]
            images[f"{prefix}_{start + i:05d}.jpg"] = boxes
    return _publish(tmp_path / "published", images)


def _write_shapes(root: Path, channels: int = 1, side: int = 64, train: int = 12) -> Path:
    """A set that a tiny model can learn from: bright upright and dark lying rectangles."""
    rng = np.random.default_rng(channels)
    (root / "truth").mkdir(parents=True)
    for part, count in (("train", train), ("val", 4)):
        (root / "images" / part).mkdir(parents=True)
        images, annotations = [], []
        for i in range(1, count + 1):
            pixels = rng.integers(100, 130, (side, side, channels), np.uint8)
            large = i % 3 > 0
            for k, (w, h) in enumerate([(10, 18), (22, 12)] if large else [(7, 9)]):
                x, y = int(rng.integers(1, side // 2 - 8)), int(rng.integers(1, side - h - 1))
                x += k * side // 2 - k * 4
                pixels[y : y + h, x : x + w] = 230 if k == 0 else 20
                row = {"id": len(annotations) + 1, "image_id": i, "category_id": k, "iscrowd": 0}
                annotations.append(row | {"bbox": [x, y, w, h], "area": w * h})
            cv2.imwrite(str(root / "images" / part / f"{i}.png"), pixels)
            size = {"width": side, "height": side, "flight": f"flight{i // 4}"}
            images.append({"id": i, "file_name": f"{i}.png", **size})
        categories = [{"id": 0, "name": "upright"}, {"id": 1, "name": "lying"}]
        document = {"images": images, "annotations": annotations, "categories": categories}
        (root / f"truth/{part}.json").write_text(json.dumps(document))
    return root


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Root of a set of 12 training and 4 validation images with so many channels."""
    made: dict[int, Path] = {}

    def root(channels: int) -> Path:
        if channels not in made:
            made[channels] = _write_shapes(
                tmp_path_factory.mktemp("shapes") / str(channels), channels
            )
        return made[channels]

    return root


@pytest.fixture
def epoch_settings(shapes: Callable[[int], Path]) -> Callable[..., dict]:
    """Values of a config for a phase that counts epochs: two of them on 12 images."""

    def settings(channels: int = 1, model: str = "tiny11.yaml", **training: object) -> dict:
        return {
            "name": "tiny",
            "model": str(Path(__file__).parent / model),
            "labels": ["upright", "lying"],
            "channels": channels,
            "data": shapes(channels),
            "imgsz": 64,
            "epochs": 2,
            "batch": 4,
            "warmup_epochs": 0.5,
            "lr0": 4e-3,
            "ema": 0.9,
            "amp": False,
            "device": "cpu",
            **training,
        }

    return settings
