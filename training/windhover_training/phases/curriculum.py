"""Phase 2 of the guide: easy objects first, then all, then all with hard negatives."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from windhover.files import atomic_path
from windhover_training.data.convert.stages import (
    HardNegative,
    build_list,
    read_lesson,
    summary,
    write_list,
)

from ..config import LossConfig, Strict, class_ids
from ..engine.mining import MiningConfig, mine
from ..engine.model import choose_device, load_weights
from ..engine.validation import Validator
from ..runs import Run, RunState
from .base import Phase, RequiredInput
from .pictures import PictureConfig, begin, inputs, pictures_of, sampler_of
from .training import TrainingSetup, run_training

_LIST = "list.json"


class StageConfig(Strict):
    """One stage, with its own optimiser: AdamW, starting from ``lr0``.

    Attributes:
        stage: what is taught, see :func:`..data.stages.build_list`.
        epochs: how long.
        lr0: learning rate after the warm-up.
        warmup_epochs: of the linear warm-up.
        loss: focal weighting and class weights of this stage.
    """

    stage: Literal["easy", "medium", "full"]
    epochs: int = Field(50, gt=0)
    lr0: float = Field(1e-5, gt=0)
    warmup_epochs: float = Field(5.0, ge=0)
    loss: LossConfig = LossConfig()


class CurriculumConfig(PictureConfig):
    """The stages and what they share: all but their length, their rate and their loss.

    Attributes:
        pretrained: weights that the first stage starts from.
        stages: in order; each starts from the best weights of the one before.
        easy_quantile: an object is large from this quantile of its class's sides upwards.
        easy_least_area: and from this area, square pixels: the guide's.
        mining: of hard negatives, before the stage ``full``.
    """

    pretrained: Path
    stages: list[StageConfig] = Field(
        [
            StageConfig(stage="easy"),
            StageConfig(stage="medium"),
            StageConfig(stage="full", loss=LossConfig(focal=True)),
        ],
        min_length=1,
    )
    easy_quantile: float = Field(0.5, ge=0, lt=1)
    easy_least_area: float = Field(50.0, ge=0)
    mining: MiningConfig = MiningConfig()

    @model_validator(mode="after")
    def _stages_fit(self) -> CurriculumConfig:
        names = [stage.stage for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError("a stage stands twice")
        for stage in self.stages:
            if stage.loss.class_weights and len(stage.loss.class_weights) != len(self.labels):
                raise ValueError(f"stage {stage.stage}: one class weight a label is needed")
        return self

    def of_stage(self, stage: StageConfig, pretrained: Path) -> PictureConfig:
        """The trainer's config for one stage."""
        own = {key: getattr(self, key) for key in PictureConfig.model_fields}
        return PictureConfig.model_construct(
            **own
            | {
                "name": f"{self.name}: {stage.stage}",
                "pretrained": pretrained,
                "loss": stage.loss,
                "epochs": stage.epochs,
                "steps": None,
                "lr0": stage.lr0,
                "warmup_epochs": stage.warmup_epochs,
                "warmup_steps": None,
            }
        )


def _needs(config: CurriculumConfig) -> list[RequiredInput]:
    return inputs(config, "windhover-train train bootstrap")


def _run(config: CurriculumConfig, run: Run) -> Mapping[str, Any] | None:
    start = config.pretrained
    metrics: dict[str, Mapping[str, Any]] = {}
    for stage in config.stages:
        own = Run(run.folder / stage.stage)
        if own.state() is not RunState.FINISHED:
            if not (own.folder / _LIST).exists():
                _choose(config, stage, start, own)
            stage_config = config.of_stage(stage, start)
            begin_stage = partial(_start, stage_config, own, config.mining.share)
            done = run_training(begin_stage, stage_config, own)
            if done is None:
                return None
            own.write_metrics({**done.metrics(), **summary(own.read(_LIST))})
            own.set_state(RunState.FINISHED, f"train curriculum, stage {stage.stage}")
        start, metrics[stage.stage] = own.best, own.metrics() or {}
    with atomic_path(run.best) as partial_copy:
        shutil.copyfile(start, partial_copy)
    last = metrics[config.stages[-1].stage]
    return {"best": run.best.name, "val": last["val"], "stages": metrics}


def _choose(config: CurriculumConfig, stage: StageConfig, start: Path, own: Run) -> None:
    """Write the stage's list; for ``full`` that takes a look through the model's eyes."""
    pictures = pictures_of(config, own, 0)
    chosen = build_list(
        stage.stage,
        pictures,
        config.labels,
        quantile=config.easy_quantile,
        least_area=config.easy_least_area,
        hard=_mine(config, start) if stage.stage == "full" else (),
    )
    write_list(own.folder / _LIST, chosen)


def _mine(config: CurriculumConfig, start: Path) -> list[HardNegative]:
    model, _ = load_weights(start)
    model.to(choose_device(config.device))
    found: list[HardNegative] = []
    unlabelled = class_ids(config.unlabelled, config.labels)
    for split in config.splits:
        exam = Validator(
            config.data, split, config.labels, config.channels, (config.imgsz, config.imgsz)
        )
        found += mine(model, exam, split, config.mining, unlabelled=unlabelled)
    return sorted(found, key=lambda each: -each.score)[: config.mining.most]


def _start(config: PictureConfig, run: Run, share: float, rank: int) -> TrainingSetup:
    lesson = read_lesson(run.folder / _LIST, pictures_of(config, run, rank))
    sampler = sampler_of(config, lesson.pictures)
    sampler.look_at(lesson.hard, share)
    return begin(config, lesson.pictures, sampler)


PHASE = Phase("train curriculum", CurriculumConfig, _needs, _run)
