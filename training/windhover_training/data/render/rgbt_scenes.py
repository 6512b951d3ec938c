"""Rendered scenes as registered RGB + thermal frames with exact truth.

Every scene has its own seed and a split takes a range of seeds, so that no scene is
on both sides. The thermal picture is tone mapped as the library does it in flight and
laid on the RGB grid by the true ground homography; truth is that of the RGB camera.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from windhover.errors import DataError
from windhover.files import write_json
from windhover.imaging.agc import percentile_agc
from windhover_evaluation.fan_out import HERE, Progress, Workers
from windhover_sim import SCENE_LABELS, Camera, Scene, SceneConfig, SceneFrame
from windhover_sim.calibration import true_homography
from windhover_training.data.convert.truth_file import write_truth
from windhover_training.data.render.thermal_scenes import LEAST_VISIBLE, time_of_day

#: What rgbt-n tells apart. A rendered two-wheeler is a motorcycle; who rides it is a person. A
#: bicycle is neither a motorcycle nor none: at 20 pixels nobody could tell, and as background it
#: cost real motorcycles more than half of their AP (training/README.md).
RGBT_LABELS: Final = ("person", "weapon", "motorcycle", "vehicle")
_RGBT_ID: Final = {"person": 0, "weapon": 1, "two-wheeler": 2, "vehicle": 3, "bicycle": 2}
#: A weapon whose visible part is shorter than this in the RGB image, pixels, is one head
#: cell or less: ignored, neither taught nor scored. All pistols from 30 m up are.
LEAST_WEAPON_PX: Final = 8.0
_HOURS: Final = {"night": (21.0, 29.0), "day": (9.0, 17.0), "dusk": (18.0, 20.5)}


@dataclass(frozen=True, slots=True)
class Part:
    """One split: which seeds, how many frames of each, and how wide scenes may vary.

    Attributes:
        name: of the split.
        seeds: one scene each.
        frames: of each scene, evenly spread over it.
        held_out: cameras as specified and 30-50 m, instead of training's wider ranges.
        empty: nobody and nothing to be found in it.
        armed: crowds of people with weapons and with what looks like them.
        varied: light, cameras, clothes and things that the plain scenes do not have, bicycles too.
        textures: folder of pictures for the ground, for most of the varied scenes.
    """

    name: str
    seeds: range
    frames: int = 3
    held_out: bool = False
    empty: bool = False
    armed: bool = False
    varied: bool = False
    textures: Path | None = None


def parts(count: int, textures: Path | None = None) -> list[Part]:
    """The splits of a data set.

    Args:
        count: training scenes.
        textures: folder of pictures for the ground (:mod:`windhover_sim.textures`), or none.
    """
    textures = None if textures is None else textures.resolve()
    varied = partial(Part, varied=True, textures=textures)
    return [
        varied("train", range(100_000, 100_000 + count)),
        # A weapon in every other crop teaches little in a run of hours: here they are many.
        varied("armed", range(200_000, 200_000 + max(1, count // 2)), armed=True),
        # What is nothing and looks like something: bins, blocks, lamps, foliage.
        varied("clear", range(300_000, 300_000 + max(1, count // 5)), empty=True),
        Part("val", range(1_000, 1_040), held_out=True),
        # One frame in a hundred may be wrong: a hundred scenes are too few to choose by.
        Part("val-empty", range(600, 1_000), frames=1, held_out=True, empty=True),
        Part("test", range(60), frames=2, held_out=True),
        Part("empty", range(500, 560), frames=2, held_out=True, empty=True),
    ]


def draw_scene(seed: int, part: Part) -> SceneConfig:
    """Choose height, view, hour, weather and crowd of a scene from its seed alone."""
    rng = np.random.default_rng((30_000, seed))
    period = str(rng.choice(list(_HOURS), p=[0.45, 0.43, 0.12]))
    hour = float(rng.uniform(*_HOURS[period]) % 24)
    crowd = int(rng.choice([4, 12, 26], p=[0.3, 0.45, 0.25]))
    altitude, pitch = float(rng.uniform(26, 55)), float(rng.uniform(42, 90))
    thermal_hfov, rgb_hfov = float(rng.uniform(52, 66)), float(rng.uniform(58, 74))
    if part.held_out:
        altitude, pitch = float(rng.uniform(30, 50)), float(rng.uniform(50, 90))
        thermal_hfov, rgb_hfov = 60.0, 66.0
    counts: dict[str, Any] = {
        "n_people": int(rng.integers(0, crowd + 1)),
        "n_armed": int(rng.integers(0, 8)),
        "n_lookalikes": int(rng.integers(0, 7)),
        "n_motorcycles": int(rng.integers(0, 7)),
        "n_cars": int(rng.integers(0, 10)),
    }
    if part.empty or (not part.held_out and rng.random() < 0.06):
        counts = dict.fromkeys(counts, 0)
    config = SceneConfig(
        seed=int(seed),
        altitude_m=altitude,
        pitch_deg=pitch,
        time_of_day=hour,
        duration_s=20.0,
        speed_mps=float(rng.uniform(0, 1.2)),
        thermal_hfov_deg=thermal_hfov,
        rgb_hfov_deg=rgb_hfov,
        motion=float(rng.uniform(0, 1.5)),
        noise=float(rng.uniform(0.6, 1.5)),
        clutter=float(rng.uniform(0.3, 1.6)),
        weapons=str(rng.choice(["rifle", "rifle,shotgun", "rifle,rifle,shotgun,pistol"])),
        crowding=float(rng.uniform(0, 0.6)),
        occlusion=float(rng.choice([0.0, 0.25])),
        fog=float(rng.choice([0.0, rng.uniform(0.1, 0.7)], p=[0.8, 0.2])),
        rain=float(rng.choice([0.0, rng.uniform(0.1, 0.9)], p=[0.85, 0.15])),
        defocus=float(rng.choice([0.0, rng.uniform(0.4, 1.2)], p=[0.75, 0.25])),
        **counts,
    )
    if part.armed:
        armed, others = int(rng.integers(12, 22)), int(rng.integers(6, 14))
        config = replace(
            config,
            n_people=3,
            n_armed=armed,
            n_lookalikes=others,
            crowding=0.75,
            altitude_m=float(rng.uniform(28, 46)),
        )
    return _varied(config, part) if part.varied else config


def _varied(config: SceneConfig, part: Part) -> SceneConfig:
    """The same scene, three times in four under another sky and with more about."""
    rng = np.random.default_rng((31_000, config.seed))
    if rng.random() < 0.25:
        return config
    empty = not (config.n_people + config.n_armed + config.n_cars + config.n_motorcycles)
    textured = part.textures is not None and rng.random() < 0.8
    return replace(
        config,
        variety=float(rng.uniform(0.3, 1)),
        n_bicycles=0 if empty else int(rng.integers(0, 5)),
        textures=str(part.textures) if textured else "",
    )


def registered(frame: SceneFrame) -> NDArray[np.uint8]:
    """The four channels that the drone's ``rgbt/image`` has.

    Args:
        frame: rendered by both cameras.

    Returns:
        ``(H, W, 4)`` uint8 B, G, R, T on the RGB grid; T is 0 where the thermal camera
        does not see.
    """
    assert frame.rgb is not None
    assert frame.thermal is not None
    height, width = frame.rgb.shape[:2]
    warped = cv2.warpPerspective(
        percentile_agc(frame.thermal),
        true_homography(frame.rgb_camera, frame.thermal_camera),
        (width, height),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    return np.dstack([frame.rgb, warped])


def ground_scale(camera: Camera) -> float:
    """Pixels a metre of what faces the camera takes on the ground in the image's middle."""
    sink = -float(camera.rotation[2, 2])
    return camera.intrinsics.focal * sink / float(camera.position[2])


