"""Rendered chips of people for the second look, with the boxes of what they carry.

A chip is what a camera of some width sees of 2.9 m around a person (``Scene.close_up``), or
around a thing that the first look may take for one: handlebars look like a rifle. Every scene
has a seed and a split takes a range of seeds, so that no scene is in two splits. The layout is
that of :mod:`.rgbt_scenes`: ``images/<split>``, ``truth/<split>.json``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import cv2
import numpy as np

from windhover.errors import DataError
from windhover.files import write_json
from windhover_evaluation.fan_out import HERE, Progress, Workers
from windhover_sim import SCENE_LABELS, Scene
from windhover_sim.camera import Floats
from windhover_sim.truth import SceneTruth
from windhover_training.data.render.rgbt_scenes import (
    LEAST_WEAPON_PX,
    Part,
    draw_scene,
    render_missing,
    scene_file,
)
from windhover_training.data.render.thermal_scenes import LEAST_VISIBLE, time_of_day

CHIP_LABELS: Final = ("weapon",)
SIZE: Final = 160
SPAN_M: Final = 2.9
#: Camera widths that training mixes, and their shares.
WIDTHS: Final = {3840: 0.7, 2560: 0.2, 1920: 0.1}
#: How far off a chip of training is: the first look's boxes are not exact.
_JITTER_M: Final = 0.15
_SPAN_FACTORS: Final = (0.85, 1.2)
#: Width at which the size of a weapon is judged, as for the first look.
_REFERENCE_WIDTH: Final = 1280
_WEAPON: Final = SCENE_LABELS.index("weapon")


@dataclass(frozen=True, slots=True)
class ChipPart:
    """One split of a set of chips.

    Attributes:
        name: of the split.
        scenes: which scenes, and how they are drawn.
        frames: of each scene.
        most: chips of a frame.
        around: what the chips are centred on: people, or things, two-wheelers first.
        width: of the camera; ``None`` mixes :data:`WIDTHS`.
        exact: chips are centred on the person, at the exact span.
    """

    name: str
    scenes: Part
    frames: int = 3
    most: int = 14
    around: Literal["people", "things"] = "people"
    width: int | None = None
    exact: bool = False


def chip_parts(count: int) -> list[ChipPart]:
    """The splits of a set with ``count`` training scenes."""
    armed = Part("armed", range(400_000, 400_000 + max(1, count * 3 // 4)), armed=True)
    plain = Part("plain", range(450_000, 450_000 + max(1, count // 4)))
    things = Part("things", range(470_000, 470_000 + max(1, count // 4)))
    held_out = Part("test", range(60), held_out=True)
    return [
        ChipPart("train", armed),
        ChipPart("train-plain", plain),
        ChipPart("train-things", things, most=8, around="things"),
        ChipPart("val", Part("val", range(1_000, 1_060), held_out=True), frames=2, exact=True),
        *(
            ChipPart(f"test-{width}", held_out, 2, 999, width=width, exact=True)
            for width in (3840, 2560, 1920, 1280)
        ),
    ]


def chips_of_scene(part: ChipPart, seed: int) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """Draw one scene's chips.

    Yields:
        ``(160, 160, 3)`` uint8 BGR and its row: ``image`` without id and file name, and
        ``annotations`` without ids.
    """
    # The full picture is never drawn, so it need not be held.
    config = replace(draw_scene(seed, part.scenes), rgb_size=(SIZE, SIZE))
    scene = Scene(config)
    rng = np.random.default_rng((9, seed))
    if part.exact:
        indices = np.linspace(0, config.length - 1, part.frames).astype(int)
    else:
        indices = np.sort(rng.integers(0, config.length, part.frames))
    for index in indices.tolist():
        taken = 0
        for target in _targets(scene, part, index, rng):
            if taken == part.most:
                break
            drawn = _chip(scene, part, index, target, rng)
            if drawn is None:
                continue
            taken += 1
            yield drawn


@dataclass(frozen=True, slots=True)
class _Target:
    """What a chip is centred on, and what is noted of it."""

    centre: Floats
    attributes: dict[str, Any]


def _targets(scene: Scene, part: ChipPart, index: int, rng: np.random.Generator) -> list[_Target]:
    """All that chips of a frame may be centred on, in the order of drawing."""
    if part.around == "people":
        found = [
            _Target(each.centre, {"carries": each.carries, "armed": each.armed})
            for each in scene.people(index)
        ]
        return [found[row] for row in rng.permutation(len(found)).tolist()]
    things = scene.things(index)
    mixed = [things[row] for row in rng.permutation(len(things)).tolist()]
    # Two-wheelers are taken for people more often than anything else.
    mixed.sort(key=lambda thing: thing.label != "two-wheeler")
    return [_Target(each.centre, {"shows": each.label or "clutter"}) for each in mixed]


def _chip(
    scene: Scene, part: ChipPart, index: int, target: _Target, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, Any]] | None:
    width = part.width or int(rng.choice(list(WIDTHS), p=list(WIDTHS.values())))
    aim, span = target.centre, SPAN_M
    if not part.exact:
        aim = aim + np.array([*rng.normal(0.0, _JITTER_M, 2), 0.0])
        span = SPAN_M * float(rng.uniform(*_SPAN_FACTORS))
    camera = scene.camera(index, "rgb")
    # The square camera of the close-ups has the width's view and less of its height.
    pixel, depth = camera.project(target.centre[None])
    share = pixel[0] / np.array([camera.intrinsics.width, camera.intrinsics.height])
    tall = np.abs(share[1] - 0.5) * 16 / 9
    if depth[0] <= 0 or not (0 < share[0] < 1) or tall > 0.5:
        return None
    pixels, truth, scale = scene.close_up(index, aim, SIZE, span, width)
    config = scene.config
    image = {
        "height": SIZE,
        "width": SIZE,
        "flight": f"scene-{config.seed}",
        "time_of_day": time_of_day(config.hour),
        "altitude": round(float(camera.position[2]), 1),
        "attributes": {"camera_width": width, **target.attributes},
    }
    to_reference = scale * _REFERENCE_WIDTH / width
    return pixels, {"image": image, "annotations": chip_truth(truth, to_reference)}


def chip_truth(truth: SceneTruth, to_reference: float) -> list[dict[str, Any]]:
    """COCO annotations, without ids, of the weapons in a chip.

    Args:
        truth: in the chip's pixels.
        to_reference: pixels of a 1280-wide picture to one of the chip: weapons that are shorter
            than 8 px there are ignored, as nobody could tell them.
    """
    rows = []
    for box, kind, visible in zip(truth.boxes, truth.class_ids, truth.visibility, strict=True):
        if kind != _WEAPON:
            continue
        sides = box[2:] - box[:2]
        tiny = sides.max() * to_reference < LEAST_WEAPON_PX or sides.max() < 6.0
        rows.append(
            {
                "category_id": 0,
                "bbox": [round(float(v), 2) for v in (*box[:2], *sides)],
                "area": float(sides.prod()),
                "iscrowd": int(bool(visible < LEAST_VISIBLE or tiny or sides.min() < 1.5)),
            }
        )
    return rows


def render_chips(
    out: Path, part: ChipPart, workers: Workers = HERE, progress: Progress | None = None
) -> int:
    """Render a split; an interrupted one resumes at the scenes that are not there yet.

    Args:
        out: data set root.
        part: which split.
        workers: that render.
        progress: called with scenes done and scenes to do.

    Returns:
        How many chips the split has.

    Raises:
        DataError: a file can't be written.
    """
    render = partial(render_scene_chips, out, part)
    seeds = part.scenes.seeds
    return render_missing(out, part.name, seeds, render, CHIP_LABELS, workers, progress)


def render_scene_chips(out: Path, part: ChipPart, seed: int) -> None:
    """Render one scene's chips, then its rows, whose presence says that it is complete."""
    cv2.setNumThreads(1)
    rows = []
    for number, (pixels, row) in enumerate(chips_of_scene(part, seed)):
        name = f"chip-{seed:06d}-{number:03d}.png"
        path = out / "images" / part.name / name
        if not cv2.imwrite(str(path), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
            raise DataError(f"{path}: can't be written; free some space")
        rows.append({**row, "image": {"file_name": name, "rgb": name, **row["image"]}})
    write_json(scene_file(out, part.name, seed), rows)
