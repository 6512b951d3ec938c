"""A tiny HIT-UAV as its publisher would have written it, flaws included."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from windhover_training.data import hit_uav, split
from windhover_training.data.check import check_frames
from windhover_training.data.sets import SETS
from windhover_training.data.summary import Summary
from windhover_training.data.writer import write_set

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
