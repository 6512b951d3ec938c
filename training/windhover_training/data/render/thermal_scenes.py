"""Rendered thermal scenes as a data set in the same layout as the converted ones.

Every scene has its own seed; a split takes a range of seeds, so that no scene is on
both sides. Weapons are drawn and stay in the pictures, but thermal-n has no such class:
who carries one is a person.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from windhover.errors import DataError
from windhover.imaging.agc import percentile_agc
from windhover_evaluation.fan_out import HERE, Progress, Workers
from windhover_sim import SCENE_LABELS, Scene, SceneConfig, SceneFrame
from windhover_training.data.readers.hit_uav import LABELS

LEAST_VISIBLE = 0.35  # less of an object than this is ignored, neither taught nor scored
FRAMES = 3  # a scene's frames are seconds apart: other places and poses, same world


def draw_config(seed: int) -> SceneConfig:
    """Choose height, view, hour and crowd of a scene from its seed alone."""
    rng = np.random.default_rng((20_000, seed))
    hours = {"night": (21.0, 29.0), "day": (9.0, 17.0), "dusk": (18.0, 20.5)}
    period = rng.choice(list(hours), p=[0.45, 0.4, 0.15])
    crowd = rng.choice([4, 12, 30], p=[0.35, 0.45, 0.2])
    return SceneConfig(
        seed=int(seed),
        altitude_m=float(rng.uniform(28, 70)),
        pitch_deg=float(rng.uniform(35, 90)),
        time_of_day=float(rng.uniform(*hours[str(period)]) % 24),
        n_people=int(rng.integers(0, crowd + 1)),
        n_armed=int(rng.integers(0, 5)),
        n_motorcycles=int(rng.integers(0, 9)),
        n_cars=int(rng.integers(0, 12)),
        duration_s=20.0,
        thermal_hfov_deg=float(rng.uniform(32, 62)),
        motion=float(rng.uniform(0, 1.5)),
        noise=float(rng.uniform(0.5, 2.0)),
        clutter=float(rng.uniform(0.3, 1.6)),
    )


def render_split(
    out: Path,
    split: str,
    seeds: range,
    workers: Workers = HERE,
    progress: Progress | None = None,
) -> int:
    """Render scenes into ``images/``, ``labels/`` and ``truth/`` of one split.

    Args:
        out: data set root.
        split: name of the split.
        seeds: one scene each.
        workers: that render.
        progress: called with scenes done and scenes in all.

    Returns:
        How many images were written.
    """
    (out / "images" / split).mkdir(parents=True, exist_ok=True)
    (out / "truth").mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    render = partial(_render_scene, out / "images" / split)
    for rows in workers.map(render, seeds, progress=progress):
        for image, boxes in rows:
            images.append({"id": len(images) + 1, **image})
            for box in boxes:
                ids = {"id": len(annotations) + 1, "image_id": len(images)}
                annotations.append({**ids, **box})
    categories = [{"id": i, "name": name} for i, name in enumerate(LABELS)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (out / "truth" / f"{split}.json").write_text(json.dumps(document))
    return len(images)


def _render_scene(folder: Path, seed: int) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Render one scene's frames; returns the rows of each, without ids."""
    cv2.setNumThreads(1)
    config = draw_config(seed)
    scene = Scene(config)
    rows = []
    for index in np.linspace(0, config.length - 1, FRAMES).astype(int):
        frame = scene.render(int(index), "thermal")
        name = f"scene-{seed:06d}-{index:04d}.png"
        path = folder / name
        if not cv2.imwrite(str(path), _tone_map(frame, seed, int(index))):
            raise DataError(f"{path}: can't be written; free some space")
        rows.append((_image_row(name, config, frame), _boxes(frame)))
    return rows


def _tone_map(frame: SceneFrame, seed: int, index: int) -> np.ndarray:
    rng = np.random.default_rng((seed, index))
    # The library's own percentiles are 1 and 99; others stand for other cameras' AGC.
    low, high = (1.0, 99.0) if rng.random() < 0.6 else (rng.uniform(0, 3), rng.uniform(97, 100))
    assert frame.thermal is not None
    return percentile_agc(frame.thermal, low, high)


def _image_row(name: str, config: SceneConfig, frame: SceneFrame) -> dict[str, Any]:
    assert frame.thermal is not None
    height, width = frame.thermal.shape
    return {
        "file_name": name,
        "height": int(height),
        "width": int(width),
        "flight": f"scene-{config.seed}",
        "time_of_day": time_of_day(config.hour),
        "altitude": round(float(frame.altitude_m), 1),
    }


def time_of_day(hour: float) -> str:
    """``day``, ``dusk`` or ``night`` of an hour, 0 to 24."""
    if hour < 6 or hour >= 20.5:
        return "night"
    return "day" if 7 <= hour < 18 else "dusk"


def _boxes(frame: SceneFrame) -> list[dict[str, Any]]:
    truth = frame.thermal_truth
    assert truth is not None
    rows: list[dict[str, Any]] = []
    for box, class_id, visible in zip(truth.boxes, truth.class_ids, truth.visibility, strict=True):
        label = SCENE_LABELS[class_id]
        sides = box[2:] - box[:2]
        if label not in LABELS or sides.min() < 2:
            continue
        rows.append(
            {
                "category_id": LABELS.index(label),
                "bbox": [float(v) for v in (*box[:2], *sides)],
                "area": float(sides.prod()),
                "iscrowd": int(visible < LEAST_VISIBLE),
            }
        )
    return rows
