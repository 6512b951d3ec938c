"""Train a detector on converted data, with rendered scenes mixed in where configured."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from windhover_training.data.augment.crops import CropSampler, load_samples

from ..config import LossConfig, TrainConfig, class_ids
from ..engine.batches import DrawBatch
from ..engine.model import build_model, choose_device
from ..engine.objective import set_criterion
from ..runs import Run
from .base import Phase, RequiredInput
from .steps import TrainingSetup, draw_in_order, metrics_of, run_steps, take_start


def make_draw(
    config: TrainConfig, rank: int = 0, unreadable: dict[str, str] | None = None
) -> DrawBatch:
    """Build the function that draws a step's crops from the seed and the step alone.

    Args:
        config: the run's settings.
        rank: process that draws; each gets its own share of the batch.
        unreadable: receives the files that can't be read and are passed over.
    """
    unreadable = {} if unreadable is None else unreadable
    pools = [(config.data, config.splits, class_ids(config.unlabelled, config.labels))]
    if config.rendered.share > 0 and config.rendered.pool is not None:
        pools.append((config.rendered.pool, ["train"], []))
    samplers = [
        CropSampler(
            load_samples(root, splits, unreadable),
            config.crop,
            config.class_weights,
            config.augmentation,
            np.random.default_rng(config.seed),
            unlabelled,
        )
        for root, splits, unlabelled in pools
    ]
    batch = config.optimisation.images // config.processes
    rendered = round(batch * config.rendered.share) if len(samplers) > 1 else 0
    order = [1] * rendered + [0] * (batch - rendered)
    return draw_in_order(samplers, order, config.seed, rank)


def run_detector(
    config: TrainConfig, folder: Path, unreadable: dict[str, str] | None = None
) -> Path | None:
    """Run the phase to its end, or resume it; as :func:`.steps.run_steps`.

    Args:
        config: the run's settings.
        folder: run folder.
        unreadable: receives the files that can't be read and are passed over.
    """
    return run_steps(partial(_start, config, unreadable), config, folder)


def _start(config: TrainConfig, unreadable: dict[str, str] | None, rank: int) -> TrainingSetup:
    model = build_model(config.model, config.channels, len(config.labels))
    model.to(choose_device(config.device))
    draw = make_draw(config, rank, unreadable)
    same = range(len(config.labels))
    take_start(model, config, same, lambda: make_draw(config) if rank else draw)
    set_criterion(model, LossConfig())  # one that can leave out what is not judged
    return TrainingSetup(model, draw)


def _needs(config: TrainConfig) -> list[RequiredInput]:
    truths = [config.data / "truth" / f"{split}.json" for split in config.splits]
    needs = [
        RequiredInput(path, f"windhover-train data convert hit-uav ROOT --out {config.data}")
        for path in truths
    ]
    if config.rendered.share > 0 and config.rendered.pool is not None:
        pool = config.rendered.pool
        render = f"windhover-train data render-thermal --out {pool}"
        needs.append(RequiredInput(pool / "truth/train.json", render))
    if config.init is not None:
        needs.append(RequiredInput(config.init, "the phase before, see its config"))
    if config.start is not None:
        needs.append(RequiredInput(config.start, "a released float.onnx with the same labels"))
    return needs


def _run(config: TrainConfig, run: Run) -> dict[str, Any] | None:
    unreadable: dict[str, str] = {}
    metrics = metrics_of(run_detector(config, run.folder, unreadable))
    return metrics if metrics is None else {**metrics, "unreadable": unreadable}


PHASE = Phase("train detector", TrainConfig, _needs, _run)