def truth_rows(frame: SceneFrame) -> list[dict[str, Any]]:
    """COCO annotations, without ids, of one frame in RGB pixels."""
    truth, rows = frame.rgb_truth, []
    for box, kind, visible in zip(truth.boxes, truth.class_ids, truth.visibility, strict=True):
        label = SCENE_LABELS[kind]
        sides = box[2:] - box[:2]
        tiny = label == "weapon" and sides.max() < LEAST_WEAPON_PX
        rows.append(
            {
                "category_id": _RGBT_ID[label],
                "bbox": [round(float(v), 2) for v in (*box[:2], *sides)],
                "area": float(sides.prod()),
                "iscrowd": int(
                    bool(label == "bicycle" or visible < LEAST_VISIBLE or tiny or sides.min() < 1.5)
                ),
            }
        )
    return rows


def render_scene(out: Path, part: Part, seed: int) -> None:
    """Render one scene's frames, then its rows, whose presence says that it is complete."""
    cv2.setNumThreads(1)
    config = draw_scene(seed, part)
    scene = Scene(config)
    rows = []
    for index in np.linspace(0, config.length - 1, part.frames).astype(int):
        frame = scene.render(int(index), "both")
        name = f"scene-{seed:06d}-{index:04d}.png"
        pixels = registered(frame)
        path = out / "images" / part.name / name
        if not cv2.imwrite(str(path), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
            raise DataError(f"{path}: can't be written; free some space")
        image = {
            "file_name": name,
            "height": pixels.shape[0],
            "width": pixels.shape[1],
            "flight": f"scene-{seed}",
            "time_of_day": time_of_day(config.hour),
            "altitude": round(float(frame.altitude_m), 1),
            "pixels_per_metre": round(ground_scale(frame.rgb_camera), 3),
        }
        rows.append({"image": image, "annotations": truth_rows(frame)})
    write_json(scene_file(out, part.name, seed), rows)


def scene_file(out: Path, split: str, seed: int) -> Path:
    """Where a scene's rows are, once its pictures are complete."""
    return out / "scenes" / split / f"{seed:06d}.json"


def render_missing(
    out: Path,
    split: str,
    seeds: Sequence[int],
    render: Callable[[int], None],
    labels: Sequence[str],
    workers: Workers,
    progress: Progress | None,
) -> int:
    """Render the scenes of a split that are not there yet, and write its truth.

    Args:
        out: data set root.
        split: its name.
        seeds: one scene each.
        render: of a seed; writes :func:`scene_file` last.
        labels: of the classes.
        workers: that render.
        progress: called with scenes done and scenes in all.

    Returns:
        How many pictures the split has.
    """
    for folder in ("images", "scenes"):
        (out / folder / split).mkdir(parents=True, exist_ok=True)
    files = [scene_file(out, split, seed) for seed in seeds]
    missing = [seed for seed, path in zip(seeds, files, strict=True) if not path.is_file()]
    for _ in workers.map(render, missing, progress=progress):
        pass
    rows = (row for path in files for row in json.loads(path.read_text(encoding="utf-8")))
    return write_truth(out / "truth" / f"{split}.json", rows, labels)


def render_part(
    out: Path, part: Part, workers: Workers = HERE, progress: Progress | None = None
) -> int:
    """Render a split, going on where an earlier call stopped.

    Args:
        out: data set root.
        part: which split.
        workers: that render.
        progress: called with scenes done and scenes to do.

    Returns:
        How many images the split has.
    """
    render = partial(render_scene, out, part)
    return render_missing(out, part.name, part.seeds, render, RGBT_LABELS, workers, progress)
