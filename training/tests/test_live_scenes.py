"""Scenes that are rendered in other processes while training reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="needs the training environment: make train-env")

import numpy as np
from pydantic import ValidationError

from windhover_training.data.augment.rgbt_crops import RgbtSampler, load_frames
from windhover_training.data.augment.samples import Sample
from windhover_training.data.render import live_scenes
from windhover_training.data.render.live_scenes import LiveSampler, LiveScenes, render_samples
from windhover_training.data.render.rgbt_scenes import Part, render_part
from windhover_training.engine.model import load_weights
from windhover_training.fusion_config import FusionConfig, RgbtAugmentation, SceneStream
from windhover_training.phases.base import execute
from windhover_training.phases.fusion import PHASE
from windhover_training.runs import Run

pytestmark = pytest.mark.train_env

HERE = Path(__file__).parent
LABELS = ["person", "weapon", "motorcycle", "vehicle"]


class AtOnce(Executor):
    """Does what is submitted there and then, and notes it."""

    def __init__(self) -> None:
        self.numbers: list[int] = []

    def submit(self, work: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:
        self.numbers.append(args[1])
        future: Future[Any] = Future()
        future.set_result(work(*args))
        return future


@pytest.fixture
def plain_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scenes that show their number."""

    def render(part: Part, number: int, frames: int) -> list[Sample]:
        pixels = np.full((80, 80, 4), number % 256, np.uint8)
        box = np.float32([[10, 10, 30, 30]])
        return [Sample(pixels, box, np.zeros(1, np.int64), f"{part.name}-{number}")] * frames

    monkeypatch.setattr(live_scenes, "render_samples", render)


def test_the_pool_is_what_the_step_says_and_each_scene_is_rendered_once(plain_scenes) -> None:
    executor = AtOnce()
    stream = SceneStream(scenes=3, first=7, frames=2, steps=4, jobs=1)
    scenes = LiveScenes("armed", stream, executor)
    for step in (0, 3, 4, 8, 5):
        first = 7 + step // 4
        shown = [int(sample.pixels[0, 0, 0]) for sample in scenes.at(step)]
        assert shown == [first, first, first + 1, first + 1, first + 2, first + 2]
    assert executor.numbers == sorted(set(executor.numbers)) == list(range(7, 13))
    # Far from where it was, as a resumed run is, only what is needed there is rendered.
    executor.numbers.clear()
    scenes.at(4000)
    assert executor.numbers == list(range(1007, 1011))


def test_a_sampler_draws_from_the_scenes_of_its_step(plain_scenes) -> None:
    stream = SceneStream(scenes=2, first=0, frames=1, steps=1, jobs=1)

    def begin(samples: list[Sample]) -> RgbtSampler:
        return RgbtSampler(samples, 32, [1.0] * 4, RgbtAugmentation(), np.random.default_rng(0))

    sampler = LiveSampler(LiveScenes("train", stream, AtOnce()), begin, 2)
    for step in (0, 9, 3):
        own = sampler.at(step).drawing_from(np.random.default_rng(step))
        drawn = {own.draw_params().sample.flight for _ in range(30)}
        assert drawn == {f"train-{step}", f"train-{step + 1}"}
    assert sampler.at(3) is sampler.at(3)


def test_a_scene_is_the_one_that_is_rendered_to_disk(tmp_path: Path) -> None:
    render_part(tmp_path, Part("train", range(100_002, 100_003), frames=1, varied=True))
    (kept,) = load_frames(tmp_path, "train")
    (part,) = (each for each in live_scenes.parts(1) if each.name == "train")
    (made,) = render_samples(part, 2, 1)
    np.testing.assert_array_equal(made.pixels, kept.pixels)
    np.testing.assert_array_equal(made.boxes, kept.boxes)
    np.testing.assert_array_equal(made.classes, kept.classes)
    assert made.flight == kept.flight
    assert made.pixels_per_metre == pytest.approx(kept.pixels_per_metre, abs=1e-3)


def fusion(**changes: object) -> FusionConfig:
    values: dict[str, Any] = {
        "name": "live", "labels": LABELS, "imgsz": 64, "class_weights": [1, 1, 1, 1],
        "data": {"scenes": 2, "frames": 1, "steps": 2, "jobs": 1},
        "steps": 3, "batch": 4, "warmup_steps": 0, "amp": False, "crops": "torch",
    }  # fmt: skip
    return FusionConfig.model_validate(values | changes)


def test_training_reads_scenes_as_they_are_made(tmp_path: Path) -> None:
    config = fusion(armed_share=0.25, clear={"share": 0.25})
    assert execute(PHASE, config, tmp_path / "run")
    rows = [json.loads(row) for row in (tmp_path / "run/log.jsonl").read_text().splitlines()]
    assert rows
    assert all(np.isfinite(row["cls_loss"]) for row in rows)
    state = Run(tmp_path / "run").load()
    assert state is not None
    assert state["step"] == 3
    model, _ = load_weights(tmp_path / "run/final.pt")
    assert all(torch.isfinite(each).all() for each in model.state_dict().values())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"clear": {"share": 0.2, "mined": 5}}, "clear.mined"),
        ({"data": {"scenes": 0}}, "greater than 0"),
        ({"val": "val"}, "val_data"),
    ],
)
def test_what_scenes_that_are_made_lack_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        fusion(**changes)
