"""Train the second look: a small detector on chips of people, rendered and real."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from windhover.errors import ConfigError
from windhover_training.data.augment.chip_crops import ChipSampler
from windhover_training.data.augment.samples import load_colour

from ..engine.model import build_model, choose_device
from ..engine.objective import set_criterion
from ..engine.stock import read_stock
from ..engine.warm_start import warm_start
from ..runs import Run
from ..second_look_config import SecondLookConfig
from .base import Phase, RequiredInput
from .training import (
    TrainingSetup,
    images_of,
    maker_of,
    metrics_of,
    mixed,
    recalibrate,
    run_training,
    shared_inputs,
    take_start,
)


def samplers_of(config: SecondLookConfig) -> list[ChipSampler]:
    """What draws chips of each pool.

    Raises:
        ConfigError: the pools' shares do not add up to 1.
        DataError: a pool is missing or empty.
    """
    total = sum(pool.share for pool in config.pools)
    if abs(total - 1.0) > 1e-6:
        raise ConfigError(f"the shares of the pools add up to {total:g}; they must to 1")
    return [
        ChipSampler(
            load_colour(pool.data, pool.splits, config.labels),
            config.imgsz,
            config.augmentation,
            np.random.default_rng(config.seed),
            pool.scale,
            pool.empty_weight,
        )
        for pool in config.pools
    ]


def _start(config: SecondLookConfig, _: int) -> TrainingSetup:
    model = build_model(config.model, config.channels, len(config.labels))
    device = choose_device(config.device)
    model.to(device)
    samplers = samplers_of(config)
    shares = [pool.share for pool in config.pools[1:]]
    source = mixed(samplers, shares, config.seed, maker_of(config, device))
    if config.stock is not None and config.pretrained is None:
        # No class of COCO is a weapon: the class rows begin at nothing.
        warm_start(model, read_stock(config.stock), [None] * len(config.labels))
        recalibrate(model, config, source)
    else:
        take_start(model, config, source)
    set_criterion(model, config.loss)
    return TrainingSetup(model, images_of(samplers), source)


def _needs(config: SecondLookConfig) -> list[RequiredInput]:
    make = "windhover-train data render-chips, or data cut-chips"
    needs = [
        RequiredInput(pool.data / "truth" / f"{split}.json", f"{make} --out {pool.data}")
        for pool in config.pools
        for split in pool.splits
    ]
    if config.stock is not None:
        needs.append(RequiredInput(config.stock, "COCO weights of YOLO11n, see training/README.md"))
    if config.pretrained is not None:
        needs.append(RequiredInput(config.pretrained, "final.pt of an earlier run"))
    return needs + shared_inputs(config, make)


def _run(config: SecondLookConfig, run: Run) -> dict[str, Any] | None:
    return metrics_of(run_training(partial(_start, config), config, run))


PHASE = Phase("train second-look", SecondLookConfig, _needs, _run)
