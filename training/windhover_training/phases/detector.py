"""Train a detector on converted data, with rendered scenes mixed in where configured."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import torch

from ..config import TrainConfig
from ..data.crops import CropSampler, load_samples
from ..engine.loop import Crop, train
from ..engine.model import build_model
from ..runs import Run


def make_draw(config: TrainConfig):
    """Build the function that draws the crops of a step from the seed and the step alone."""
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
    batch = config.optimisation.batch
    rendered = round(batch * config.rendered.share) if len(samplers) > 1 else 0

    def draw(step: int) -> list[Crop]:
        rng = np.random.default_rng((config.seed, step))
        for sampler in samplers:
            sampler.rng = rng
        return [samplers[int(i < rendered)].draw() for i in range(batch)]

    return draw


def run_detector(config: TrainConfig, folder: Path) -> Path:
    """Run the phase to its end, or go on with it.

    Args:
        config: the phase's settings.
        folder: run folder.

    Returns:
        Path of ``final.pt``: the averaged weights and what is needed to rebuild the model.
    """
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    random.seed(config.seed)
    np.random.seed(config.seed)
    run = Run(folder)
    run.describe(config)
    model = build_model(config.model, config.channels, len(config.labels))
    if config.init is not None:
        model.load_state_dict(torch.load(config.init, weights_only=False)["ema"])
    averaged = train(model, make_draw(config), config.optimisation, run, config.checkpoint_seconds)
    final = folder / "final.pt"
    torch.save({"ema": averaged.state_dict(), "config": config.model_dump(mode="json")}, final)
    return final
