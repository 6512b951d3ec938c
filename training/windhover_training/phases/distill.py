"""Phase 3 of the guide: a small detector learns from the feature maps of a large one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field
from ultralytics.nn.tasks import DetectionModel

from ..engine.distill import Distillation, DistillationModel
from ..engine.model import (
    FORMAT_KEYS,
    build_as,
    choose_device,
    load_weights,
    read_checkpoint,
    take_weights,
)
from ..engine.teachers import check_view
from ..runs import Run
from .base import Phase, RequiredInput
from .pictures import PictureConfig, begin, inputs, pictures_of
from .training import TrainingSetup, metrics_of, run_training


class DistillConfig(PictureConfig):
    """A student, its teacher and how much the teacher counts.

    Attributes:
        pretrained: the student's weights to start from.
        teacher: weights of the teacher: ``best.pt`` of a run, which says what it is a
            model of, or a checkpoint of Ultralytics of the architecture ``teacher_model``.
        teacher_model: architecture for such a checkpoint.
        teacher_channels: and the channels that it looks at.
        alpha: part of the feature distance in the loss; the rest is the detector's own.
    """

    pretrained: Path
    teacher: Path
    teacher_model: str = "yolo11l.yaml"
    teacher_channels: int = 3
    alpha: float = Field(0.7, gt=0, lt=1)


def load_teacher(config: DistillConfig) -> DetectionModel:
    """Build the teacher with its weights.

    Raises:
        ConfigError: it looks at channels that the student's images do not have.
        DataError: its file holds no weights.
    """
    if read_checkpoint(config.teacher).keys() >= FORMAT_KEYS:
        teacher, spec = load_weights(config.teacher)
        channels = spec.channels
    else:
        channels = config.teacher_channels
        teacher_spec = config.spec.model_copy(
            update={"model": config.teacher_model, "channels": channels, "fusion": None}
        )
        teacher = build_as(teacher_spec)
        take_weights(teacher, config.teacher)
    check_view(config.teacher, channels, config.channels)
    teacher.image_channels = channels
    return teacher


def _needs(config: DistillConfig) -> list[RequiredInput]:
    made = "windhover-train train bootstrap --config training/configs/teacher.yaml"
    student = "windhover-train train curriculum (or what else trains the student)"
    return [*inputs(config, student), RequiredInput(config.teacher, made)]


def _start(config: DistillConfig, run: Run, rank: int) -> TrainingSetup:
    begun = begin(config, pictures_of(config, run, rank))
    teacher = load_teacher(config).to(choose_device(config.device))
    return replace(
        begun,
        objective=partial(Distillation, teacher, config.alpha),
        wrap=lambda student: DistillationModel(student, teacher, config.channels),
    )


def _run(config: DistillConfig, run: Run) -> Mapping[str, Any] | None:
    return metrics_of(run_training(partial(_start, config, run), config, run))


PHASE = Phase("train distill", DistillConfig, _needs, _run)
