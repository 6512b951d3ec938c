"""Train the second look: a small detector on chips of people, rendered and real."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from windhover.errors import ConfigError
from windhover_training.data.augment.chip_crops import ChipSampler, load_chips

from ..engine.batches import DrawBatch, collate
from ..engine.loop import Rate, full_rate
from ..engine.model import build_model, choose_device, take_weights
from ..engine.objective import set_criterion
from ..engine.stock import read_stock, share_of_rate
from ..engine.warm_start import recalibrate_batchnorm, warm_start
from ..runs import Run
from ..second_look_config import SecondLookConfig
from .base import Phase, RequiredInput
from .steps import FAR, RECALIBRATION_BATCHES, TrainingSetup, draw_in_order, metrics_of, run_steps


def make_draw(config: SecondLookConfig, rank: int = 0) -> DrawBatch:
    """Build the function that draws a step's chips from the seed and the step alone.

    Args:
        config: the run's settings.
        rank: process that draws; each gets its own share of the batch.

    Raises:
        ConfigError: the pools' shares do not add up to 1.
        DataError: a pool is missing or empty.
    """
    total = sum(pool.share for pool in config.pools)
    if abs(total - 1.0) > 1e-6:
        raise ConfigError(f"the shares of the pools add up to {total:g}; they must to 1")
    samplers = [
        ChipSampler(
            load_chips(pool.data, pool.splits, config.labels),
            config.crop,
            config.augmentation,
            np.random.default_rng(config.seed),
            pool.scale,
            pool.empty_weight,
        )
        for pool in config.pools
    ]
    batch = config.optimisation.images // config.processes
    counts = [round(batch * pool.share) for pool in config.pools[1:]]
    order = [0] * (batch - sum(counts))
    order += [number for number, count in enumerate(counts, 1) for _ in range(count)]
    return draw_in_order(samplers, order, config.seed, rank)


def run_second_look(config: SecondLookConfig, folder: Path) -> Path | None:
    """Run the phase to its end, or resume it; as :func:`.steps.run_steps`."""
    return run_steps(partial(_start, config), config, folder)


def _start(config: SecondLookConfig, rank: int) -> TrainingSetup:
    model = build_model(config.model, config.channels, len(config.labels))
    device = choose_device(config.device)
    model.to(device)
    draw = make_draw(config, rank)
    rate: Rate = full_rate
    if config.init is not None:
        take_weights(model, config.init)
    elif config.stock is not None:
        # No class of COCO is a weapon: the class rows begin at nothing.
        warm_start(model, read_stock(config.stock), [None] * len(config.labels))
        same = make_draw(config) if rank else draw
        batches = (collate(same(FAR + i), device) for i in range(RECALIBRATION_BATCHES))
        recalibrate_batchnorm(model, [batch["img"] for batch in batches])
    if config.stock is not None:
        rate = share_of_rate(config.backbone_rate, config.taken_rate)
    set_criterion(model, config.loss)
    return TrainingSetup(model, draw, rate=rate)


def _needs(config: SecondLookConfig) -> list[RequiredInput]:
    make = "windhover-train data render-chips, or data cut-chips"
    needs = [
        RequiredInput(pool.data / "truth" / f"{split}.json", f"{make} --out {pool.data}")
        for pool in config.pools
        for split in pool.splits
    ]
    if config.stock is not None:
        needs.append(RequiredInput(config.stock, "COCO weights of YOLO11n, see training/README.md"))
    if config.init is not None:
        needs.append(RequiredInput(config.init, "final.pt of an earlier run"))
    return needs


def _run(config: SecondLookConfig, run: Run) -> dict[str, Any] | None:
    return metrics_of(run_second_look(config, run.folder))


PHASE = Phase("train second-look", SecondLookConfig, _needs, _run)
