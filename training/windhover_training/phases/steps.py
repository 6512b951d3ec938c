"""What the phases that count steps share: drawing, training to the end, ``final.pt``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ultralytics.nn.tasks import DetectionModel

from windhover_training.data.augment.crops import Crop, CropSampler

from ..config import TrainConfig
from ..engine.batches import DrawBatch, collate
from ..engine.loop import Rate, full_rate, short_float, train
from ..engine.model import save_weights, take_weights
from ..engine.objective import Objective
from ..engine.processes import run_distributed
from ..engine.warm_start import read_weights, recalibrate_batchnorm, warm_start
from ..fusion_config import FusionConfig
from ..runs import Run
from ..second_look_config import SecondLookConfig

StepConfig = TrainConfig | FusionConfig | SecondLookConfig


@dataclass(frozen=True)
class TrainingSetup:
    """What a process trains with.

    Attributes:
        model: with the weights that it starts from.
        draw: step number -> crops.
        objective: float type for the forward pass -> what is minimised; None for the
            detection loss.
        rate: share of the learning rate that each parameter gets.
    """

    model: DetectionModel
    draw: DrawBatch
    objective: Callable[[torch.dtype | None], Objective] | None = None
    rate: Rate = full_rate


#: Rank of a process -> what it begins with.
Start = Callable[[int], TrainingSetup]
RECALIBRATION_BATCHES = 12
#: Steps that training never comes to, for what is drawn before it.
FAR = 1_000_000


def draw_in_order(
    samplers: Sequence[CropSampler], order: Sequence[int], seed: int, rank: int
) -> DrawBatch:
    """Draw a step's crops from the seed and the step alone; threads may draw several at once.

    Args:
        samplers: of the sets that are mixed.
        order: which of them each crop is from.
        seed: of the run.
        rank: process that draws; each gets its own share of the batch.
    """

    def draw(step: int) -> list[Crop]:
        rng = np.random.default_rng((seed, step, rank))
        own = [sampler.drawing_from(rng) for sampler in samplers]
        return [own[i].draw() for i in order]

    return draw


def take_start(
    model: DetectionModel,
    config: TrainConfig | FusionConfig,
    classes: Sequence[int | None],
    crops: Callable[[], DrawBatch],
) -> None:
    """Give a model the weights that its run starts from: ``init``, else ``start``, else its own.

    Args:
        model: changed.
        config: names a run's weights, a released float.onnx, or neither.
        classes: as :func:`~windhover_training.engine.warm_start.warm_start`.
        crops: what draws in process 0, so that all processes see the same; asked for
            only where released weights start, at steps that training never reaches.
    """
    if config.init is not None:
        take_weights(model, config.init)
    elif config.start is not None:
        warm_start(model, read_weights(config.start), classes)
        draw = crops()
        device = next(model.parameters()).device
        batches = (collate(draw(FAR + i), device) for i in range(RECALIBRATION_BATCHES))
        recalibrate_batchnorm(model, [batch["img"] for batch in batches])


def run_steps(start: Start, config: StepConfig, folder: Path) -> Path | None:
    """Train to the end, or resume it.

    Args:
        start: picklable, where there is more than one process.
        config: the phase's settings.
        folder: run folder.

    Returns:
        Path of ``final.pt``: the averaged weights and what is needed to rebuild the model.
        None if the run was asked to stop; it resumes from its checkpoint when run again.
    """
    return run_distributed(partial(_train, start, config, folder), config.processes, config.seed)


def _train(start: Start, config: StepConfig, folder: Path, rank: int) -> Path | None:
    begun = start(rank)
    run = Run(folder)
    objective = None
    if begun.objective is not None:
        device = next(begun.model.parameters()).device
        objective = begun.objective(short_float(device) if config.optimisation.bfloat16 else None)
    averaged = train(
        begun.model,
        begun.draw,
        config.optimisation,
        run,
        config.checkpoint_seconds,
        objective=objective,
        rate=begun.rate,
        title=config.name,
        seed=config.seed,
    )
    return None if averaged is None else save_weights(run, averaged, config, "final.pt")


def metrics_of(final: Path | None) -> dict[str, Any] | None:
    """For ``metrics.json``; None for a run that was asked to stop."""
    return None if final is None else {"checkpoint": final.name}
