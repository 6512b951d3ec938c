"""Train a detector on converted data, with rendered scenes mixed in where configured."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..config import TrainConfig
from ..data.crops import CropSampler, load_samples
from ..engine.batches import Crop, DrawBatch
from ..engine.loop import train
from ..engine.model import build_model, save_weights, take_weights
from ..engine.processes import together
from ..runs import Run
from .base import Needed, Phase


def make_draw(config: TrainConfig, rank: int = 0) -> DrawBatch:
    """Build the function that draws a step's crops from the seed and the step alone.

    Args:
        config: the run's settings.
        rank: process that draws; each gets its own share of the batch.
    """
    pools = [(1.0 - config.rendered.share, config.data, config.splits)]
    if config.rendered.share > 0 and config.rendered.pool is not None:
        pools.append((config.rendered.share, config.rendered.pool, ["train"]))
    samplers = [
        CropSampler(
            load_samples(root, splits),
            config.crop,
            config.class_weights,
            config.augmentation,
            np.random.default_rng(config.seed),
        )
        for _, root, splits in pools
    ]
    batch = config.optimisation.images // config.processes
    rendered = round(batch * config.rendered.share) if len(samplers) > 1 else 0

    def draw(step: int) -> list[Crop]:
        rng = np.random.default_rng((config.seed, step, rank))
        for sampler in samplers:
            sampler.rng = rng
        return [samplers[int(i < rendered)].draw() for i in range(batch)]

    return draw


def run_detector(config: TrainConfig, folder: Path) -> Path | None:
    """Run the phase to its end, or go on with it.

    Args:
        config: the phase's settings.
        folder: run folder.

    Returns:
        Path of ``final.pt``: the averaged weights and what is needed to rebuild the model.
        None if the run was asked to stop; it goes on from its checkpoint when run again.
    """
    return together(partial(_train, config, folder), config.processes, config.seed)


def _train(config: TrainConfig, folder: Path, rank: int) -> Path | None:
    model = build_model(config.model, config.channels, len(config.labels))
    if config.init is not None:
        take_weights(model, config.init)
    draw = make_draw(config, rank)
    run = Run(folder)
    averaged = train(
        model,
        draw,
        config.optimisation,
        run,
        config.checkpoint_seconds,
        title=config.name,
        seed=config.seed,
    )
    if averaged is None:
        return None
    return save_weights(run, averaged, config, "final.pt")


def _needs(config: TrainConfig) -> list[Needed]:
    truths = [config.data / "truth" / f"{split}.json" for split in config.splits]
    needs = [
        Needed(path, f"windhover-train data convert hit-uav ROOT --out {config.data}")
        for path in truths
    ]
    if config.rendered.share > 0 and config.rendered.pool is not None:
        pool = config.rendered.pool
        needs.append(Needed(pool / "truth/train.json", f"windhover-train data render --out {pool}"))
    if config.init is not None:
        needs.append(Needed(config.init, "the phase before, see its config"))
    return needs


def _run(config: TrainConfig, run: Run) -> dict[str, Any] | None:
    final = run_detector(config, run.folder)
    return None if final is None else {"checkpoint": final.name}


PHASE = Phase("train thermal-n", TrainConfig, _needs, _run)
