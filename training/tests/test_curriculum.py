"""Phase 2: stage lists, hard negatives that respect ignore regions, and the stages in turn."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="needs the training environment: make train-env")

import numpy as np
import torch

from windhover.errors import DataError
from windhover_training.data.augment.heavy import HeavyAugmentation, HeavySampler
from windhover_training.data.convert.stages import (
    HardNegative,
    build_list,
    read_lesson,
    sides_of,
    write_list,
)
from windhover_training.data.readers.pictures import Picture, load_pictures
from windhover_training.engine.mining import MiningConfig, is_background, mine
from windhover_training.engine.model import build_model
from windhover_training.engine.validation import Validator
from windhover_training.phases import curriculum
from windhover_training.phases.base import execute
from windhover_training.phases.bootstrap import PHASE as BOOTSTRAP
from windhover_training.phases.curriculum import PHASE, CurriculumConfig
from windhover_training.phases.pictures import PictureConfig
from windhover_training.runs import Run

pytestmark = pytest.mark.train_env

LABELS = ["upright", "lying"]
LIMITS = {"quantile": 0.5, "least_area": 0.0}


@pytest.fixture
def pictures(shapes: Callable[[int], Path]) -> list[Picture]:
    return load_pictures(shapes(1), ["train"], 1, LABELS)


def test_easy_teaches_large_objects_and_hides_small_ones(pictures: list[Picture]) -> None:
    easy = build_list("easy", pictures, LABELS, **LIMITS)
    medium = build_list("medium", pictures, LABELS, **LIMITS)
    full = build_list("full", pictures, LABELS, **LIMITS)
    assert len(easy.images) == 8  # every third image holds a small one only
    assert len(medium.images) == len(full.images) == 12
    assert "upright 13.4 px" in easy.rule
    strict = build_list("easy", pictures, LABELS, quantile=0.0, least_area=14**2)
    assert {entry.hidden for entry in strict.images} == {(0,)}
    with pytest.raises(DataError, match="no image has"):
        build_list("easy", pictures, LABELS, quantile=0.5, least_area=1e6)


def test_the_list_that_is_written_is_what_is_taught(
    pictures: list[Picture], tmp_path: Path
) -> None:
    chosen = build_list("easy", pictures, LABELS, quantile=0.0, least_area=14**2)
    write_list(tmp_path / "list.json", chosen)
    lesson = read_lesson(tmp_path / "list.json", pictures)
    assert all(p.classes.tolist() == [1] and len(p.hidden) == 1 for p in lesson.pictures)
    assert min(sides_of(p.boxes).min() for p in lesson.pictures) >= 14
    document = json.loads((tmp_path / "list.json").read_text())
    document["images"][0]["image_id"] = 99
    (tmp_path / "list.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match="image 99 of train"):
        read_lesson(tmp_path / "list.json", pictures)
    (tmp_path / "list.json").write_text("{}")
    with pytest.raises(DataError, match="remove it"):
        read_lesson(tmp_path / "list.json", pictures)


def test_images_are_centred_on_hard_negatives(pictures: list[Picture], tmp_path: Path) -> None:
    hard = HardNegative(split="train", image_id=2, box=(40, 40, 48, 48), label="lying", score=0.9)
    write_list(tmp_path / "l.json", build_list("full", pictures, LABELS, **LIMITS, hard=[hard]))
    lesson = read_lesson(tmp_path / "l.json", pictures)
    assert lesson.hard == [(1, 44.0, 44.0)]
    plain = HeavyAugmentation(
        mixup=0, copy_paste=0, degrees=0, scale=(1, 1), shear=0, perspective=0, flipud=0, fliplr=0
    )
    sampler = HeavySampler(lesson.pictures, 64, 1, plain, 1)
    sampler.look_at(lesson.hard, 1.0)
    source = sampler.read(lesson.pictures[1])
    patch = source[40:48, 40:48].astype(np.float32)
    for number in range(5):
        pixels = sampler.draw(number)[0].astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(pixels, (8, 8))
        # Somewhere in the image is the patch, moved by a part of a pixel.
        assert np.abs(windows - patch).mean(axis=(2, 3)).min() < 9


def test_only_what_lies_on_nothing_is_a_hard_negative() -> None:
    objects = np.array([[10.0, 10, 30, 30]])
    ignored = np.array([[50.0, 50, 90, 90]])
    boxes = np.array(
        [
            [11.0, 11, 29, 29],  # the object
            [20, 20, 45, 45],  # the object, badly
            [60, 60, 70, 70],  # inside a region that is not judged
            [80, 80, 100, 100],  # a quarter of it inside
            [0, 60, 20, 80],  # nothing
        ]
    )
    found = is_background(boxes, objects, ignored, MiningConfig())
    assert found.tolist() == [False, False, False, True, True]
    none = np.zeros((0, 4))
    assert is_background(boxes, none, none, MiningConfig()).all()
    assert is_background(none, objects, ignored, MiningConfig()).shape == (0,)


def test_mining_keeps_the_surest_mistakes(shapes: Callable[[int], Path]) -> None:
    root = shapes(1)
    exam = Validator(root, "train", LABELS, 1, (64, 64))
    torch.manual_seed(0)
    model = build_model(str(Path(__file__).parent / "tiny11.yaml"), 1, 2).eval()
    for branch in model.model[-1].cv3:  # a model that sees objects everywhere
        torch.nn.init.constant_(branch[-1].bias, 1.0)
    found = mine(model, exam, "train", MiningConfig(most=7, score=0.5))
    assert len(found) == 7
    assert [h.score for h in found] == sorted((h.score for h in found), reverse=True)
    truth = {p.image_id: p.boxes for p in load_pictures(root, ["train"], 1, LABELS)}
    for h in found:
        boxes, none = truth[h.image_id].astype(float), np.zeros((0, 4))
        assert is_background(np.array([h.box]), boxes, none, MiningConfig()).all()


@pytest.fixture
def config(epoch_settings: Callable[..., dict], tmp_path: Path) -> CurriculumConfig:
    settings = epoch_settings(epochs=1, batch=6)
    execute(BOOTSTRAP, PictureConfig(**settings), tmp_path / "bootstrap")
    stages = [
        {"stage": "easy", "epochs": 1, "lr0": 1e-3},
        {"stage": "medium", "epochs": 1, "lr0": 1e-3},
        {"stage": "full", "epochs": 1, "lr0": 1e-3, "loss": {"focal": True}},
    ]
    more = {
        "pretrained": tmp_path / "bootstrap/best.pt",
        "stages": stages,
        "mining": {"score": 0.001},
    }
    return CurriculumConfig(**settings | more)


def test_stages_follow_one_another_and_resume(
    config: CurriculumConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stages: list[PictureConfig] = []
    train_stage = curriculum.run_training

    def stopping_once(start, stage, run):
        stages.append(stage)
        return None if len(stages) == 2 else train_stage(start, stage, run)

    monkeypatch.setattr(curriculum, "run_training", stopping_once)
    assert not execute(PHASE, config, tmp_path / "run")
    assert execute(PHASE, config, tmp_path / "run")
    assert [t.name for t in stages] == [
        "tiny: easy", "tiny: medium", "tiny: medium", "tiny: full"
    ]  # fmt: skip
    run = tmp_path / "run"
    assert [t.pretrained for t in stages[1:]] == [
        run / "easy/best.pt", run / "easy/best.pt", run / "medium/best.pt"
    ]  # fmt: skip
    assert [t.loss.focal for t in stages] == [False, False, False, True]
    metrics = Run(run).metrics()
    assert metrics is not None
    assert metrics["stages"]["easy"]["images"] == 8
    assert metrics["stages"]["full"]["hard_negatives"] > 0
    assert metrics["val"] == metrics["stages"]["full"]["val"]
    assert (run / "best.pt").read_bytes() == (run / "full/best.pt").read_bytes()
    # Each stage started with its own optimiser, at its own first step.
    states = [torch.load(run / s / "last.pt", weights_only=False) for s in ("easy", "full")]
    assert [int(s["optimiser"]["state"][0]["step"]) for s in states] == [2, 2]
